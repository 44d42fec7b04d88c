"""The statistics keep their promises: error rates, intervals that agree with decisions, power as simulated."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from synthetic_sweep import D4, D8, Sweep

from tinylm.report.judgement.power import (
    describe_power,
    minimum_detectable_effect,
    power_of_equivalence,
    power_of_t,
    seeds_needed,
    seeds_needed_for_equivalence,
)
from tinylm.report.judgement.spread import past_spread
from tinylm.report.statistics.difference import Difference, paired, unpaired
from tinylm.report.statistics.family import benjamini_hochberg, holm


def differences(seed: int, family: int, n: int, effects: list[float]) -> list[Difference]:
    """Differences of a family that shares its baseline, as a claim's arms do."""
    rng = np.random.default_rng(seed)
    base = rng.normal(1.9, 0.01, n)
    found = []
    for arm in range(family):
        scores = base * 0.5 + rng.normal(0.95 + effects[arm % len(effects)], 0.008, n)
        difference = paired(dict(enumerate(scores)), dict(enumerate(base)))
        assert difference is not None
        found.append(difference)
    return found


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    family=st.integers(1, 8),
    n=st.integers(2, 12),
    effects=st.lists(st.sampled_from([0.0, 0.004, 0.01, 0.02, 0.1, -0.015]), min_size=1, max_size=8),
    alpha=st.sampled_from([0.05, 0.01, 0.2]),
)
def test_an_interval_excludes_zero_exactly_when_its_adjusted_p_is_below_alpha(
    seed: int, family: int, n: int, effects: list[float], alpha: float
) -> None:
    found = differences(seed, family, n, effects)
    for difference, step in zip(found, holm([item.p_value for item in found], alpha), strict=True):
        interval = difference.interval(step.alpha)
        assert interval is not None
        assert (interval[0] > 0 or interval[1] < 0) == (step.p_adjusted < alpha)
        assert step.p_adjusted >= difference.p_value
        assert alpha / family - 1e-15 <= step.alpha <= alpha


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    family=st.integers(1, 8),
    n=st.integers(2, 12),
    effects=st.lists(st.sampled_from([0.0, 0.004, 0.01, 0.02, -0.015]), min_size=1, max_size=8),
    alpha=st.sampled_from([0.05, 0.01, 0.2]),
    delta=st.sampled_from([0.01, 0.02, 0.05, 0.2]),
)
def test_two_one_sided_tests_pass_exactly_when_the_interval_of_their_step_lies_inside_delta(
    seed: int, family: int, n: int, effects: list[float], alpha: float, delta: float
) -> None:
    found = differences(seed, family, n, effects)
    p_values = [item.p_equivalence(delta) for item in found]
    for procedure in (holm, benjamini_hochberg):
        for difference, step in zip(found, procedure(p_values, alpha), strict=True):
            interval = difference.interval(2 * step.alpha)
            assert interval is not None
            assert (-delta < interval[0] and interval[1] < delta) == (step.p_adjusted < alpha)


@settings(deadline=None, max_examples=15)  # each call of the reference is slow
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_is_holm(p_values: list[float]) -> None:
    reference = multipletests(p_values, method="holm")[1]
    assert [step.p_adjusted for step in holm(p_values, 0.05)] == pytest.approx(list(reference))


def test_a_comparison_that_holm_never_reached_has_the_level_of_the_step_that_stopped_it() -> None:
    # The third p would pass its own step (0.05 / 1), but the second failed at 0.05 / 2.
    steps = holm([0.03, 0.001, 0.04], 0.05)
    assert [step.p_adjusted < 0.05 for step in steps] == [False, True, False]
    assert [step.alpha for step in steps] == pytest.approx([0.025, 0.05 / 3, 0.025])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=2, max_size=12), st.integers(0, 99))
