"""Batches as a pure function of (store, seed, step).

An epoch lays all documents end to end in an order drawn from (seed, epoch); epochs follow one another. That stream of
ids is cut into rows, so any step is found by its place. A mixture has such a stream for each domain, and a row is of
one of them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
import torch

from tinylm.batch import IGNORE, Batch
from tinylm.data.mixture import Mixed
from tinylm.data.shares import Shares
from tinylm.data.split import SplitName
from tinylm.data.store import TokenStore
from tinylm.data.stream import Rows, Stream, stacked
from tinylm.data.units import IN_TURNS, Unit, Units, cut_into
from tinylm.errors import UserError
from tinylm.streams import Streams

MEASURED = 1024  # first steps whose padding is measured: their mean is within 1% of a long run's


class Batches:
    """A split as batches, mostly the train split: ``batches[step]``, steps from 0.

    A batch is ``size`` rows that follow one another in the stream; see `tinylm.data.stream.Stream` for what a row is,
    and `tinylm.data.mixture.Mixed` for a mixture's.

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
        shares: how much of each domain is read; None: all domains are one stream, as large as they are.

    Raises:
        UserError: ``shares`` do not fit the store's domains.
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
        shares: Shares | None = None,
    ) -> None:
        self.store, self.streams = store, streams
        self.unit, self.size, self.context = unit, size, context
        self.within_documents = within_documents
        self.split = split
        self._source: Stream | Mixed
        if shares is not None and only is None:
            self._source = Mixed(store, split, shares, streams, unit=unit, context=context)
        else:
            self._source = self._stream(only)
        self.tokens_per_step, self.bytes_per_step = self._source.mean(size)

    @cached_property
    def positions_per_step(self) -> float:
        """What FLOPs are planned by: scored targets, or in bytes positions with padding (mean of the first steps)."""
        if self.unit == "tokens":
            return self.tokens_per_step
        return float(np.mean([self._cut(step).ids_BT.size for step in range(MEASURED)]))

    def epoch(self, step: int) -> float:
        """How often the split has been read before ``step``; of a mixture, the domain that is read most often."""
        return self._source.epochs(step * self.size)

    def __getitem__(self, step: int) -> Batch:
        return self.rows(step, 0, 1)

    def rows(self, step: int, rank: int, world: int) -> Batch:
        """Rows ``rank::world`` of the batch at ``step``, as long as those of the other ranks.

        Raises:
            IndexError: the step is negative: nothing was before the first.
        """
        if step < 0:
            raise IndexError(f"step {step} is negative")
        return self._batch(self._cut(step), rank, world)

    def gather(self, row_M: np.ndarray, rank: int = 0, world: int = 1) -> Batch:
        """Rows ``rank::world`` of a batch made of these rows of the stream; step s holds those from s * ``size`` on.

        Where rows are cut by bytes, the shorter are padded to the longest.
        """
        return self._batch(stacked([self._source.cut(int(row), 1) for row in row_M], self.store.eos), rank, world)

    def documents_BT(self, step: int) -> np.ndarray:
        """The number of each input's document in the stream, counted from the stream's first."""
        return self._cut(step).document_BT

    def occurrences(self, steps: int) -> np.ndarray:
        """The documents that the first ``steps`` steps read to their end, in that order, as numbers in the store.

        A document that is read again in another epoch stands here again.

        Raises:
            UserError: of a mixture, where no order of all documents is read.
        """
        if isinstance(self._source, Mixed):
            raise UserError(IN_TURNS)
        return self._source.occurrences(steps * self.size)

    def steps_of(self, documents_M: np.ndarray) -> np.ndarray:
        """How many steps each of these documents of the store fills, alone."""
        split = self.store.split(self.split)
        long_N = np.diff(split.start_N1) if self.unit == "tokens" else split.bytes_N
        return long_N[documents_M] / (self.size * self.context)

    def restricted(self, documents_M: np.ndarray) -> Batches:
        """The same cut of these documents of the store alone, in this order."""
        return Batches(
            self.store,
            self.streams,
            unit=self.unit,
            size=self.size,
            context=self.context,
            within_documents=self.within_documents,
            split=self.split,
            only=documents_M,
        )

    def units(self, unit: Unit, steps: int) -> Units:
        """The text of the first ``steps`` steps in units that a later round may choose."""
        return cut_into(unit, self, steps)

    def _stream(self, only: np.ndarray | None) -> Stream:
        documents_M = np.arange(self.store.split(self.split).documents) if only is None else only

        def order(epoch: int) -> np.ndarray:
            return self.streams.numpy("data", "epoch", epoch).permutation(len(documents_M))

        return Stream(
            self.store,
            self.split,
            documents_M,
            order if only is None else None,
            unit=self.unit,
            context=self.context,
        )

    def _cut(self, step: int) -> Rows:
        return self._source.cut(step * self.size, self.size)

    def _batch(self, rows: Rows, rank: int, world: int) -> Batch:
        ids_BT, targets_BT, document_BT = (
            array[rank::world] for array in (rows.ids_BT, rows.targets_BT, rows.document_BT)
        )
        scored = targets_BT[targets_BT != IGNORE]
        return Batch(
            ids_BT=torch.from_numpy(np.ascontiguousarray(ids_BT)),
            targets_BT=torch.from_numpy(np.ascontiguousarray(targets_BT)),
            document_BT=torch.from_numpy(document_BT - document_BT[:, :1]) if self.within_documents else None,
            domain_B=None if rows.domain_B is None else torch.from_numpy(rows.domain_B[rank::world].copy()),
            bytes=int(self.store.bytes_V[scored].sum()),
            tokens=len(scored),
        )
