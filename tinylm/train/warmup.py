"""The linear warm-up that every schedule begins with."""

from __future__ import annotations


def warmed(fraction: float, warmup: float) -> float:
    """The multiplier that rises from 0 to 1 over the first ``warmup`` of the budget."""
    return fraction / warmup if fraction < warmup else 1.0
