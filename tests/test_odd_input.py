"""Input that is legal and odd ends in words: no traceback, no `nan`, no verdict that it does not bear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic_sweep import D4, D8, Sweep

from tinylm.errors import UserError
from tinylm.report.judgement.spread import past_spread
from tinylm.report.judgement.verdicts import Divergences


def shapes(depth: int | None) -> dict[str, Any]:
    return {} if depth is None else {"accounting": {"shape.depth": depth}}


@pytest.mark.parametrize("alpha", [0.0, 1e-300, 0.5, 0.9, 1.0])
def test_an_alpha_that_no_power_can_be_told_for_is_refused(tmp_path: Path, alpha: float) -> None:
    with pytest.raises(UserError, match=r"claim.alpha: .* is not above 1e-06 and below 0.5"):
        Sweep(tmp_path, alpha=alpha).arm("d4", D4).arm("d8", D8).verdicts()


@pytest.mark.parametrize("metric", ["status", "config"])
def test_a_metric_that_is_no_number_is_refused(tmp_path: Path, metric: str) -> None:
    sweep = Sweep(tmp_path, metric=metric).arm("d4", D4).arm("d8", D8)
    with pytest.raises(UserError, match=f"claim.metric: {metric} of a run is .*, which is no number"):
        sweep.verdicts()
    claim = sweep.manifest().claim
    assert claim is not None
    assert past_spread(claim, [tmp_path]) is None


def test_a_metric_that_no_run_has_leaves_no_pair(tmp_path: Path) -> None:
    found = Sweep(tmp_path, metric="nope").arm("d4", D4).arm("d8", D8).only()
    assert found.verdict == "refused"
    assert "0 of 5 declared pairs" in found.reason


def test_a_run_that_failed_and_an_arm_like_its_opponent_tell_no_spread(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, arms={"d4": {}, "d8": {}, "d9": {}}).arm("d4", D4).arm("d8", D8)
    before = past_spread(sweep.manifest().claim, [tmp_path])  # type: ignore[arg-type]
    sweep.arm("d9", D4[:4]).run("d9", 4, None, status="failed", accounting={"parameters.total": None}, cost={})
    after = past_spread(sweep.manifest().claim, [tmp_path])  # type: ignore[arg-type]
    assert before is not None
    assert after is not None
    assert after.sd == before.sd
    assert after.source == before.source == "depth_width (1 M parameters, 6 M tokens a run)"


@pytest.mark.parametrize(
    ("sides", "told"), [((None, None), False), ((3, None), False), ((3, 3), False), ((3, 2), True)]
)
def test_shapes_are_compared_where_both_are_told(
    tmp_path: Path, sides: tuple[int | None, int | None], told: bool
) -> None:
    sweep = Sweep(tmp_path, factor=["model/ffn"], arms={"a": {}, "b": {}, "c": {}}, baseline="a")
    for arm, depth in zip("ab", sides, strict=True):
        sweep.arm(arm, D4 if arm == "a" else D8, config={"model.ffn.name": arm}, **shapes(depth))
    sweep.arm("c", D8, config={"model.ffn.name": "c"}, **shapes(sides[0]))
    (comparison, _) = sweep.verdicts().comparisons
    warnings = " ".join(sweep.verdicts().warnings)
    assert "nan" not in warnings + comparison.reason
    assert ("depth 2 of b against 3 of a" in warnings or "depth 3 of a" in warnings) == told


def test_a_card_that_one_arm_lacks_is_told_in_words(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path).arm("d4", D4, provenance={"gpu": "H100"}).arm("d8", D8, provenance={"gpu": None})
    assert "gpu mixed inside the comparison: H100, none" in sweep.only().reason


def test_runs_that_share_a_parent_beside_runs_with_none_are_refused(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path).arm("d4", D4).arm("d8", D8[:4], provenance={"parent": "p1"}).arm("d8", D8[4:], first=4)
    assert "4 of 5 runs of d8 begin from the same parent and the others do not" in sweep.only().reason


def test_divergences_are_compared_by_their_shares() -> None:
    assert Divergences(2, 2, 5, 5, 1.0).lean == 0
    assert Divergences(1, 1, 10, 3, 1.0).lean < 0, "1 of 3 is more than 1 of 10"
    assert Divergences(2, 1, 22, 1, 1.0).lean < 0
    assert Divergences(0, 0, 5, 3, 1.0).lean == 0


def test_the_steadier_arm_of_two_unlike_numbers_of_runs_may_win(tmp_path: Path) -> None:
    """Two of twelve diverged of the better arm, one of three of the other."""
    seeds: dict[str, Any] = {"seeds": list(range(12))}
    sweep = Sweep(tmp_path, **seeds).arm("d8", [None, None, *D8, *D8])
    sweep.arm("d4", [None, *(1 + score for score in D4[:2])], first=20)
    found = sweep.only()
    assert found.method == "Welch t"
    assert found.verdict == "better"
