"""Loss against compute: power laws, their floors and bends; the multiplier between two curves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from synthetic_sweep import CLAIM as BLOCK

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.curves import Curve
from tinylm.report.judgement.multiplier import log_multiplier_N, multiplier
from tinylm.report.judgement.scaling import FLOOR_FROM, Law, fit_law, scaling_table
from tinylm.report.statistics.difference import over_seeds

CLAIM = Claim.parse({**BLOCK, "sizes": {f"{size}m": [] for size in range(6)}})


def curve(compute: np.ndarray, loss_NS: np.ndarray) -> Curve:
    """Of seeds from 0 on; ``compute`` is of each size, or of each seed and size."""
    return Curve(np.broadcast_to(compute, loss_NS.shape), loss_NS, tuple(range(len(loss_NS))))


def law_of(compute: np.ndarray, loss_NS: np.ndarray) -> Law:
    law = fit_law(curve(compute, loss_NS))
    assert law is not None
    return law


def bent_loss(compute: np.ndarray) -> np.ndarray:
    """Steep, then flat, then steep: no power law."""
    x = np.log(compute / 1e13)
    return np.exp(0.7 - 0.05 * x - 0.01 * np.sin(x))


def test_laws_are_found_again_and_a_floor_only_from_five_sizes() -> None:
    compute = np.geomspace(1e12, 1e16, 7)
    loss_NS = np.stack([0.9 + 3.0 * (compute / 1e12) ** -0.2 * factor for factor in (1.0, 1.01)])
    law = law_of(compute, loss_NS)
    assert law.exponent_N == pytest.approx([-0.2, -0.2], abs=1e-3)
    assert law.floor_N == pytest.approx([0.9, 0.9], abs=5e-3)
    few = law_of(compute[: FLOOR_FROM - 1], loss_NS[:, : FLOOR_FROM - 1])
    assert not few.floor_N.any()
    mean, low, high = law.band(compute, 0.05)
    assert mean == pytest.approx(loss_NS.mean(0), rel=1e-3)
    assert (low < mean).all()
    assert (mean < high).all()


@pytest.mark.parametrize("sizes", [3, FLOOR_FROM])
def test_sizes_of_equal_compute_have_no_law(sizes: int) -> None:
    compute = 1e12 * (1 + 5e-4 * np.arange(sizes))
    assert fit_law(curve(compute, np.linspace(2.0, 1.8, sizes)[None])) is None
    steep = np.geomspace(1e12, 2e12, FLOOR_FROM)
    fit_law(curve(steep, (steep[None] / 1e12) ** -4.0))  # steeper than any law that is fitted: no error


@pytest.mark.parametrize("sizes", [3, 4])
def test_scatter_about_a_law_is_seldom_called_a_bend(sizes: int) -> None:
    rng, compute, found = np.random.default_rng(0), np.geomspace(1e13, 1e15, sizes), 0
    for _ in range(600):
        law = law_of(compute, 1.9 * (compute / 1e13) ** -0.08 + rng.normal(0, 0.004, (3, sizes)))
        away = law.departure(0.05)
        assert away is not None
        found += away.sure
    assert found / 600 == pytest.approx(0.05, abs=0.025)
    pair = law_of(compute[:2], law.curve.loss_NS[:, :2])
    assert pair.departure(0.05) is None, "a line goes through any two sizes"


@pytest.mark.parametrize("sizes", [2, 3, 6])
def test_a_multiplier_is_exact_where_curves_are_shifted_copies(sizes: int) -> None:
    """The same sizes and 1.5 times their compute, whatever the curve; swapped, the same with the other sign."""
    compute = np.geomspace(1e13, 1e15, sizes)
    loss_NS = np.stack([bent_loss(compute), 0.9 * bent_loss(compute)])
    own, other = curve(compute, loss_NS), curve(1.5 * compute, loss_NS)
    assert log_multiplier_N(own, other) == pytest.approx([math.log(1.5)] * 2, rel=1e-9)
    assert log_multiplier_N(other, own) == pytest.approx([-math.log(1.5)] * 2, rel=1e-9)


def test_a_multiplier_is_the_mean_distance_between_curves() -> None:
    """Two arms of their own losses: beside sums over a fine grid of straight pieces, and within no more than both."""
    compute = np.geomspace(1e13, 1e15, 60)
    pairs = [np.stack([factor * bent_loss(c * compute) for factor in (1.0, 1.02)]) for c in (1.7, 1.0)]
    own, other = (curve(compute, loss_NS) for loss_NS in pairs)
    told = log_multiplier_N(own, other)
    assert told is not None
    for seed, found in enumerate(told):
        a_S, b_S = np.log(own.loss_NS[seed]), np.log(other.loss_NS[seed])
        levels = np.linspace(max(a_S.min(), b_S.min()), min(a_S.max(), b_S.max()), 20_001)
        a, b = (np.interp(levels, loss_S[::-1], np.log(compute)[::-1]) for loss_S in (a_S, b_S))
        assert found == pytest.approx(np.trapezoid(b - a, levels) / np.ptp(levels), abs=2e-3)
        assert found == pytest.approx(math.log(1.7), abs=2e-3)


def test_each_seed_has_flops_of_its_own() -> None:
    """Equal seconds are not equal FLOPs: runs that lie on one curve are as good as one another."""
    rng = np.random.default_rng(0)
    spent = [np.geomspace(1e13, 1e15, 3) * rng.uniform(0.7, 1.3, (4, 3)) for _ in range(2)]
    own, other = (curve(compute_NS, 2.0 * (compute_NS / 1e13) ** -0.05) for compute_NS in spent)
    assert log_multiplier_N(own, other) == pytest.approx(np.zeros(4), abs=1e-9)
    law = fit_law(own)
    assert law is not None
    assert law.exponent_N == pytest.approx([-0.05] * 4)
    some = own.of([2, 0])
    assert some is not None
    assert some.seeds == (2, 0)
    assert (some.loss_NS == own.loss_NS[[2, 0]]).all()
    assert (some.compute_NS == own.compute_NS[[2, 0]]).all()
    assert own.of([0, 7]) is None


def test_where_there_is_no_multiplier_the_reason_is_told() -> None:
    compute, noise = np.geomspace(1e13, 1e15, 3), np.array([[0.0] * 3, [0.002, 0.0, 0.004]])
    falling, better = (curve(compute, np.array([top, top - 0.1, top - 0.2]) + noise) for top in (2.0, 1.95))
    assert multiplier(better, falling, 0.05).reason == ""
    few = curve(compute, falling.loss_NS - 0.15)
    assert multiplier(few, falling, 0.05).reason == (
        "the multiplier is over losses of 1.802 to 1.851 alone, which both arms reach"
    )
    for other, told in (
        (None, "it needs a loss (direction: lower) and training FLOPs at every size"),
        (curve(compute, falling.loss_NS - 0.5), "the arms' losses do not fall through the same values at every seed"),
        (curve(compute, falling.loss_NS[:, [1, 0, 2]]), "the arms' losses do not fall through the same values"),
        (curve(compute[[1, 0, 2]], falling.loss_NS), "training FLOPs do not grow from each size to the next"),
        (curve(np.geomspace(1.0, 1.4, 3), falling.loss_NS), "the sizes span less than 1.5 times the training FLOPs"),
        (
            curve(1.1 * compute, falling.loss_NS * [[1.0], [0.999]]),
            "its interval reaches beyond a millionfold",
        ),
        (curve(2 * compute, falling.loss_NS), "it is the same for every seed, so there is no spread to weigh it by"),
    ):
        found = multiplier(other, falling, 1e-5 if told.startswith("its interval") else 0.05)
        assert (found.value, found.low) == (None, None)
        assert found.reason.startswith(f"no multiplier: {told}")


def test_a_floor_at_the_fits_bound_has_no_interval() -> None:
    compute = np.geomspace(1e12, 1e16, 6)
    loss = 3.0 * (compute / 1e12) ** -0.2
    table = scaling_table({"a": law_of(compute, np.stack([loss, loss * (1 + 1e-3 * np.arange(6))]))}, {"a": "A"}, CLAIM)
    assert table.loc[0, "floor"].endswith("seeds at the fit's bound")
    above = 0.5 + np.stack([loss, 1.01 * loss, 0.99 * loss]) + np.array([[0.0], [0.4], [-0.4]])
    told = scaling_table({"a": law_of(compute, above)}, {"a": "A"}, CLAIM).loc[0, "floor"]
    assert told.startswith("0.5")
    assert "(0.0000 to " in told, "no loss is below zero"


def test_intervals_of_a_multiplier_cover_where_losses_bend() -> None:
    rng, compute, covered = np.random.default_rng(0), np.geomspace(1e13, 1e15, 3), 0
    for _ in range(300):
        noisy = [bent_loss(c * compute) + rng.normal(0, 0.004, (3, 3)) for c in (1.5, 1.0)]
        found = log_multiplier_N(*(curve(compute, loss_NS) for loss_NS in noisy))
        assert found is not None
        interval = over_seeds(found, 0.05)
        assert interval is not None
        covered += interval[0] <= math.log(1.5) <= interval[1]
    assert covered / 300 == pytest.approx(0.95, abs=0.04)