def test_the_paired_test_is_students_and_welchs_is_welchs(values: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.array(values) + rng.normal(0, 0.5, len(values)), rng.normal(0, 1, len(values))
    difference = paired(dict(enumerate(a)), dict(enumerate(b)))
    assert difference is not None
    assert difference.p_value == pytest.approx(float(stats.ttest_rel(a, b).pvalue), rel=1e-6, abs=1e-12)
    apart = unpaired(list(a), list(b))
    assert apart is not None
    assert apart.p_value == pytest.approx(float(stats.ttest_ind(a, b, equal_var=False).pvalue), rel=1e-6, abs=1e-12)


def test_equivalence_is_the_larger_of_two_one_sided_tests() -> None:
    scores = {seed: 0.002 * (-1) ** seed + 0.0007 * seed for seed in range(6)}
    difference = paired(scores, dict.fromkeys(scores, 0.0))
    assert difference is not None
    values = list(scores.values())
    low = stats.ttest_1samp(values, -0.005, alternative="greater").pvalue
    high = stats.ttest_1samp(values, 0.005, alternative="less").pvalue
    assert difference.p_equivalence(0.005) == pytest.approx(max(low, high))


@pytest.mark.parametrize(("n", "family"), [(3, 1), (3, 4), (5, 3), (10, 4)])
def test_families_without_an_effect_claim_one_in_at_most_five_percent(n: int, family: int) -> None:
    rounds = 2000
    false = sum(
        any(step.p_adjusted < 0.05 for step in holm([d.p_value for d in differences(i, family, n, [0.0])], 0.05))
        for i in range(rounds)
    )
    slack = 3 * math.sqrt(0.05 * 0.95 / rounds)  # Monte Carlo
    assert false / rounds <= 0.05 + slack
    assert false > 0  # the simulation can fail at all


def test_whole_sweeps_without_an_effect_rarely_claim_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    false = 0
    for index in range(12):
        sweep = Sweep(tmp_path / str(index), arms={"d4": {}, "d8": {}, "d16": {}}, seeds=[0, 1, 2], delta=1e-4)
        base = rng.normal(1.9, 0.01, 3)
        for arm in ("d4", "d8", "d16"):
            sweep.arm(arm, list(base + rng.normal(0, 0.003, 3)))
        false += any(item.verdict in ("better", "worse") for item in sweep.verdicts().comparisons)
    assert false <= stats.binom.isf(0.001, 12, 0.05)


@pytest.mark.parametrize(("n", "family"), [(3, 1), (5, 4)])
def test_a_planted_effect_is_found_as_often_as_planned(n: int, family: int) -> None:
    effect = minimum_detectable_effect(1.0, n, family)
    rng = np.random.default_rng(11)
    samples = rng.normal(effect, 1.0, (4000, n))
    p = stats.ttest_1samp(samples, 0.0, axis=1).pvalue
    assert np.mean(p < 0.05 / family) == pytest.approx(0.8, abs=0.025)


def test_intervals_cover_as_they_say() -> None:
    rng = np.random.default_rng(5)
    for n in (3, 5, 10):
        covered = 0
        for _ in range(1500):
            difference = paired(dict(enumerate(rng.normal(0.3, 1, n))), dict(enumerate(rng.normal(0, 1, n))))
            assert difference is not None
            low, high = difference.interval(0.05) or (0.0, 0.0)
            covered += low < 0.3 < high
        assert covered / 1500 == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("n", "comparisons", "sigmas"), [(3, 1, 4.6), (5, 1, 2.4), (10, 1, 1.4), (3, 4, 9.3), (5, 4, 3.5)]
)
def test_the_table_of_detectable_effects(n: int, comparisons: int, sigmas: float) -> None:
    assert minimum_detectable_effect(math.sqrt(2), n, comparisons) == pytest.approx(sigmas, abs=0.05)


@pytest.mark.parametrize(("n", "delta"), [(3, 2.7), (5, 1.6), (10, 1.0)])
def test_the_table_of_equivalence(n: int, delta: float) -> None:
    assert power_of_equivalence(1.0, n, delta) == pytest.approx(0.8, abs=0.02)


def test_power_is_monotone_and_has_sensible_ends() -> None:
    assert power_of_t(0.0, 1.0, 5) == pytest.approx(0.05, abs=1e-6)
    assert power_of_t(1.0, 0.0, 3) == 1.0
    assert power_of_t(1.0, 1.0, 1) == power_of_equivalence(1.0, 1, 9.0) == 0.0
    assert minimum_detectable_effect(1.0, 1) == math.inf
    assert minimum_detectable_effect(0.0, 3) == 0.0
    assert power_of_t(1.0, 1.0, 4) < power_of_t(1.0, 1.0, 8) < power_of_t(2.0, 1.0, 8)
    assert power_of_t(1.0, 1.0, 5000) == pytest.approx(1.0)
    assert seeds_needed(1.0, 1e-4) is None


