"""A tokenizer whose ids stand for an exact number of bytes, and the class of all trainers."""

from __future__ import annotations

import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers

from tinylm.errors import UserError

# One process a core is how runs are spread. Threads would also make a later fork warn, or hang.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

BOS, EOS = "<|bos|>", "<|eos|>"


def _letters() -> list[str]:
    """The printable letter that stands for each byte (Radford et al. 2019, the byte-level encoder of GPT-2).

    Printable Latin-1 stands for itself; the other 68 bytes take the code points from 256 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


LETTERS = _letters()
_BYTE = {letter: byte for byte, letter in enumerate(LETTERS)}


class Tokenizer:
    """Text to ids and back, byte for byte.

    For every text, ``bytes_V[encode(text)].sum() == len(text.encode())`` and ``decode(encode(text)) == text``, the
    special tokens' names in the text included: no text encodes to a special token.

    Args:
        backend: byte-level, with all 256 letters and the special tokens ``<|bos|>`` and ``<|eos|>``.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.encode_special_tokens = True  # their names in a text are text
        self.backend = backend
        self.vocab_size = backend.get_vocab_size()
        specials = {backend.token_to_id(BOS), backend.token_to_id(EOS)}
        vocabulary = backend.get_vocab()
        if None in specials or not vocabulary.keys() >= _BYTE.keys():
            raise UserError(f"the tokenizer has to hold {BOS}, {EOS} and all 256 byte letters")
        self.bos: int = vocabulary[BOS]
        self.eos: int = vocabulary[EOS]
        self.pieces = [b""] * self.vocab_size
        for piece, index in vocabulary.items():
            if index not in specials:
                self.pieces[index] = bytes(_BYTE[letter] for letter in piece)
        self.bytes_V = np.array([len(piece) for piece in self.pieces], dtype=np.int64)
        self.bytes_V.setflags(write=False)

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``; no special token is added.

        Raises:
            UserError: the text holds a lone surrogate, which no UTF-8 stands for.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, as ``encode`` gives them."""
        try:
            return [encoding.ids for encoding in self.backend.encode_batch_fast(texts, add_special_tokens=False)]
        except (TypeError, UnicodeEncodeError):  # which one a surrogate raises is the library's matter
            for text in texts:
                _refuse_surrogates(text)
            raise

    def decode(self, ids: list[int]) -> str:
        """The text of ``ids``: special tokens are nothing, bytes that are no UTF-8 are U+FFFD."""
        return b"".join(self.pieces[index] for index in ids).decode(errors="replace")

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that decides how text is encoded."""
        return hashlib.sha256(self.backend.to_str().encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the ``tokenizers`` library's JSON to ``path``, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.backend.to_str(pretty=True))
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read what ``save`` wrote.

        Raises:
            UserError: the file is not there or is not whole.
        """
        try:
            text = path.read_text(encoding="utf-8")
            backend = tokenizers.Tokenizer.from_str(text)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        except Exception as error:  # the library raises nothing narrower
            raise UserError(f"{path}: no tokenizer ({error}); delete the file, and it is made again") from error
        return cls(backend)


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
        vocab: ids that its tokenizers have, known before any text is read.
    """

    vocab: int

    @abstractmethod
    def train(self, texts: Texts) -> Tokenizer:
        """The tokenizer of ``texts``, which are read as often as it takes."""
