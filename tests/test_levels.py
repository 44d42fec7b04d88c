"""Every number of a verdict and of a plan stands at the level of its family and rests on the noisiest that is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_sweep import Sweep
from test_documents import BITS, scored

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.power import (
    describe_power,
    minimum_detectable_effect,
    power_of_equivalence,
    power_of_t,
)
from tinylm.report.judgement.spread import past_spread
from tinylm.report.judgement.verdicts import Comparison
from tinylm.report.statistics.difference import Difference, paired
from tinylm.report.statistics.documents import Documents

ARMS: dict[str, dict[str, str]] = {"d4": {}, "d8": {}, "d12": {}, "d16": {}}


def noisy(root: Path, seeds: int, spreads: tuple[float, ...] = (0.002, 0.02, 0.005), gap: float = 0.02) -> Sweep:
    """Three arms beside a baseline, ``gap`` apart from it, each with noise of its own."""
    sweep = Sweep(root, arms=ARMS, seeds=list(range(seeds)))
    rng = np.random.default_rng(5)
    base = rng.normal(1.9, 0.005, seeds)
    sweep.arm("d4", list(base))
    for arm, spread in zip(list(ARMS)[1:], spreads, strict=True):
        sweep.arm(arm, list(base - gap + rng.normal(0, spread, seeds)))
    return sweep


def of(found: Comparison, sweep: Sweep) -> Difference:
    """The difference of a comparison, from its scores."""
    scores = sweep.frame().set_index(["shape.depth", "seed"])["bits_per_byte"]
    sides = [dict(scores[int(arm[1:])]) for arm in (found.variant, found.against)]
    difference = paired(*sides)
    assert difference is not None
    return difference


def test_what_stands_beside_the_t_test_has_its_level(tmp_path: Path) -> None:
    sweep = noisy(tmp_path, 20)
    levels = set()
    for found in sweep.verdicts().comparisons:
        assert found.interval_level is not None
        difference, alpha = of(found, sweep), 1 - found.interval_level
        assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx(difference.bootstrap(alpha))
        levels.add(round(alpha, 4))
    assert len(levels) > 1, "else one level would do for all"
    few = noisy(tmp_path / "few", 6).verdicts().comparisons
    reached = {item.variant: 2.0 ** (1 - item.n) <= 1 - (item.interval_level or 1) for item in few}
    assert set(reached.values()) == {True, False}
    assert {item.variant: item.p_sign_flip is not None for item in few} == reached


def test_what_was_detectable_is_told_at_the_worst_level_and_of_the_noisiest(tmp_path: Path) -> None:
    found = noisy(tmp_path, 5).verdicts()
    for item in found.comparisons:
        assert item.sd is not None
        assert item.minimum_detectable_effect == pytest.approx(minimum_detectable_effect(item.sd, 5, 3))
    every = [item.minimum_detectable_effect or 0.0 for item in found.comparisons]
    assert found.minimum_detectable_effect == max(every) > min(every)


def test_seeds_and_documents_have_the_level_of_the_seeds(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, arms=ARMS)
    rng = np.random.default_rng(1)
    bytes_N, effect_N = rng.integers(500, 4000, 200), -0.02 + rng.normal(0, 0.02, 200)
    for arm in ARMS:
        for seed in range(5):
            key = sweep.run(arm, seed, 1.9, config=BITS)
            own = 1.9 + rng.normal(0, 0.01) + (effect_N if arm == "d8" else 0.0)
            scored(sweep, key, own * bytes_N, bytes_N)
    for found in sweep.verdicts().comparisons:
        rows = {str(row["key"]): row for row in sweep.frame().to_dict("records")}
        keys = [[f"{arm}-compare-{seed}" for seed in range(5)] for arm in (found.variant, found.against)]
        assert found.interval_level is not None
        difference = of(found, sweep)
        expected = Documents(rows, "bits_per_byte").interval(difference, *keys, 1 - found.interval_level)  # type: ignore[arg-type]
        assert (found.text_low, found.text_high) == pytest.approx(expected)
        other = Documents(rows, "bits_per_byte").interval(difference, *keys, 0.01)  # type: ignore[arg-type]
        assert (found.text_low, found.text_high) != pytest.approx(other)


def test_a_plan_reckons_with_the_worst_level_of_the_family(tmp_path: Path) -> None:
    sweep = noisy(tmp_path, 5)
    claim = sweep.manifest().claim
    assert claim is not None
    spread = past_spread(claim, [tmp_path])
    assert spread is not None
    first, *lines = describe_power(claim, [tmp_path])
    told = {3: minimum_detectable_effect(spread.sd, 5, 3), 1: minimum_detectable_effect(spread.sd, 5)}
    assert f"effect of {told[3]:.2g} " in first
    assert f"effect of {told[1]:.2g} " not in first
    for power, words in ((power_of_t, "found at"), (power_of_equivalence, "shown so at")):
        wide = claim.delta if words == "found at" else 0.02
        lines = describe_power(Claim.parse({**sweep.claim, "delta": wide}), [tmp_path])
        chance = [
            power(wide, spread.sd, 5, family) if power is power_of_t else power(spread.sd, 5, wide, family)
            for family in (1, 3)
        ]
        assert f"{chance[0]:.0%}" != f"{chance[1]:.0%}", "else any family would do"
        assert any(f"{words} {chance[1]:.0%};" in line for line in lines)
    assert "warning: an effect of delta would rather be missed than shown" in "\n".join(
        describe_power(claim, [tmp_path])
    )


def test_a_plan_reckons_with_all_pairs_of_the_past(tmp_path: Path) -> None:
    sweep = noisy(tmp_path, 5)
    claim = sweep.manifest().claim
    assert claim is not None
    measured = past_spread(claim, [tmp_path])
    assert measured is not None
    assert measured.sd == pytest.approx(
        math.sqrt(np.mean([(item.sd or 0.0) ** 2 for item in sweep.verdicts().comparisons]))
    )
    assert (measured.provisional, measured.among) == ("", (1, measured.sd, measured.sd))
    other = past_spread(Claim.parse({**sweep.claim, "factor": ["model/ffn"]}), [tmp_path])
    assert other is not None
    assert (other.sd, other.provisional) == (measured.sd, "another factor")
