"""Units: the text of a run's first steps in pieces, of which a later round reads some again.

Units are numbered in the order in which the first round reads them. Any step of a later round is found from the
numbers of the chosen units alone, so there too nothing is replayed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from tinylm.batch import Batch

if TYPE_CHECKING:
    from tinylm.data.loader import Batches

Unit = Literal["batch", "sequence", "document"]
IN_TURNS = "rounds.unit=document: a mixture reads its domains in turns; take sequence or batch"


class Reading(Protocol):
    """Batches of a round, steps from 0."""

    def __getitem__(self, step: int) -> Batch:
        """The batch of ``step``; pure."""

    def rows(self, step: int, rank: int, world: int) -> Batch:
        """Rows ``rank::world`` of the batch of ``step``."""


class Whole(Protocol):
    """Batches of which only whole ones are chosen."""

    def rows(self, step: int, rank: int, world: int) -> Batch: ...


class Units(ABC):
    """The units of the first ``steps`` steps.

    Attributes:
        count: how many there are.
    """

    count: int

    @abstractmethod
    def number_BT(self, step: int, batch: Batch) -> np.ndarray:
        """The unit of each target of ``batch``, which is that of ``step``; no unit's where it is not below ``count``.

        What broadcasts to (B, T) will do.
        """

    @abstractmethod
    def enough(self, drawn_M: np.ndarray, steps: int) -> int:
        """How many of the units, in the order in which they were drawn, fill ``steps`` steps; all where none do."""

    @abstractmethod
    def reading(self, index_M: np.ndarray) -> Reading:
        """These units one after another, as batches."""


class WholeBatches(Units):
    """A unit is a batch (one optimiser step)."""

    def __init__(self, batches: Whole, steps: int) -> None:
        self.batches = batches
        self.count = steps

    def number_BT(self, step: int, batch: Batch) -> np.ndarray:
        return np.full((1, 1), step)

    def enough(self, drawn_M: np.ndarray, steps: int) -> int:
        return min(steps, len(drawn_M))

    def reading(self, index_M: np.ndarray) -> Reading:
        return _ChosenBatches(self.batches, index_M)


class Sequences(Units):
    """A unit is a row of a batch: ``context`` tokens or bytes that follow one another in the stream."""

    def __init__(self, batches: Batches, steps: int) -> None:
        self.batches = batches
        self.count = steps * batches.size

    def number_BT(self, step: int, batch: Batch) -> np.ndarray:
        return step * self.batches.size + np.arange(self.batches.size)[:, None]

    def enough(self, drawn_M: np.ndarray, steps: int) -> int:
        return min(steps * self.batches.size, len(drawn_M))

    def reading(self, index_M: np.ndarray) -> Reading:
        return _ChosenRows(self.batches, index_M)


class WholeDocuments(Units):
    """A unit is a document that was read to its end; one that was read in two epochs is two units.

    A later round lays the chosen documents end to end and cuts rows anew. Should they not fill the round, it begins
    again with the first.
    """

    def __init__(self, batches: Batches, steps: int) -> None:
        self.batches = batches
        self.document_N = batches.occurrences(steps)
        self.count = len(self.document_N)

    def number_BT(self, step: int, batch: Batch) -> np.ndarray:
        return self.batches.documents_BT(step)

    def enough(self, drawn_M: np.ndarray, steps: int) -> int:
        fills_M = np.cumsum(self.batches.steps_of(self.document_N[drawn_M]))
        return min(int(np.searchsorted(fills_M, steps)) + 1, len(drawn_M))

    def reading(self, index_M: np.ndarray) -> Reading:
        return self.batches.restricted(self.document_N[index_M])


class _ChosenBatches:
    def __init__(self, batches: Whole, index_M: np.ndarray) -> None:
        self.batches, self.index_M = batches, index_M

    def __getitem__(self, step: int) -> Batch:
        return self.rows(step, 0, 1)

    def rows(self, step: int, rank: int, world: int) -> Batch:
        return self.batches.rows(int(self.index_M[step]), rank, world)


class _ChosenRows:
    def __init__(self, batches: Batches, index_M: np.ndarray) -> None:
        self.batches, self.index_M = batches, index_M

    def __getitem__(self, step: int) -> Batch:
        return self.rows(step, 0, 1)

    def rows(self, step: int, rank: int, world: int) -> Batch:
        size = self.batches.size
        return self.batches.gather(self.index_M[step * size : (step + 1) * size], rank, world)


def cut_into(unit: Unit, batches: Batches, steps: int) -> Units:
    """The text of the first ``steps`` steps of ``batches`` in units."""
    kinds: dict[Unit, type[WholeBatches | Sequences | WholeDocuments]] = {
        "batch": WholeBatches,
        "sequence": Sequences,
        "document": WholeDocuments,
    }
    return kinds[unit](batches, steps)
