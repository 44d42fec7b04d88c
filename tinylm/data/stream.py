"""A stream of documents: laid end to end, epoch after epoch, and cut into rows without gaps.

Any row is found by its place in the stream, and nothing is replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinylm.batch import IGNORE
from tinylm.data.split import SplitName
from tinylm.data.store import MARK, TokenStore

ROUND = 64  # lengths of rows cut by bytes are multiples of this, so that few shapes occur


@dataclass(frozen=True)
class Rows:
    """Rows of ids: inputs, targets, and the number of each input's document, counted from the stream's first.

    ``domain_B``: the domain of each row, None where a row may hold several.
    """

    ids_BT: np.ndarray
    targets_BT: np.ndarray
    document_BT: np.ndarray
    domain_B: np.ndarray | None = None

    def padded(self, width: int, eos: int) -> Rows:
        """The same rows with padding at their end, as a document of its own."""
        more = ((0, 0), (0, width - self.ids_BT.shape[1]))
        last_BT = np.repeat(self.document_BT.max(axis=1, keepdims=True) + 1, more[1][1], axis=1)
        return Rows(
            np.pad(self.ids_BT, more, constant_values=eos),
            np.pad(self.targets_BT, more, constant_values=IGNORE),
            np.concatenate([self.document_BT, last_BT], axis=1),
            self.domain_B,
        )


def stacked(parts: list[Rows], eos: int) -> Rows:
    """Rows of several cuts, one below the other, the shorter padded to the longest."""
    width = max(part.ids_BT.shape[1] for part in parts)
    wide = [part.padded(width, eos) for part in parts]
    domains = [part.domain_B for part in parts if part.domain_B is not None]
    return Rows(
        np.concatenate([part.ids_BT for part in wide]),
        np.concatenate([part.targets_BT for part in wide]),
        np.concatenate([part.document_BT for part in wide]),
        np.concatenate(domains) if len(domains) == len(parts) else None,
    )


@dataclass(frozen=True)
class _Epoch:
    """One order of the documents: ``order_N``; ids and bytes before each in that order, N + 1 entries."""

    order_N: np.ndarray
    tokens_N1: np.ndarray
    bytes_N1: np.ndarray


class Stream:
    """Some documents of a split, read in ever new orders.

    With ``unit="tokens"`` a row is ``context`` targets. Its first input is the last target of the row before: every id
    of an epoch is a target exactly once.

    With ``unit="bytes"`` row r covers bytes [r * context, (r + 1) * context) of the stream of text. An id belongs to
    the row that holds its first byte, BOS to that of its document's first byte, EOS to that of the last. So a row is
    the same text whatever the tokenizer, and again every id is a target exactly once. Rows are padded at their end
    with EOS as input and ``IGNORE`` as target, up to a multiple of 64 ids for the longest of a cut.

    A BOS is never a scored target, for nothing could predict that a document follows; an EOS is scored, at 0 bytes.

    Attributes:
        documents, tokens, bytes: of an epoch.

    Args:
        store: the ids.
        split: which documents, together with
        documents_M: their numbers in the split.
        order: epoch -> the order in which these are read, as places in ``documents_M``; None: as they stand, in every
            epoch.
        unit: what ``context`` is counted in.
        context: targets or bytes of a row.
    """

    def __init__(
        self,
        store: TokenStore,
        split: SplitName,
        documents_M: np.ndarray,
        order: Callable[[int], np.ndarray] | None,
        *,
        unit: Literal["tokens", "bytes"],
        context: int,
    ) -> None:
        self.store, self.unit, self.context = store, unit, context
        self._split = store.split(split)
        self._documents_M, self._order = documents_M, order
        self._length_N = np.diff(self._split.start_N1)
        self._epochs: dict[int, _Epoch] = {}
        self.documents = len(documents_M)
        self.tokens = int(self._length_N[documents_M].sum())
        self.bytes = int(self._split.bytes_N[documents_M].sum())
        self.whole = self.tokens if unit == "tokens" else self.bytes

    def mean(self, rows: int) -> tuple[float, float]:
        """Scored targets and bytes of text of so many rows, the exact mean over an epoch."""
        share = rows * self.context / self.whole
        return (self.tokens - self.documents) * share, self.bytes * share

    def epochs(self, rows: int) -> float:
        """How often the documents have been read after so many rows."""
        return rows * (self.context / self.whole)

    def occurrences(self, rows: int) -> np.ndarray:
        """The documents that the first ``rows`` rows read to their end, in that order, as numbers in the store.

        A document that is read again in another epoch stands here again.
        """
        limit = rows * self.context
        whole, left = divmod(limit + 1, self.tokens) if self.unit == "tokens" else divmod(limit, self.bytes)
        last = self._epoch(whole)
        before_N1 = last.tokens_N1 if self.unit == "tokens" else last.bytes_N1
        ended = int(np.searchsorted(before_N1, left, side="right")) - 1
        return np.concatenate([*(self._epoch(number).order_N for number in range(whole)), last.order_N[:ended]])

    def cut(self, row: int, count: int) -> Rows:
        """``count`` rows from row ``row``."""
        by = self._by_tokens if self.unit == "tokens" else self._by_bytes
        return by(row * self.context, count)

    def _by_tokens(self, first: int, count: int) -> Rows:
        """Rows from place ``first`` of the stream of ids."""
        ids, document = self._ids(first, first + count * self.context + 1)
        shape = (count, self.context)
        return Rows(ids[:-1].reshape(shape), self._targets(ids[1:]).reshape(shape), document[:-1].reshape(shape))

    def _by_bytes(self, first: int, count: int) -> Rows:
        """Rows from byte ``first`` of the stream of text."""
        (low, text), (high, _) = self._place(first), self._place(first + count * self.context)
        before = max(low - 1, 0)  # the first input
        ids, document = self._ids(before, high)
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
            order_N = self._documents_M if self._order is None else self._documents_M[self._order(number)]
            made = _Epoch(order_N, _before(self._length_N[order_N]), _before(self._split.bytes_N[order_N]))
            kept = list(self._epochs.items())[-1:]
            self._epochs = dict([*kept, (number, made)])
        return self._epochs[number]

    def _ids(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids [low, high) of the stream and the number of each one's document in it, both int64."""
        ids: list[np.ndarray] = []
        documents: list[np.ndarray] = []
        whole = self.tokens
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
        number, byte = divmod(byte, self.bytes)
        epoch = self._epoch(number)
        at = int(np.searchsorted(epoch.bytes_N1, byte, side="right")) - 1
        tokens = number * self.tokens + int(epoch.tokens_N1[at])
        text = number * self.bytes + int(epoch.bytes_N1[at])
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
