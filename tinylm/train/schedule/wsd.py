"""Warm-up, stable, decay."""

from __future__ import annotations

from tinylm.errors import UserError
from tinylm.train.slots import Schedule
from tinylm.train.warmup import warmed


class WarmupStableDecay(Schedule):
    """Linear warm-up, the peak, then a straight line down to ``floor``.

    Hu et al. 2024 (MiniCPM), arXiv:2404.06395, eq. 1; the decay is linear here (Hägele et al. 2024, arXiv:2405.18392,
    compare its shapes).

    Args:
        warmup: fraction of the budget over which the rate rises.
        decay: fraction of the budget, the last, over which it falls.
        floor: fraction of the peak that is left at the end.
    """

    def __init__(self, warmup: float = 0.02, decay: float = 0.2, floor: float = 0.0) -> None:
        if warmup + decay > 1:
            raise UserError(f"schedule: warmup {warmup} and decay {decay} are more than the whole budget")
        self.warmup = warmup
        self.decay = decay
        self.floor = floor

    def __call__(self, fraction: float) -> float:
        if fraction <= 1 - self.decay:
            return warmed(fraction, self.warmup)
        return self.floor + (1 - self.floor) * (1 - fraction) / self.decay
