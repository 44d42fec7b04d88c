"""A tokenizer whose ids stand for an exact number of bytes, and the class of all trainers."""

from __future__ import annotations

import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from tinylm.data.alphabet import FALLBACK, LETTERS, Form, alphabet, pieces
from tinylm.data.backend import parsed
from tinylm.errors import UserError
from tinylm.files import write_text

# One process a core is how runs are spread. Threads would also make a later fork warn, or hang.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

BOS, EOS = "<|bos|>", "<|eos|>"
_NO_UTF8 = re.compile("([\udc80-\udcff]+)")  # how Python escapes the bytes that no text stands for
OPENING = (BOS, "<s>", "<|begin_of_text|>", "<bos>")  # names under which a special token opens a document
CLOSING = (EOS, "</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>")


@dataclass(frozen=True)
class Origin:
    """The tokenizer that another one was made from.

    Fields:
        hash: the original's ``Tokenizer.hash``.
        ids_V: int64, for every id of the new one the original's, so that tables are gathered by it; inverted it is the
            map from old ids to new.
        report: what was lost and gained; see ``tinylm.data.prune.prune``.
    """

    hash: str
    ids_V: np.ndarray
    report: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def beside(path: Path) -> Path:
        """Where the origin of the tokenizer at ``path`` lies: ``tokenizer.origin.json`` beside ``tokenizer.json``."""
        return path.with_suffix(".origin.json")


