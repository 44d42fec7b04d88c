"""Batches as a pure function of (store, seed, step).

An epoch lays all train documents end to end in an order drawn from (seed, epoch); epochs follow one another. That
stream of ids is cut into rows without gaps, so any step is found by its place in the stream, and nothing is replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from tinylm.batch import IGNORE, Batch
from tinylm.data.split import SplitName
from tinylm.data.store import MARK, TokenStore
from tinylm.data.units import Unit, Units, cut_into
from tinylm.streams import Streams

ROUND = 64  # lengths of rows cut by bytes are multiples of this, so that few shapes occur
MEASURED = 1024  # first steps whose padding is measured: their mean is within 1% of a long run's


@dataclass(frozen=True)
class _Epoch:
    """One order of the documents: ``order_N``; ids and bytes before each in that order, N + 1 entries."""

    order_N: np.ndarray
    tokens_N1: np.ndarray
    bytes_N1: np.ndarray


@dataclass(frozen=True)
class Rows:
    """Rows of the stream: inputs, targets, and the number of each input's document, counted from the stream's first."""

    ids_BT: np.ndarray
    targets_BT: np.ndarray
    document_BT: np.ndarray

    def padded(self, width: int, eos: int) -> Rows:
        """The same rows with padding at their end, as a document of its own."""
        more = ((0, 0), (0, width - self.ids_BT.shape[1]))
        last_BT = np.repeat(self.document_BT.max(axis=1, keepdims=True) + 1, more[1][1], axis=1)
        return Rows(
            np.pad(self.ids_BT, more, constant_values=eos),
            np.pad(self.targets_BT, more, constant_values=IGNORE),
            np.concatenate([self.document_BT, last_BT], axis=1),
        )


class Batches:
    """A split as batches, mostly the train split: ``batches[step]``, steps from 0.

    With ``unit="tokens"`` a batch is ``size`` rows of ``context`` targets. A row's first input is the last target of
    the row before: every id of an epoch is a target exactly once.

    With ``unit="bytes"`` row r covers bytes [r * context, (r + 1) * context) of the stream of text. An id belongs to
    the row that holds its first byte, BOS to that of its document's first byte, EOS to that of the last. So a step
    reads the same text whatever the tokenizer, and again every id is a target exactly once. Rows are padded at their
    end with EOS as input and ``IGNORE`` as target, up to a multiple of 64 ids for the longest of the batch.

    A BOS is never a scored target, for nothing could predict that a document follows; an EOS is scored, at 0 bytes.

    Attributes:
        tokens_per_step: scored targets of a step, the exact mean over an epoch.
        bytes_per_step: bytes of text of a step, the exact mean over an epoch.

    Args:
        store: the ids.
        streams: its stream ``data`` gives the order of documents, the same for all tokenizers.
        unit: what ``context`` is counted in.
        size: rows of a batch.
        context: targets or bytes of a row.
        within_documents: number the documents of a row in ``document_BT``, so that attention may stay within them.
        split: which documents are read.
        only: read these documents of the store, in this order in every epoch; None: all, each epoch in an order of
            its own.
    """

    def __init__(
        self,
        store: TokenStore,
        streams: Streams,
        *,
        unit: Literal["tokens", "bytes"],
        size: int,
        context: int,
        within_documents: bool,
        split: SplitName = "train",
        only: np.ndarray | None = None,
    ) -> None:
        self.store = store
        self.streams = streams
        self.unit = unit
        self.size, self.context = size, context
        self.within_documents = within_documents
        self._split = store.split(split)
        self._length_N = np.diff(self._split.start_N1)
        self._only = only
        self._epochs: dict[int, _Epoch] = {}
        self.documents = self._split.documents if only is None else len(only)
        self._tokens = self._split.tokens if only is None else int(self._length_N[only].sum())
        self._bytes = self._split.bytes if only is None else int(self._split.bytes_N[only].sum())
        scored = self._tokens - self.documents  # all ids of an epoch but its BOS
        whole = self._tokens if unit == "tokens" else self._bytes
        self._step = size * context
        self._per_epoch = self._step / whole  # epochs a step
        self.tokens_per_step = scored * self._per_epoch
        self.bytes_per_step = self._bytes * self._per_epoch

    @cached_property
    def positions_per_step(self) -> float:
        """What FLOPs are planned by: scored targets, or in bytes positions with padding (mean of the first steps)."""
        if self.unit == "tokens":
            return self.tokens_per_step
        return float(np.mean([self._cut(step * self.size, self.size).ids_BT.size for step in range(MEASURED)]))

    def epoch(self, step: int) -> float:
        """How often the train split has been read before ``step``."""
        return step * self._per_epoch

    def __getitem__(self, step: int) -> Batch:
        return self.rows(step, 0, 1)

    def rows(self, step: int, rank: int, world: int) -> Batch:
        """Rows ``rank::world`` of the batch at ``step``, as long as those of the other ranks.

        Raises:
            IndexError: the step is negative: nothing was before the first.
        """
        if step < 0:
            raise IndexError(f"step {step} is negative")
        return self._batch(self._cut(step * self.size, self.size), rank, world)

    def gather(self, row_M: np.ndarray, rank: int = 0, world: int = 1) -> Batch:
        """Rows ``rank::world`` of a batch made of these rows of the stream; step s holds those from s * ``size`` on.

        Where rows are cut by bytes, the shorter are padded to the longest.
        """
        parts = [self._cut(int(row), 1) for row in row_M]
        width = max(part.ids_BT.shape[1] for part in parts)
        stacked = [part.padded(width, self.store.eos) for part in parts]
        names = ("ids_BT", "targets_BT", "document_BT")
        whole = Rows(*(np.concatenate([getattr(part, name) for part in stacked]) for name in names))
        return self._batch(whole, rank, world)

    def documents_BT(self, step: int) -> np.ndarray:
        """The number of each input's document in the stream, counted from the stream's first."""
        return self._cut(step * self.size, self.size).document_BT

    def occurrences(self, steps: int) -> np.ndarray:
        """The documents that the first ``steps`` steps read to their end, in that order, as numbers in the store.

        A document that is read again in another epoch stands here again.
        """
        limit = steps * self._step
        whole, left = divmod(limit + 1, self._tokens) if self.unit == "tokens" else divmod(limit, self._bytes)
        last = self._epoch(whole)
        before_N1 = last.tokens_N1 if self.unit == "tokens" else last.bytes_N1
        ended = int(np.searchsorted(before_N1, left, side="right")) - 1
        return np.concatenate([*(self._epoch(number).order_N for number in range(whole)), last.order_N[:ended]])

    def steps_of(self, documents_M: np.ndarray) -> np.ndarray:
        """How many steps each of these documents of the store fills, alone."""
        return (self._length_N if self.unit == "tokens" else self._split.bytes_N)[documents_M] / self._step

    def restricted(self, documents_M: np.ndarray) -> Batches:
        """The same cut of these documents of the store alone, in this order."""
        return Batches(
            self.store,
            self.streams,
            unit=self.unit,
            size=self.size,
            context=self.context,
            within_documents=self.within_documents,
            only=documents_M,
        )

    def units(self, unit: Unit, steps: int) -> Units:
        """The text of the first ``steps`` steps in units that a later round may choose."""
        return cut_into(unit, self, steps)

    def _cut(self, row: int, count: int) -> Rows:
        """``count`` rows of the stream from its row ``row``."""
        by = self._by_tokens if self.unit == "tokens" else self._by_bytes
        return by(row * self.context, count)

    def _batch(self, rows: Rows, rank: int, world: int) -> Batch:
        ids_BT, targets_BT, document_BT = (
            array[rank::world] for array in (rows.ids_BT, rows.targets_BT, rows.document_BT)
        )
        scored = targets_BT[targets_BT != IGNORE]
        return Batch(
            ids_BT=torch.from_numpy(np.ascontiguousarray(ids_BT)),
            targets_BT=torch.from_numpy(np.ascontiguousarray(targets_BT)),
            document_BT=torch.from_numpy(document_BT - document_BT[:, :1]) if self.within_documents else None,
            bytes=int(self.store.bytes_V[scored].sum()),
            tokens=len(scored),
        )

    def _by_tokens(self, first: int, count: int) -> Rows:
        """Rows from place ``first`` of the stream of ids."""
        ids, document = self._stream(first, first + count * self.context + 1)
        shape = (count, self.context)
        return Rows(ids[:-1].reshape(shape), self._targets(ids[1:]).reshape(shape), document[:-1].reshape(shape))

    def _by_bytes(self, first: int, count: int) -> Rows:
        """Rows from byte ``first`` of the stream of text."""
        (low, text), (high, _) = self._place(first), self._place(first + count * self.context)
        before = max(low - 1, 0)  # the first input
        ids, document = self._stream(before, high)
        targets = self._targets(ids)

        after = ids[low - before :]
        size = self.store.bytes_V[after]
        byte = text - first + np.cumsum(size) - size - (after == self.store.eos)  # that each id belongs to
        edge = low - before + np.searchsorted(byte, np.arange(count + 1) * self.context)
        # A row that would begin with BOS as its target has nothing to learn there: BOS is its first input.
        start = edge[:-1] + (ids.take(edge[:-1], mode="clip") == self.store.bos)
        length = np.maximum(edge[1:] - start, 0)

        width = max(ROUND, -(-int(length.max()) // ROUND) * ROUND)
        column = np.arange(width)
        inside_BT = column < length[:, None]
        at_BT = np.minimum(start[:, None] + column, len(ids) - 1)  # place of the target
        ids_BT = np.where(inside_BT, ids[at_BT - 1], self.store.eos)
        targets_BT = np.where(inside_BT, targets[at_BT], IGNORE)
        padding = document[-1] + 1
        return Rows(ids_BT, targets_BT, np.where(inside_BT, document[at_BT - 1], padding))

    def _targets(self, ids: np.ndarray) -> np.ndarray:
        return np.where(ids == self.store.bos, IGNORE, ids)

    def _epoch(self, number: int) -> _Epoch:
        """The order of one epoch; the last two are kept, for a batch may cross from one into the next."""
        if number not in self._epochs:
            order_N = self._only
            if order_N is None:
                order_N = self.streams.numpy("data", "epoch", number).permutation(self._split.documents)
            made = _Epoch(order_N, _before(self._length_N[order_N]), _before(self._split.bytes_N[order_N]))
            kept = list(self._epochs.items())[-1:]
            self._epochs = dict([*kept, (number, made)])
        return self._epochs[number]

    def _stream(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids [low, high) of the stream and the number of each one's document in it, both int64."""
        ids: list[np.ndarray] = []
        documents: list[np.ndarray] = []
        whole = self._tokens
        for number in range(low // whole, (high - 1) // whole + 1):
            epoch = self._epoch(number)
            begin, end = max(low - number * whole, 0), min(high - number * whole, whole)
            first = int(np.searchsorted(epoch.tokens_N1, begin, side="right")) - 1
            last = int(np.searchsorted(epoch.tokens_N1, end, side="left"))  # exclusive
            edges = np.clip(epoch.tokens_N1[first : last + 1], begin, end)
            count = np.diff(edges)
            # Where an id lies in the store, less where it lies in the epoch, is the same all through a document.
            shift = self._split.start_N1[epoch.order_N[first:last]] - epoch.tokens_N1[first:last]
            ids.append(self._split.ids[np.repeat(shift, count) + np.arange(begin, end)].astype(np.int64))
            documents.append(np.repeat(np.arange(first, last) + number * self.documents, count))
        return np.concatenate(ids), np.concatenate(documents)

    def _place(self, byte: int) -> tuple[int, int]:
        """The first id that belongs to ``byte`` of the stream of text or to a later one: ids and bytes before it."""
        number, byte = divmod(byte, self._bytes)
        epoch = self._epoch(number)
        at = int(np.searchsorted(epoch.bytes_N1, byte, side="right")) - 1
        tokens = number * self._tokens + int(epoch.tokens_N1[at])
        text = number * self._bytes + int(epoch.bytes_N1[at])
        into = byte - int(epoch.bytes_N1[at])
        if into == 0:
            return tokens, text
        more_tokens, more_text = self._within(int(epoch.order_N[at]), into)
        return tokens + more_tokens, text + more_text

    def _within(self, document: int, into: int) -> tuple[int, int]:
        """Ids of a document that belong to bytes before its byte ``into`` > 0, and the bytes they stand for.

        The marks bound the search to ``MARK`` ids, however long the document.
        """
        split = self._split
        begin, end = int(split.start_N1[document]), int(split.start_N1[document + 1]) - 1  # EOS is never before
        text = int(split.text_N1[document])
        mark = int(np.searchsorted(split.marks_M, text + into, side="left"))  # the first mark that is not before
        low, before = begin, 0
        if (mark - 1) * MARK > begin:
            low, before = (mark - 1) * MARK, int(split.marks_M[mark - 1]) - text
        sums = _before(self.store.bytes_V[split.ids[low : min(end, mark * MARK)]]) + before
        count = int(np.searchsorted(sums[:-1], into, side="left"))
        return low - begin + count, int(sums[count])


def _before(length_N: np.ndarray) -> np.ndarray:
    """Sums of all before each, N + 1 entries."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(length_N, dtype=np.int64)])
