"""How many times as much compute an arm needs to be as good as another: what lies between their curves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from tinylm.report.judgement.curves import SPAN, Curve
from tinylm.report.statistics.difference import over_seeds

_WIDEST = math.log(1e6)  # of an interval's end: beyond there is nothing to read, and soon no number


@dataclass(frozen=True)
class Multiplier:
    """Times the variant's training FLOPs that the opponent needs for the same loss, with its interval over seeds.

    Fields:
        value, low, high: None without a multiplier.
        reason: why there is none, or what limits it; else empty.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def multiplier(variant: Curve | None, against: Curve | None, alpha: float) -> Multiplier:
    """The multiplier between two arms' curves of the same seeds, or why there is none."""
    if variant is None or against is None:
        return Multiplier(reason="no multiplier: it needs a loss (direction: lower) and training FLOPs at every size")
    for curve in (variant, against):
        if not curve.grows:
            return Multiplier(reason="no multiplier: training FLOPs do not grow from each size to the next")
        if not curve.spans:
            return Multiplier(reason=f"no multiplier: the sizes span less than {SPAN:g} times the training FLOPs")
    found_N = log_multiplier_N(variant, against)
    if found_N is None:
        return Multiplier(reason="no multiplier: the arms' losses do not fall through the same values at every seed")
    interval = over_seeds(found_N, alpha)
    if interval is None:
        return Multiplier(reason="no multiplier: it is the same for every seed, so there is no spread to weigh it by")
    limits = []
    if variant.elsewhere or against.elsewhere:
        limits.append("the multiplier counts training FLOPs alone, not those of parents and of initialising")
    ends = [(float(curve.loss_NS.mean(0).min()), float(curve.loss_NS.mean(0).max())) for curve in (variant, against)]
    low, high = max(end[0] for end in ends), min(end[1] for end in ends)
    if math.log(high / low) < min(math.log(end[1] / end[0]) for end in ends) / 2:
        limits.append(f"the multiplier is over losses of {low:.3f} to {high:.3f} alone, which both arms reach")
    if max(map(abs, interval)) > _WIDEST:
        return Multiplier(reason="no multiplier: its interval reaches beyond a millionfold")
    value, lowest, highest = (math.exp(float(number)) for number in (found_N.mean(), *interval))
    return Multiplier(value, lowest, highest, "; ".join(limits))


def log_multiplier_N(variant: Curve, against: Curve) -> np.ndarray | None:
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
    for own_S, other_S, own_compute_S, other_compute_S in zip(
        np.log(variant.loss_NS),
        np.log(against.loss_NS),
        np.log(variant.compute_NS),
        np.log(against.compute_NS),
        strict=True,
    ):
        low, high = max(own_S.min(), other_S.min()), min(own_S.max(), other_S.max())
        if low >= high or (np.diff(own_S) >= 0).any() or (np.diff(other_S) >= 0).any():
            return None
        own, other = (
            PchipInterpolator(loss_S[::-1], compute_S[::-1]).integrate(low, high)
            for loss_S, compute_S in ((own_S, own_compute_S), (other_S, other_compute_S))
        )
        found.append((other - own) / (high - low))
    return np.array(found)
