"""Arms stopped early: rarely a good one, never with a verdict, and the others' verdicts as if nothing were stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from synthetic_sweep import CLAIM, D4, Sweep

from tests.commands import text_files, tinylm
from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim, Stop
from tinylm.report.claims.manifest import read_manifest
from tinylm.report.judgement.power import describe_power
from tinylm.report.judgement.stopping import futile, replayed, stopped

WORSE = [x + 0.05 + e for x, e in zip(D4, [0.001, -0.001, 0.0005, 0.0, 0.002], strict=True)]
BETTER = [x - 0.02 + e for x, e in zip(D4, [0.001, -0.001, 0.0005, 0.0, 0.002], strict=True)]


def claim(**changes: Any) -> dict[str, Any]:
    return {**CLAIM, "arms": {"d4": {}, "d8": {}, "d2": {}}, "stop": {"after": [3]}, **changes}


@pytest.mark.parametrize(("after", "shape"), [([3], "normal"), ([2, 3, 4], "normal"), ([3], "heavy")])
def test_an_arm_worth_having_is_stopped_no_more_often_than_declared(after: list[int], shape: str) -> None:
    rng = np.random.default_rng(0)
    stop, rounds = Stop(after, risk=0.1), 1500
    hits = 0
    for _ in range(rounds):
        noise = rng.normal(0, 1, after[-1]) if shape == "normal" else rng.standard_t(3, after[-1])
        hits += any(futile(list(0.5 + noise[:look]), 0.5, stop) for look in after)
    assert stats.binomtest(hits, rounds, 0.1, alternative="greater").pvalue > 1e-3
    assert hits > 0


def test_only_futile_arms_that_no_other_needs_are_stopped() -> None:
    parsed = Claim.parse(claim())
    scores = {arm: dict(enumerate(values)) for arm, values in (("d4", D4), ("d8", BETTER), ("d2", WORSE))}
    assert stopped(parsed, scores, [0, 1, 2]) == ["d2"]
    needed = Claim.parse(claim(arms={"d4": {}, "d2": {}, "d8": {"against": "d2"}}))
    assert stopped(needed, scores, [0, 1, 2]) == []
    del scores["d2"][1]
    assert stopped(parsed, scores, [0, 1, 2]) == []


def test_a_stopped_arm_has_no_verdict_and_the_family_is_as_before(tmp_path: Path) -> None:
    told = {}
    for name, seeds in (("stopped", 3), ("whole", 5)):
        sweep = Sweep(tmp_path / name, **claim()).arm("d4", D4).arm("d8", BETTER).arm("d2", WORSE[:seeds])
        told[name] = sweep.verdicts().comparisons
    d8, d2 = told["stopped"]
    assert (d2.verdict, d2.ci_low, d2.p_adjusted) == ("inconclusive", None, None)
    assert d2.reason == "stopped after 3 of 5 seeds, as declared: a gain of 0.005 is excluded"
    assert d8.verdict == told["whole"][0].verdict == "better"
    assert (d8.p_adjusted or 0) >= (told["whole"][0].p_adjusted or 0)
    assert told["whole"][1].verdict == "worse"


def test_a_stopped_arm_has_no_estimate_and_no_trend(tmp_path: Path) -> None:
    """Stopped are those with small gains so far: over the seeds that ran, the gain of one looks smaller than it is."""
    gain = {"kind": "difference", "metric": "bits_per_byte", "arm": "d2", "against": "d4", "region": [0.0, None]}
    for name, seeds in (("stopped", 3), ("whole", 5)):
        sweep = Sweep(tmp_path / name, **claim(estimates={"loss": gain}))
        found = sweep.arm("d4", D4).arm("d8", BETTER).arm("d2", WORSE[:seeds]).verdicts().estimates[0]
        if name == "whole":
            assert (found.verdict, found.n) == ("confirmed", 5), found.reason
        else:
            assert (found.verdict, found.ci_low) == ("undecided", None)
            assert "of 5 seeds that count were planned 3 of d2" in found.reason
    sizes = {"sizes": {"1m": [], "3m": []}, "arms": {"d4": {}, "d2": {}}}
    sized = Sweep(tmp_path / "sized", **claim(**sizes))
    for size, seeds, parameters in (("1m", 5, 1_000_000), ("3m", 3, 3_000_000)):
        told = {"accounting": {"parameters.total": parameters}}
        sized.arm(f"d4@{size}", D4, **told).arm(f"d2@{size}", WORSE[:seeds], **told)
    (trend,) = sized.verdicts().trends
    assert (trend.word, trend.reason) == ("undecided", "no difference that counts at 3m")


def test_gains_without_spread_stop_nothing() -> None:
    """No verdict calls them sure either."""
    assert not futile([0.0, 0.0], 0.01, Stop([2]))
    assert futile([0.0, 1e-6], 0.01, Stop([2]))


def test_seeds_that_lack_without_the_rule_are_refused(tmp_path: Path) -> None:
    """Leaving an arm's last seeds out because they would not please is no plan."""
    sweep = Sweep(tmp_path / "good", **claim()).arm("d4", D4).arm("d8", BETTER[:3]).arm("d2", WORSE[:4])
    assert [item.verdict for item in sweep.verdicts().comparisons] == ["refused", "refused"]
    undeclared = Sweep(tmp_path / "none", **claim(stop=None)).arm("d4", D4).arm("d8", BETTER).arm("d2", WORSE[:3])
    assert [item.verdict for item in undeclared.verdicts().comparisons] == ["better", "refused"]


