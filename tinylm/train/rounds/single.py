"""One round."""

from __future__ import annotations

from tinylm.train.slots import Rounds


class Single(Rounds):
    """The whole budget in one round, the text in its own order."""

    def ends(self) -> tuple[float, ...]:
        return (1.0,)