@pytest.mark.parametrize("family", [1, 5])
def test_seeds_needed_is_the_fewest(family: int) -> None:
    n = seeds_needed(1.0, 1.3, family)
    assert n is not None
    assert power_of_t(1.3, 1.0, n, family) >= 0.8 > power_of_t(1.3, 1.0, n - 1, family)
    m = seeds_needed_for_equivalence(1.0, 1.3, family)
    assert m is not None
    assert power_of_equivalence(1.0, m, 1.3, family) >= 0.8 > power_of_equivalence(1.0, m - 1, 1.3, family)


def test_a_plan_takes_its_spread_from_pairs_of_its_factor_else_of_any_else_from_the_noisiest_arm(
    tmp_path: Path,
) -> None:
    sweep = Sweep(tmp_path / "runs").arm("d4", D4).arm("d8", D8)
    claim = sweep.manifest().claim
    assert claim is not None
    own = past_spread(claim, [sweep.root])
    assert own is not None
    assert (own.provisional, own.source) == ("", "depth_width (1 M parameters, 6 M tokens a run)")
    assert own.sd == pytest.approx(np.std(np.subtract(D8, D4), ddof=1))
    unlike = Sweep(tmp_path / "unlike").arm("d4", D4).arm("d8", D8, config={"optim.lr": 0.1})
    unlike.manifest()
    refused = past_spread(claim, [unlike.root])
    assert refused is not None
    assert refused.provisional == "of single arms", "pairs that may not be compared say nothing of pairs that may"
    assert refused.sd == pytest.approx(math.sqrt(2) * np.std(D4, ddof=1))
    other = Sweep(tmp_path / "other", "other", factor=["model/ffn"]).manifest().claim
    assert other is not None
    guess = past_spread(other, [sweep.root, tmp_path / "nowhere"])
    assert guess is not None
    assert (guess.provisional, guess.sd) == ("another factor", own.sd)
    assert past_spread(claim, [tmp_path / "nowhere"]) is None
    for name, wider in (("calm", 0.5), ("wild", 50.0)):
        arms = {f"{name}{place}": {} for place in (0, 1)}
        odd = Sweep(tmp_path / name, name, factor=["optim"], arms=arms, baseline=f"{name}0").arm(f"{name}0", D4)
        odd.arm(f"{name}1", [2.0 + wider * (score - np.mean(D4)) for score in D8], config={"optim.lr": 0.1})
        odd.manifest()
    roots = [sweep.root, tmp_path / "calm", tmp_path / "wild"]
    middle = past_spread(other, roots)
    assert middle is not None
    assert middle.among[0] == 3
    assert middle.among[1] < middle.sd < middle.among[2], "one odd sweep does not speak for all"
    assert "3 past sweeps: " in describe_power(other, roots)[0]
    again = past_spread(claim, roots)
    assert again is not None
    assert (again.sd, again.among[0]) == (own.sd, 1), "pairs of the same factor come first"


def test_a_plan_warns_where_the_claim_would_rather_be_missed(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs", delta=0.0002).arm("d4", D4).arm("d8", D8)
    claim = sweep.manifest().claim
    assert claim is not None
    lines = describe_power(claim, [sweep.root])
    assert any(line.startswith("warning: equivalence") and "seeds" in line for line in lines)
    spread = past_spread(claim, [sweep.root])
    assert spread is not None
    needed = seeds_needed(spread.sd, claim.delta, 1), seeds_needed_for_equivalence(spread.sd, claim.delta, 1)
    lines = describe_power(claim, [sweep.root], lambda seeds: f", {3 * seeds} h")
    told = [line for line in lines if "80% takes" in line]
    assert [line.endswith(f"80% takes {n} seeds, {3 * n} h") for n, line in zip(needed, told, strict=True) if n] == [
        True
    ] * 2
    assert "no past run tells" in describe_power(claim, [])[0]
