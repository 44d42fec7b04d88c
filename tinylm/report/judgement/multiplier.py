"""How many times as much compute an arm needs to be as good as another: what lies between their curves."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from tinylm.report.judgement.scaling import Law


def both_reach(variant: Law, against: Law) -> tuple[float, float] | None:
    """Lowest and highest of the mean losses that both arms have somewhere between their sizes; None without one."""
    ends = [(law.loss_NS.mean(0).min(), law.loss_NS.mean(0).max()) for law in (variant, against)]
    low, high = max(end[0] for end in ends), min(end[1] for end in ends)
    return (float(low), float(high)) if low < high else None


def log_multiplier_N(variant: Law, against: Law) -> np.ndarray | None:
    """Logarithm of the opponent's compute over the variant's at the same loss, a mean over losses that both reach.

    The Bjøntegaard delta (Bjøntegaard 2001, ITU-T VCEG-M33; Herglotz et al. 2023, arXiv:2304.12852) of each seed, with
    losses as logarithms too: each arm's curve goes through its own sizes, monotone between them (`PchipInterpolator`),
    so no law is assumed and no curve is followed beyond its ends. Swapped arms have the same number, negated.

    Args:
        variant, against: of the same seeds, in the same order.

    Returns:
        A value a seed; None where one's loss does not fall from each size to the next, or has no value in common with
        the other's.
    """
    found = []
    for own_S, other_S in zip(np.log(variant.loss_NS), np.log(against.loss_NS), strict=True):
        low, high = max(own_S.min(), other_S.min()), min(own_S.max(), other_S.max())
        if low >= high or (np.diff(own_S) >= 0).any() or (np.diff(other_S) >= 0).any():
            return None
        areas = [
            PchipInterpolator(loss_S[::-1], np.log(law.compute_S)[::-1]).integrate(low, high)
            for loss_S, law in ((other_S, against), (own_S, variant))
        ]
        found.append((areas[0] - areas[1]) / (high - low))
    return np.array(found)
