"""Linear decay."""

from __future__ import annotations

from tinylm.train.slots import Schedule
from tinylm.train.warmup import warmed


class Linear(Schedule):
    """Linear warm-up, then a straight line down to ``floor``. Bergsma et al. 2025, arXiv:2502.15938.

    Args:
        warmup: fraction of the budget over which the rate rises.
        floor: fraction of the peak that is left at the end.
    """

    def __init__(self, warmup: float = 0.02, floor: float = 0.0) -> None:
        self.warmup = warmup
        self.floor = floor

    def __call__(self, fraction: float) -> float:
        if fraction < self.warmup:
            return warmed(fraction, self.warmup)
        return 1 - (1 - self.floor) * (fraction - self.warmup) / (1 - self.warmup)
