"""A mixture of domains as one stream: which row of a run is of which domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from tinylm.data.shares import Shares
from tinylm.data.split import SplitName
from tinylm.data.store import TokenStore
from tinylm.data.stream import Rows, Stream, stacked
from tinylm.streams import Streams


class Turns:
    """Whose turn each row is: blocks of rows, each with its quota of every domain, in an order drawn for it.

    The quotas of all blocks so far are within one row of ``share_D``, so proportions are exact at any length, and a
    row's domain and its number among that domain's rows are found without the blocks before.

    Args:
        share_D: of sum 1.
        order: block -> generator.
    """

    def __init__(self, share_D: np.ndarray, order: Callable[[int], np.random.Generator]) -> None:
        self.block = int(np.ceil(2 / share_D[share_D > 0].min()))  # rows; two of the rarest, so no quota is negative
        self._edge_D1 = np.concatenate([[0.0], np.cumsum(share_D)])
        self._edge_D1[-1] = 1.0
        self._order = order
        self._blocks: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def counts(self, block: int) -> np.ndarray:
        """Rows of each domain in all blocks before ``block``, (D,)."""
        return np.diff(np.rint(block * self.block * self._edge_D1).astype(np.int64))

    def __getitem__(self, row: int) -> tuple[int, int]:
        """The domain of a row, and how many rows of that domain are before it."""
        number, place = divmod(row, self.block)
        if number not in self._blocks:
            before_D, after_D = self.counts(number), self.counts(number + 1)
            turn_M = np.repeat(np.arange(len(before_D)), after_D - before_D)
            turn_M = self._order(number).permutation(turn_M)
            earlier_M = np.empty_like(turn_M)
            for domain, first in enumerate(before_D):
                own = turn_M == domain
                earlier_M[own] = first + np.arange(own.sum())
            kept = list(self._blocks.items())[-1:]
            self._blocks = dict([*kept, (number, (turn_M, earlier_M))])
        turn_M, earlier_M = self._blocks[number]
        return int(turn_M[place]), int(earlier_M[place])


class Mixed:
    """The streams of all domains as one: row after row of the domain whose turn it is. It has ``Stream``'s methods.

    Args:
        store: its domains are mixed.
        streams: ``data`` gives the order of each domain's documents, and the turns.
        unit, context: of a row, so that shares are of tokens or of bytes.
    """

    def __init__(
        self,
        store: TokenStore,
        split: SplitName,
        shares: Shares,
        streams: Streams,
        *,
        unit: Literal["tokens", "bytes"],
        context: int,
    ) -> None:
        self.eos = store.eos
        held = store.split(split)
        domain_N = np.zeros(held.documents, np.int64) if held.domain_N is None else held.domain_N
        bytes_D = np.bincount(domain_N, weights=held.bytes_N, minlength=len(store.domains))
        self.share_D = shares.of(bytes_D, store.domains)
        self.turns = Turns(self.share_D, lambda block: streams.numpy("data", "turns", block))

        def order(domain: int, count: int) -> Callable[[int], np.ndarray]:
            name = store.domains[domain]
            return lambda epoch: streams.numpy("data", "domain", name, "epoch", epoch).permutation(count)

        self._streams: dict[int, Stream] = {}
        for domain in np.flatnonzero(self.share_D).tolist():
            own_M = np.flatnonzero(domain_N == domain)
            self._streams[domain] = Stream(store, split, own_M, order(domain, len(own_M)), unit=unit, context=context)

    def mean(self, rows: int) -> tuple[float, float]:
        """Scored targets and bytes of text of so many rows, the exact mean."""
        means = [
            (self.share_D[domain] * tokens, self.share_D[domain] * size)
            for domain, stream in self._streams.items()
            for tokens, size in [stream.mean(rows)]
        ]
        return float(sum(tokens for tokens, _ in means)), float(sum(size for _, size in means))

    def epochs(self, rows: int) -> float:
        """How often the domain that is read most often has been read."""
        return max(float(self.share_D[domain]) * stream.epochs(rows) for domain, stream in self._streams.items())

    def cut(self, row: int, count: int) -> Rows:
        """``count`` rows from row ``row``, each of one domain."""
        parts = []
        for domain, number in (self.turns[place] for place in range(row, row + count)):
            found = self._streams[domain].cut(number, 1)
            parts.append(Rows(found.ids_BT, found.targets_BT, found.document_BT, np.array([domain])))
        return stacked(parts, self.eos)
