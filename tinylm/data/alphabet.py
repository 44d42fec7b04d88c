"""How the pieces of a tokenizer stand for bytes, and the refusal of those that do so inexactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tinylm.errors import UserError

Form = dict[str, Any]  # a tokenizer.json, parsed


def _letters() -> list[str]:
    """The printable letter that stands for each byte (Radford et al. 2019, the byte-level encoder of GPT-2).

    Printable Latin-1 stands for itself; the other 68 bytes take the code points from 256 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


LETTERS = _letters()
FALLBACK = [f"<0x{byte:02X}>" for byte in range(256)]  # SentencePiece's names of the bytes


@dataclass(frozen=True)
class Alphabet:
    """What a tokenizer's pieces are written in.

    Fields:
        names: the piece that is byte b, for each b: ``LETTERS`` (byte level) or ``FALLBACK`` (plain characters, and
            bytes where there is no piece).
        blank: what stands for a blank in a piece of plain characters, where something does.
    """

    names: list[str]
    blank: str | None = None

    @property
    def _level(self) -> bool:
        return self.names is LETTERS

    def spell(self, piece: str) -> bytes:
        """The bytes of a piece; none where it is no word of the alphabet, for then no text holds it."""
        if self._level:
            return bytes(_LETTER[letter] for letter in piece) if _LETTER.keys() >= set(piece) else b""
        return bytes([_FALLBACK[piece]]) if piece in _FALLBACK else self.read(piece)

    def read(self, added: str) -> bytes:
        """The bytes of an added token, which is matched in the text itself."""
        return (added if self.blank is None else added.replace(self.blank, " ")).encode()

    def write(self, text: str) -> str:
        """``text`` as the tokenizer's model reads it."""
        if self._level:
            return "".join(LETTERS[byte] for byte in text.encode())
        return text if self.blank is None else text.replace(" ", self.blank)


_LETTER = {letter: byte for byte, letter in enumerate(LETTERS)}
_FALLBACK = {name: byte for byte, name in enumerate(FALLBACK)}

_LOSSLESS = ("ByteLevel", "Metaspace", "Split", "Punctuation", "Digits", "UnicodeScripts")


def alphabet(form: Form) -> Alphabet:
    """The alphabet of a tokenizer whose ids stand for an exact number of bytes.

    Raises:
        UserError: the tokenizer changes or loses text, or has no piece for some byte; the message says what does.
    """
    model = form["model"]
    kind = model["type"]
    if kind not in ("BPE", "Unigram"):
        raise UserError(f"the tokenizer's model is {kind}, which loses text; take a BPE or a Unigram one")
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise UserError(f"the tokenizer's model.{option} is {model[option]!r}: its pieces are not exact bytes")
    for part in ("truncation", "padding"):
        if form.get(part):
            raise UserError(f"the tokenizer's {part} is on, and text would not come back; set it to null")
    for token in form["added_tokens"]:
        if not token["special"] and (token["lstrip"] or token["rstrip"]):
            raise UserError(f"the added token {token['content']!r} eats the blanks beside it; take it out")
    if kind == "Unigram" and model.get("unk_id") is None:
        raise UserError(
            "the tokenizer's model.unk_id is null, and it fails at what it does not know; name a piece for it"
        )
    blanks = {*_normalised(form), *_split(form)}
    if len(blanks) > 1:
        raise UserError(f"the tokenizer writes a blank in several ways ({', '.join(sorted(blanks))})")
    vocabulary = pieces(form)
    level = any(step["type"] == "ByteLevel" for step in _steps(form["pre_tokenizer"], "pretokenizers"))
    found = Alphabet(LETTERS) if level and not blanks else Alphabet(FALLBACK, *blanks)
    missing = [name for name in (*found.names, *blanks) if name not in vocabulary]
    if missing or (found.names is FALLBACK and not model.get("byte_fallback")):
        what = f"no piece {missing[0]!r}" if missing else "model.byte_fallback off"
        raise UserError(
            f"the tokenizer does not cover all 256 bytes ({what}), so some text would be lost; "
            "take a byte-level one or one with byte fallback"
        )
    return found


def pieces(form: Form) -> dict[str, int]:
    """Piece -> id, added tokens included."""
    listed = form["model"]["vocab"]
    own = listed if isinstance(listed, Mapping) else {piece: index for index, (piece, _) in enumerate(listed)}
    return {**own, **{token["content"]: token["id"] for token in form["added_tokens"]}}


def _normalised(form: Form) -> Iterator[str]:
    """What the normaliser writes for a blank; anything else that it does is refused."""
    for step in _steps(form["normalizer"], "normalizers"):
        if step["type"] != "Replace" or step["pattern"] != {"String": " "}:
            raise UserError(
                f"the tokenizer's normaliser ({step['type']}) changes text, which would not come back; "
                'set "normalizer" to null in its file, and text is read as it is'
            )
        yield step["content"]


def _split(form: Form) -> Iterator[str]:
    """What the splitter writes for a blank; one that loses text is refused."""
    for step in _steps(form["pre_tokenizer"], "pretokenizers"):
        prefix = step.get("add_prefix_space") or step.get("prepend_scheme", "never") != "never"
        if step["type"] not in _LOSSLESS or step.get("behavior") == "Removed" or prefix:
            what = "puts a blank before every text" if prefix else "loses text"
            raise UserError(f"the tokenizer's splitter ({step['type']}) {what}; take one that does not")
        if step["type"] == "Metaspace":
            yield step["replacement"]


def _steps(node: Form | None, inner: str) -> Iterator[Form]:
    """The steps of a normaliser or splitter, those of sequences one by one."""
    if node is None:
        return
    if node["type"] == "Sequence":
        for step in node[inner]:
            yield from _steps(step, inner)
    else:
        yield node
