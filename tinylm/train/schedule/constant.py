"""Constant learning rate."""

from __future__ import annotations

from tinylm.train.slots import Schedule
from tinylm.train.warmup import warmed


class Constant(Schedule):
    """Linear warm-up, then the peak.

    Args:
        warmup: fraction of the budget over which the rate rises.
    """

    def __init__(self, warmup: float = 0.02) -> None:
        self.warmup = warmup

    def __call__(self, fraction: float) -> float:
        return warmed(fraction, self.warmup)
