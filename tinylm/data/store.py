"""Ids of all documents on disk, read through memory maps and shared by all processes.

A store is a folder: ``store.json`` and, for each split, flat little-endian arrays:

    {split}.ids      uint16 or uint32: each document as BOS, its ids, EOS, laid end to end
    {split}.start    int64, N + 1: where each document begins in ``ids``
    {split}.text     int64, N + 1: bytes of text before each document
    {split}.domain   uint16, N: index into ``domains``; absent where no document has a domain
    {split}.marks    int64: bytes of text before every ``MARK``-th id, so that a byte is found without a scan
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tinylm.data.split import SPLITS, SplitName
from tinylm.errors import UserError

FORMAT = 1  # raise it with any change of what is written, or of how text becomes documents and ids
MARK = 1024  # ids
COUNTED = 4096  # documents whose ids are counted at once


@dataclass(frozen=True)
class Split:
    """The documents of one split; every array is a read-only memory map.

    ids: all ids, uint16 or uint32.
    start_N1: int64, where document i begins in ``ids``; N documents, so N + 1 entries.
    text_N1: int64, bytes of text before document i.
    domain_N: uint16 index into ``TokenStore.domains``, or None.
    marks_M: int64, bytes of text before id 0, MARK, 2 MARK, ...
    """

    ids: np.ndarray
    start_N1: np.ndarray
    text_N1: np.ndarray
    domain_N: np.ndarray | None
    marks_M: np.ndarray

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.start_N1) - 1

    @property
    def tokens(self) -> int:
        """How many ids there are, special ones included."""
        return len(self.ids)

    @property
    def bytes(self) -> int:
        """How many bytes of UTF-8 the documents have."""
        return int(self.text_N1[-1])

    @cached_property
    def bytes_N(self) -> np.ndarray:
        """Bytes of UTF-8 of each document, int64."""
        return np.diff(self.text_N1)


class TokenStore:
    """The three splits of a corpus as ids.

    Attributes:
        hash: SHA-256 of everything in it; equal stores have equal hashes wherever they lie.
        tokenizer: hash of the tokenizer that made it.
        bos, eos: ids that open and close every document.
        bytes_V: int64, bytes of text that each id stands for; 0 for special ids.
        domains: names that ``domain_N`` indexes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            about = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise UserError(f"{folder}: no token store ({error}); delete the folder, and it is made again") from error
        if about["format"] != FORMAT:
            raise UserError(f"{folder}: a store of format {about['format']}, not {FORMAT}; delete it to have it remade")
        self.hash: str = about["hash"]
        self.tokenizer: str = about["tokenizer"]
        self.bos: int = about["bos"]
        self.eos: int = about["eos"]
        self.domains: list[str] = about["domains"]
        self.bytes_V = np.array(about["bytes_V"], dtype=np.int64)
        self.bytes_V.setflags(write=False)
        self._type = np.dtype(about["dtype"])
        self._splits = {name: self._open(name) for name in SPLITS}

    @classmethod
    def open(cls, folder: Path) -> TokenStore:
        """The store in ``folder``.

        Raises:
            UserError: there is none, or one of another format.
        """
        return cls(folder)

    def split(self, name: SplitName) -> Split:
        """The documents of ``train``, ``tune`` or ``test``."""
        return self._splits[name]

    def document(self, name: SplitName, index: int) -> np.ndarray:
        """Document ``index`` of a split: BOS, ids, EOS (a view of the memory map)."""
        split = self._splits[name]
        return split.ids[split.start_N1[index] : split.start_N1[index + 1]]

    def counts(self, name: SplitName) -> np.ndarray:
        """How often each id occurs in the documents of each domain, (domains, V) int64; one row without domains."""
        split = self._splits[name]
        found = np.zeros((max(1, len(self.domains)), len(self.bytes_V)), np.int64)
        for domain, row in enumerate(found):
            own_N = np.ones(split.documents, bool) if split.domain_N is None else split.domain_N == domain
            for begin in range(0, split.documents, COUNTED):  # few enough that memory stays flat
                here_N = np.flatnonzero(own_N[begin : begin + COUNTED]) + begin
                ids = [split.ids[split.start_N1[index] : split.start_N1[index + 1]] for index in here_N]
                if ids:
                    row += np.bincount(np.concatenate(ids), minlength=len(row))
        return found

    def _open(self, name: SplitName) -> Split:
        def array(part: str, dtype: np.dtype | type) -> np.ndarray:
            path = self.folder / f"{name}.{part}"
            if path.stat().st_size == 0:  # what is empty cannot be mapped
                return np.empty(0, dtype)
            return np.memmap(path, dtype=dtype, mode="r")

        return Split(
            ids=array("ids", self._type),
            start_N1=array("start", np.int64),
            text_N1=array("text", np.int64),
            domain_N=array("domain", np.uint16) if self.domains else None,
            marks_M=array("marks", np.int64),
        )
