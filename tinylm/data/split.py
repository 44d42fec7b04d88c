"""Which of the three splits a document belongs to, by a hash of its text alone."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

SplitName = Literal["train", "tune", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


def split_of(text: str, tune: float, test: float) -> SplitName:
    """The split of ``text``: the same on every machine, in every corpus and order, so duplicates never leak.

    Args:
        text: a document's text, or what stands for it (see ``Document.key``).
        tune: fraction of documents in the tune split, from 0 to 1.
        test: fraction of documents in the test split, from 0 to 1.

    Raising ``tune`` moves documents from train to tune only; the test split depends on ``test`` alone.
    """
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"tinylm.split").digest()
    position = int.from_bytes(digest, "big") / 2**64
    if position < test:
        return "test"
    if position >= 1 - tune:
        return "tune"
    return "train"