class Tokenizer:
    """Text to ids and back, byte for byte.

    For every text, ``bytes_V[encode(text)].sum() == len(text.encode())`` and ``decode(encode(text)) == text``, the
    special tokens' names in the text included: no text encodes to a special token.

    Where a tokenizer would read some string as what it does not say (the name of a special token or of a byte, or the
    letter that stands for a blank), that string is encoded as its bytes.

    Args:
        backend: BPE or Unigram, byte-level or with byte fallback, with two special tokens that open and close a
            document; see ``tinylm.data.alphabet`` for what is refused.
        origin: what it was made from, if it was.

    Attributes:
        vocab_size: the largest id and one.
        bos, eos: ids that open and close a document.
        pieces: the bytes of each id; none for special ids, and for ids that there are not.
        bytes_V: int64, their number.
        byte_ids: the id of each byte.
        blank: what stands for a blank in its pieces, where they are plain characters and something does.
        specials: ids that no text encodes to.

    Raises:
        UserError: the backend is not exact, or lacks a token that opens or closes a document.
    """

    def __init__(self, backend: tokenizers.Tokenizer, origin: Origin | None = None) -> None:
        backend.encode_special_tokens = True  # their names in a text are text
        self.backend = backend
        self.origin = origin
        form = self.form
        self._alphabet = alphabet(form)
        vocabulary = pieces(form)
        self.specials = frozenset(token["id"] for token in form["added_tokens"] if token["special"])
        self.bos, self.eos = (self._special(names, vocabulary) for names in (OPENING, CLOSING))
        self.vocab_size = max(vocabulary.values()) + 1
        self.pieces = [b""] * self.vocab_size
        added = {token["id"] for token in form["added_tokens"]}
        for piece, index in vocabulary.items():
            if index not in self.specials:
                self.pieces[index] = self._alphabet.read(piece) if index in added else self._alphabet.spell(piece)
        self.bytes_V = np.array([len(piece) for piece in self.pieces], dtype=np.int64)
        self.bytes_V.setflags(write=False)
        self.blank = self._alphabet.blank
        self.byte_ids = [vocabulary[name] for name in self._alphabet.names]
        mistaken = sorted(self._mistaken(vocabulary), key=len, reverse=True)
        self._spelled = re.compile(f"({'|'.join(map(re.escape, mistaken))})") if mistaken else None

    @property
    def form(self) -> Form:
        """The ``tokenizers`` library's JSON, parsed."""
        form: Form = json.loads(self.backend.to_str())
        return form

    def _special(self, names: tuple[str, ...], vocabulary: dict[str, int]) -> int:
        for name in names:
            if vocabulary.get(name) in self.specials:
                return vocabulary[name]
        raise UserError(f"the tokenizer has to hold one of the special tokens {', '.join(names)}")

    def _mistaken(self, vocabulary: dict[str, int]) -> Iterator[str]:
        """Strings that a text may hold and that would be read as something else."""
        if self.blank is not None:
            yield self.blank
        names = {piece for piece, index in vocabulary.items() if index in self.specials}
        for name in names | (set() if self._alphabet.names is LETTERS else set(FALLBACK)):
            if self.alone(name) == [vocabulary[name]]:
                yield name

    def alone(self, text: str) -> list[int]:
        """The ids that the model makes of ``text`` as one word."""
        return [token.id for token in self.backend.model.tokenize(self._alphabet.write(text))]

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``; no special token is added.

        Raises:
            UserError: the text holds a lone surrogate, which no UTF-8 stands for.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, as ``encode`` gives them."""
        if self._spelled is None or not any(self._spelled.search(text) for text in texts):
            return self._encode(texts)
        return [self._encode_in_parts(text, self._spelled) for text in texts]

    def _encode_in_parts(self, text: str, spelled: re.Pattern[str]) -> list[int]:
        parts = spelled.split(text)  # every other one is what has to be spelled
        ids = self._encode(parts[::2])
        for index, part in enumerate(parts[1::2]):
            ids[index] += [self.byte_ids[byte] for byte in part.encode()]
        return [one for part in ids for one in part]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        try:
            return [encoding.ids for encoding in self.backend.encode_batch_fast(texts, add_special_tokens=False)]
        except (TypeError, UnicodeEncodeError):  # which one a surrogate raises is the library's matter
            for text in texts:
                _refuse_surrogates(text)
            raise

    def encode_bytes(self, content: bytes) -> list[int]:
        """The ids of any bytes: what is UTF-8 as text, every other byte by its own id."""
        ids: list[int] = []
        for part in _NO_UTF8.split(content.decode(errors="surrogateescape")):
            strays = part.encode(errors="surrogateescape") if _NO_UTF8.fullmatch(part) else b""
            ids += [self.byte_ids[byte] for byte in strays] if strays else self.encode(part)
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of ``ids``: special tokens are nothing, bytes that are no UTF-8 are U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: list[int]) -> bytes:
        """The bytes of ``ids``; special tokens are nothing."""
        return b"".join(self.pieces[index] for index in ids)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that decides how text is encoded."""
        return hashlib.sha256(self.backend.to_str().encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the ``tokenizers`` library's JSON to ``path``, and the origin beside it; each whole or not at all."""
        if self.origin is None:
            Origin.beside(path).unlink(missing_ok=True)
        else:
            origin = {"hash": self.origin.hash, "ids": self.origin.ids_V.tolist(), "report": self.origin.report}
            write_text(Origin.beside(path), json.dumps(origin))
        write_text(path, self.backend.to_str(pretty=True))

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read what ``save`` wrote.

        Raises:
            UserError: a file is not there or is not whole.
        """
        try:
            backend = parsed(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise UserError(f"{path}: no tokenizer ({error}); delete the file, and it is made again") from error
        made = cls(backend)
        beside = Origin.beside(path)
        if beside.is_file():
            made.origin = _read_origin(beside, made.vocab_size)
        return made


def _read_origin(path: Path, vocab: int) -> Origin:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        origin = Origin(data["hash"], np.array(data["ids"], dtype=np.int64), data["report"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not whole ({error}); delete it and the tokenizer beside it") from error
    if origin.ids_V.shape != (vocab,):
        raise UserError(f"{path}: maps {origin.ids_V.size} ids, and the tokenizer beside it has {vocab}; delete both")
    return origin


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code, near = ord(text[error.start]), text[max(0, error.start - 20) : error.start]
        raise UserError(f"the lone surrogate U+{code:04X} after {near!r} is no UTF-8; remove it") from error


Texts = Callable[[], Iterable[str]]  # the texts from their beginning, at every call


class Trainer(ABC):
    """Makes a tokenizer from text; deterministic.

    Attributes:
        vocab: ids that its tokenizers have, known before any text is read; or at most, where not ``exact``.
        smallest: ids that no pruning takes away: 256 bytes, special tokens, and what else encoding rests on.
        exact: whether its tokenizers have ``vocab`` ids, and no fewer.
        reads: whether they depend on the texts.
    """

    vocab: int
    smallest: int = 256 + 2
    exact: bool = True
    reads: bool = True

    @abstractmethod
    def train(self, texts: Texts) -> Tokenizer:
        """The tokenizer of ``texts``, which are read as often as it takes."""


class Derived(Trainer):
    """Makes a tokenizer from another one, which is found or made under its own address and so shared.

    Attributes:
        of: the trainer of the other one.
    """

    of: Trainer

    @abstractmethod
    def derive(self, original: Tokenizer, texts: Texts) -> Tokenizer:
        """The tokenizer made from ``original``, which ``of`` made of the same texts; ``origin`` names it."""

    def train(self, texts: Texts) -> Tokenizer:
        return self.derive(self.of.train(texts), texts)
