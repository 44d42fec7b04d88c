"""The calibration, small: the engine errs no more than it says, finds what is planted, and covers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.calibration import coverage, errors, twins
from benchmarks.calibration.__main__ import BEGIN, DOCS, END, put
from benchmarks.calibration.engine import judged
from benchmarks.calibration.errors import Count
from benchmarks.calibration.spreads import real_spreads


def too_many(count: Count) -> bool:
    """Whether so many errors are no accident at the promised rate (p < 0.001)."""
    return bool(stats.binomtest(count.hits, count.of, count.promised, alternative="greater").pvalue < 1e-3)


def test_every_kept_sweep_is_in_the_table() -> None:
    told = DOCS.read_text(encoding="utf-8")
    missing = [spread.sweep for spread in real_spreads() if f"| as {spread.sweep}: " not in told]
    assert not missing, "python -m benchmarks.calibration --docs counts them"


def test_a_spread_is_of_one_size(tmp_path: Path) -> None:
    """Sizes differ in the mean, which is no scatter, and each is judged as a family of its own."""
    rows = [
        f"{arm}@{size},compare,{seed},{level + 0.01 * seed * (arm == 'b')}"
        for size, level in (("small", 3.0), ("large", 2.0))
        for arm in "ab"
        for seed in range(3)
    ]
    (tmp_path / "sized").mkdir()
    (tmp_path / "sized" / "results.csv").write_text("\n".join(["arm,stage,seed,bits_per_byte", *rows]))
    found = list(real_spreads(tmp_path))
    assert [spread.sweep for spread in found] == ["sized at small", "sized at large"]
    assert [spread.mean for spread in found] == pytest.approx([3.005, 2.005])
    assert found[0].covariance_AA == pytest.approx(np.array([[0, 0], [0, 1e-4]]))


def test_families_like_real_ones_without_effects_rarely_claim_one() -> None:
    spreads = list(real_spreads())
    assert {spread.sweep for spread in spreads} >= {"depth_width", "pangu_pi"}
    counts = [errors.false_claims(spread, 3, 100) for spread in spreads[:2]]
    whole = Count("together", sum(count.hits for count in counts), sum(count.of for count in counts), 0.05)
    assert whole.of == 200
    assert not too_many(whole), whole


def test_scores_in_steps_rarely_claim_what_is_not_there() -> None:
    """Pairs that all differ by one step have no spread; with a p of 0 for them 20% of these families claim one."""
    found = errors.false_claims_in_steps(20, 2, 4, 150)
    assert not too_many(found), found


def test_without_the_family_far_more_families_would_claim_one() -> None:
    """What the count above would show if each comparison were tested alone at 20%: the count can fail."""
    spread = next(iter(real_spreads()))
    rng = np.random.default_rng(0)
    alone = 0
    for _ in range(60):
        scores = spread.family(3, rng)
        first, *others = scores
        alone += any(
            judged({first: scores[first], other: scores[other]}, 0.005, alpha=0.2).comparisons[0].verdict
            != "inconclusive"
            for other in others
        )
    assert too_many(Count("each alone, at 20%", alone, 60, 0.05))


def test_trained_twins_are_told_apart_no_more_often_than_promised() -> None:
    scores = twins.scores()
    assert len(scores) == len(set(scores)) == twins.NUMBER
    found = errors.false_claims_of_twins(scores)
    assert found.of == 20
    assert not too_many(found), found


@pytest.mark.parametrize("n", [3, 5])
def test_arms_that_differ_by_delta_are_rarely_called_equivalent(n: int) -> None:
    found = errors.false_equivalences(twins.scores(), n, 2, 100)
    assert not too_many(found), found
    assert found.hits > 0, "delta leaves room for the verdict"


@pytest.mark.parametrize("n", [3, 5])
def test_planted_effects_are_found_as_often_as_planned(n: int) -> None:
    counts = list(errors.found_effects(twins.scores(), n, 60))
    shares = [count.share for count in counts]
    assert shares == sorted(shares)
    for count in counts:
        assert stats.binomtest(count.hits, count.of, count.promised).pvalue > 1e-3, count


def test_intervals_cover_and_the_bootstrap_would_not() -> None:
    rng = np.random.default_rng(4)
    normal = coverage.SHAPES["normal"]

    def covered(method: str, n: int, rounds: int) -> Count:
        hits = 0
        for _ in range(rounds):
            low, high = coverage.METHODS[method](normal, n, rng)
            hits += low <= coverage.TRUTH <= high
        return Count(method, rounds - hits, rounds, 0.05)  # misses

    for n in (3, 10):
        assert not too_many(covered("paired t", n, 200))
        assert not too_many(covered("Welch t", n, 200))
        assert not too_many(covered("seeds and documents", n, 100))
        assert not too_many(covered("seeds and passages, alike in stretches of 15", n, 60))
    assert too_many(covered("(bootstrap of pairs)", 3, 150))
    assert too_many(covered("(seeds and documents redrawn)", 3, 150))


def test_the_tables_stand_in_the_docs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"a\n{BEGIN}\nold\n{END}\nb\n", encoding="utf-8")
    put("new", page)
    put("newer", page)
    assert page.read_text(encoding="utf-8") == f"a\n{BEGIN}\n\nnewer\n\n{END}\nb\n"
    text = (Path(__file__).parents[1] / "docs" / "evidence.md").read_text(encoding="utf-8")
    kept = text[text.index(BEGIN) : text.index(END)]
    assert all(f"| {method} | {shape} |" in kept for method in coverage.METHODS for shape in coverage.SHAPES)
    assert str(errors.false_claims_of_twins(twins.scores())) in kept
