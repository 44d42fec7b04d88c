"""Several rounds, each later one on a part of the first one's text."""

from __future__ import annotations

from tinylm.data.units import Unit
from tinylm.errors import UserError
from tinylm.train.slots import Rounds, Selection


class Selected(Rounds):
    """Multiple-round training (Tang et al. 2024, arXiv:2402.02791, and the README of its repository).

    After each round but the last the model is frozen, the mean loss of every unit of the first round's text is taken,
    and a part of the units is drawn, none twice, to be read once more. Of N units in the first round a later one has
    ``rate`` x N, so the rounds end at 1 / (1 + (number - 1) rate) of the budget, and evenly from there.

    Our reading where the source is silent: every later round draws from the units of the first, not from those of the
    round before; units are read in the order of the first round, whatever the order in which they were drawn; schedule
    and optimiser run through all rounds as if they were one. The source recommends two rounds and a rate of one half.

    Args:
        number: rounds in all.
        rate: units of a later round over units of the first.
        selection: draws the units.
        unit: a batch as in the source, a sequence (a row of a batch) or a document. Batches of mixed text have nearly
            equal mean losses: a selection by loss then hardly differs from a uniform one.
        forgetting: score the first round's text after the last round too. That is a measurement, and not charged.
    """

    def __init__(
        self,
        selection: Selection,
        number: int = 2,
        rate: float = 0.5,
        unit: Unit = "batch",
        forgetting: bool = False,
    ) -> None:
        if number < 1:
            raise UserError(f"rounds.number: {number} rounds train nothing; take at least 1")
        if not 0 < rate <= 1:
            raise UserError(f"rounds.rate: {rate} is not in (0, 1]; it is the part of the units that are read again")
        self.selection = selection
        self.number, self.rate = number, rate
        self.unit = unit
        self.forgetting = forgetting

    def ends(self) -> tuple[float, ...]:
        whole = 1 + (self.number - 1) * self.rate
        return (*((1 + later * self.rate) / whole for later in range(self.number - 1)), 1.0)
