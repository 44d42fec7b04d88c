"""Cosine decay."""

from __future__ import annotations

import math

from tinylm.train.slots import Schedule
from tinylm.train.warmup import warmed


class Cosine(Schedule):
    """Linear warm-up, then half a cosine down to ``floor``. Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5.

    Args:
        warmup: fraction of the budget over which the rate rises.
        floor: fraction of the peak that is left at the end.
    """

    def __init__(self, warmup: float = 0.02, floor: float = 0.1) -> None:
        self.warmup = warmup
        self.floor = floor

    def __call__(self, fraction: float) -> float:
        if fraction < self.warmup:
            return warmed(fraction, self.warmup)
        past = (fraction - self.warmup) / (1 - self.warmup)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * past)) / 2
