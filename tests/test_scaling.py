"""The compute multiplier: identities, the slow sum beside the integral, coverage, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinylm.report.judgement.multiplier import both_reach, log_multiplier_N
from tinylm.report.judgement.scaling import Law, fit_law
from tinylm.report.statistics.difference import over_seeds


def arm(compute_S: np.ndarray, loss_NS: np.ndarray) -> Law:
    law = fit_law(compute_S, loss_NS)
    assert law is not None
    return law


def bent_loss(compute: np.ndarray) -> np.ndarray:
    """Steep, then flat, then steep: no power law."""
    x = np.log(compute / 1e13)
    return np.exp(0.7 - 0.05 * x - 0.01 * np.sin(x))


@pytest.mark.parametrize("sizes", [2, 3, 6])
def test_a_multiplier_is_exact_where_curves_are_shifted_copies(sizes: int) -> None:
    """The same sizes and 1.5 times their compute, whatever the curve; swapped, the same with the other sign."""
    compute = np.geomspace(1e13, 1e15, sizes)
    loss_NS = np.stack([bent_loss(compute), 0.9 * bent_loss(compute)])
    own, other = arm(compute, loss_NS), arm(1.5 * compute, loss_NS)
    assert log_multiplier_N(own, other) == pytest.approx([math.log(1.5)] * 2, rel=1e-9)
    assert log_multiplier_N(other, own) == pytest.approx([-math.log(1.5)] * 2, rel=1e-9)


def test_a_multiplier_is_the_mean_distance_between_curves() -> None:
    """Two arms of their own losses: beside sums over a fine grid of straight pieces, and within no more than both."""
    compute = np.geomspace(1e13, 1e15, 60)
    pairs = [np.stack([factor * bent_loss(c * compute) for factor in (1.0, 1.02)]) for c in (1.7, 1.0)]
    own, other = (arm(compute, loss_NS) for loss_NS in pairs)
    told = log_multiplier_N(own, other)
    assert told is not None
    for seed, found in enumerate(told):
        a_S, b_S = np.log(own.loss_NS[seed]), np.log(other.loss_NS[seed])
        levels = np.linspace(max(a_S.min(), b_S.min()), min(a_S.max(), b_S.max()), 20_001)
        a, b = (np.interp(levels, loss_S[::-1], np.log(compute)[::-1]) for loss_S in (a_S, b_S))
        assert found == pytest.approx(np.trapezoid(b - a, levels) / np.ptp(levels), abs=2e-3)
        assert found == pytest.approx(math.log(1.7), abs=2e-3)
    assert both_reach(own, other) == pytest.approx((other.loss_NS.mean(0).min(), own.loss_NS.mean(0).max()))


def test_arms_without_a_loss_in_common_have_no_multiplier() -> None:
    compute = np.geomspace(1e13, 1e15, 3)
    falling = arm(compute, np.array([[2.0, 1.9, 1.8]]))
    below = arm(compute, np.array([[1.7, 1.6, 1.5]]))
    rising = arm(compute, np.array([[1.8, 1.9, 1.7]]))
    assert log_multiplier_N(below, falling) is None
    assert both_reach(below, falling) is None
    assert log_multiplier_N(rising, falling) is None


def test_intervals_of_a_multiplier_cover_whether_losses_bend_or_not() -> None:
    rng, compute, covered = np.random.default_rng(0), np.geomspace(1e13, 1e15, 3), 0
    for _ in range(300):
        noisy = [bent_loss(c * compute) + rng.normal(0, 0.004, (3, 3)) for c in (1.5, 1.0)]
        found = log_multiplier_N(*(arm(compute, loss_NS) for loss_NS in noisy))
        assert found is not None
        interval = over_seeds(found, 0.05)
        assert interval is not None
        covered += interval[0] <= math.log(1.5) <= interval[1]
    assert covered / 300 == pytest.approx(0.95, abs=0.04)
