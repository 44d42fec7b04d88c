"""Passages of a long source, in contiguous stretches that are each of one split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from tinylm.data.document import Document
from tinylm.data.split import split_of

STRETCH = 16  # passages: long enough that gaps cost little, short enough that splits come out near their fraction


def cut(pieces: Iterable[str], size: int) -> Iterator[str]:
    """Cut a stream of text into passages of at most ``size`` bytes of UTF-8 that concatenate to the text.

    A passage ends after the last blank line of its second half, else after the last line end there, else the last
    space, else at a character's boundary. Memory holds one piece and one passage.
    """
    rest = b""
    for piece in pieces:
        rest += piece.encode()
        at = 0
        while len(rest) - at > size:
            end = _end(rest, at, size)
            yield rest[at:end].decode()
            at = end
        rest = rest[at:]
    if rest:
        yield rest.decode()


def _end(text: bytes, at: int, size: int) -> int:
    middle, end = at + size // 2, at + size
    for mark in (b"\n\n", b"\n", b" "):
        found = text.rfind(mark, middle, end)
        if found >= 0:
            return found + len(mark)
    while text[end] & 0xC0 == 0x80:  # a continuation byte: the character began before
        end -= 1
    return end


def stretches(passages: Iterable[Document], tune: float, test: float) -> Iterator[Document]:
    """Name every passage's stretch, and drop one passage between stretches of different splits.

    A stretch is ``STRETCH`` passages in a row; its name is a hash of its text, and its split is drawn from that.
    """
    before = None
    for gathered in _batched(passages, STRETCH):
        digest = hashlib.blake2b(digest_size=16)
        for passage in gathered:
            digest.update(passage.text.encode())
        name = digest.hexdigest()
        split = split_of(name, tune, test)
        gap = before is not None and before != split
        for passage in gathered[gap:]:
            yield replace(passage, stretch=name)
        before = split


def _batched(passages: Iterable[Document], size: int) -> Iterator[list[Document]]:
    iterator = iter(passages)
    while gathered := list(islice(iterator, size)):
        yield gathered