@pytest.mark.parametrize("after", [[], [1], [5], [3, 3], [4, 2]])
def test_looks_are_ascending_and_before_the_end(after: list[int]) -> None:
    with pytest.raises(UserError, match="ascending numbers of seeds from 2 to 4"):
        Claim.parse(claim(stop={"after": after}))


def test_a_plan_replays_the_rule_on_past_sweeps(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs", **claim(stop=None)).arm("d4", D4).arm("d8", BETTER).arm("d2", WORSE)
    sweep.manifest()
    (line,) = (line for line in describe_power(Claim.parse(claim()), [sweep.root]) if line.startswith("stop:"))
    assert "stopped falsely" in line
    assert "as they were: 50% stopped" in line
    gains = [[0.01, 0.02, 0.03, 0.02, 0.01]]
    assert replayed(gains, 0.005, Stop([3]), None) == (0, 60)
    assert replayed(gains, 0.5, Stop([3]), None) == (60, 60)
    assert replayed([[0.1, 0.2, 0.3]], 0.5, Stop([3]), None) == (0, 0)


@pytest.mark.parametrize(("n", "look"), [(4, 3), (5, 3), (10, 5)])
def test_a_replay_stops_falsely_as_often_as_new_seeds_would(n: int, look: int) -> None:
    """The mean of all but one of the seeds is hardly ever far from that of all; that of new ones is."""
    rng = np.random.default_rng(1)
    hits, total = replayed(rng.normal(0.3, 1, (600, n)).tolist(), 2.0, Stop([look], risk=0.1), 2.0)
    assert hits / total == pytest.approx(0.1, abs=0.03)


def test_an_arm_that_shall_be_equivalent_runs_all_its_seeds() -> None:
    parsed = Claim.parse(claim(arms={"d4": {}, "d2": {"expect": "equivalent"}, "d8": {"expect": "worse"}}))
    scores = {arm: dict(enumerate(values)) for arm, values in (("d4", D4), ("d2", D4), ("d8", WORSE))}
    assert stopped(parsed, scores, [0, 1, 2]) == []


def test_many_seeds_are_replayed_in_orders_that_do_not_begin_alike() -> None:
    """Stopped where neither of two seeds that stand out is among the first five: 56 of 252 choices."""
    hits, total = replayed([[10.0, 10.0, *np.linspace(0.01, 0.02, 8)]], 0.5, Stop([5]), None)
    assert total == 2000
    assert hits / total == pytest.approx(56 / 252, abs=0.03)


def test_a_sweep_runs_no_further_seed_of_a_stopped_arm(tmp_path: Path) -> None:
    text = text_files(tmp_path / "text")
    quick = ("claim.tune=null", "claim.seeds=[0,1,2]", "claim.delta=9", "+claim.stop={after: [2]}", "launcher=serial")
    done = tinylm("sweep", "smoke", *text, *quick, "budget.amount=4", "optim.lr=0.01", "--no-report", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "swiglu: stopped after 2 seeds: a gain of 9 is excluded" in done.stderr
    manifest = read_manifest("smoke", tmp_path / "runs")
    assert {arm: sorted(manifest.keys(arm)) for arm in ("gelu", "swiglu")} == {"gelu": [0, 1, 2], "swiglu": [0, 1]}
    assert len(list((tmp_path / "runs").glob("*/record.json"))) == 5
