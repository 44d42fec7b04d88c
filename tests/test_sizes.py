"""A claim at several sizes: expansion, one family a size, trends, decision accuracy, scaling laws and multipliers."""

from __future__ import annotations

import dataclasses
import html
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_sweep import CLAIM, Sweep

from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.curves import counted, curves_of
from tinylm.report.judgement.decisions import agreeing, decision_note, decision_table
from tinylm.report.judgement.scaling import laws, scaling_table
from tinylm.report.judgement.trends import trend_notes, trend_table
from tinylm.report.judgement.verdict_tables import terminal_table
from tinylm.report.judgement.verdicts import Trend, Verdicts
from tinylm.report.judgement.wording import trend_sentence
from tinylm.report.pages.page import write_report
from tinylm.report.pages.site import write_site
from tinylm.report.records.arms import by_arm

SIZES = {"0.3m": 0.3e6, "1m": 1e6, "3m": 3e6}
BLOCK = {"baseline": "a", "arms": {"a": {}, "b": {"expect": "better"}}, "seeds": [0, 1, 2, 3], "delta": 0.005}
SLOPE = -0.06  # of the baseline's log loss in log FLOPs


def claim(**changes: Any) -> dict[str, Any]:
    sizes = {size: [f"shape={size}"] for size in SIZES}
    return {**CLAIM, **BLOCK, "factor": ["model/ffn"], "sizes": sizes, **changes}


def sweep(
    root: Path,
    gains: dict[str, list[float]],
    noise: float = 0.001,
    *,
    bend: float = 0.0,
    budget: float = 1.0,
    parameters: int | None = None,
    parent: float = 0.0,
    **changes: Any,
) -> Sweep:
    """Arms whose gain over the first is as given at each size; all losses fall with compute by the same law.

    Args:
        bend: how far those of the middle size lie below it.
        budget: times the FLOPs, for the same losses.
        parameters: of all sizes, where they are budgets alone.
        parent: FLOPs of what all arms but the first begin from.
    """
    names = ["a", *gains]
    built = Sweep(root, **claim(arms={name: {} for name in names}, **changes))
    rng = np.random.default_rng(0)
    for place, (size, of_size) in enumerate(SIZES.items()):
        flops, count = 6 * of_size * 6e6, int(parameters or of_size)
        base = 2.0 * (flops / 1e13) ** SLOPE - bend * (place == 1)
        for seed in built.claim["seeds"]:
            shared = rng.normal(0, 0.004)
            for name in names:
                score = base + shared + rng.normal(0, noise) - (gains[name][place] if name != "a" else 0.0)
                options = {"config": {"shape.parameters": count, "model.ffn.name": name}}
                cost = {"flops": budget * flops} | ({"parent_flops": parent} if parent and name != "a" else {})
                size_of = {"accounting": {"parameters.total": count}, "cost": cost}
                built.run(f"{name}@{size}", seed, score, **options, **size_of)
    return built


def only(verdicts: Verdicts) -> Trend:
    (trend,) = verdicts.trends
    return trend


def test_every_arm_is_made_at_every_size_and_a_manifest_keeps_it() -> None:
    parsed = Claim.parse(
        claim(arms={"a": {"overrides": ["x=1"]}, "b": {"label": "B", "overrides": ["x=2"]}, "c": {"against": "b"}})
    )
    assert list(parsed.arms) == [f"{arm}@{size}" for size in SIZES for arm in "abc"]
    assert parsed.arms["b@1m"].overrides == ["shape=1m", "x=2"]
    assert parsed.label("b@1m") == "B at 1m"
    assert parsed.comparisons == {f"{a}@{s}": f"{b}@{s}" for s in SIZES for a, b in (("b", "a"), ("c", "b"))}
    assert (parsed.largest_family, len(parsed.families)) == (2, 3)
    import dataclasses

    assert Claim.parse(json.loads(json.dumps(dataclasses.asdict(parsed)))) == parsed
    for wrong, told in (({"sizes": {"1m": []}}, "one size has no trend"), ({"baseline": "z"}, "no arm is called 'z'")):
        with pytest.raises(UserError, match=told):
            Claim.parse(claim(**wrong))


def test_sizes_keep_their_order_on_disk(tmp_path: Path) -> None:
    built = Sweep(tmp_path, **claim(sizes={"3m": [], "10m": []}))
    for size in ("3m", "10m"):
        for arm in "ab":
            built.run(f"{arm}@{size}", 0, 1.9)
    built.claim = dataclasses.asdict(Claim.parse(built.claim))
    kept = built.manifest().claim
    assert kept is not None
    assert list(kept.sizes) == ["3m", "10m"]


def test_each_size_is_a_family_of_its_own(tmp_path: Path) -> None:
    found = sweep(tmp_path, {"b": [0.01] * 3, "c": [0.0] * 3}).verdicts().comparisons
    assert len(found) == 6
    assert {item.interval_level for item in found if item.variant.startswith("b")} == {1 - 0.05 / 2}


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ([0.010, 0.030, 0.050], "grows"),
        ([0.050, 0.030, 0.010], "fades"),
        ([0.030, 0.010, -0.010], "turns"),
        ([0.020, 0.000, -0.020], "turns"),
        ([0.000, 0.010, 0.020], "grows"),
        ([-0.010, -0.030, -0.050], "grows"),
        ([0.030, 0.030, 0.030], "holds"),
    ],
    ids=["more with size", "less with size", "turns", "turns about zero", "from nothing", "harm grows", "the same"],
)
def test_trends_are_told_by_their_word(tmp_path: Path, gains: list[float], word: str) -> None:
    trend = only(sweep(tmp_path, {"b": gains}, noise=0.0004).verdicts())
    assert (trend.word, trend.n) == (word, 4)
    x = np.log2(list(SIZES.values()))
    assert trend.change == pytest.approx(np.polyfit(x, gains, 1)[0], abs=0.001)
    assert list(trend.gains.values()) == pytest.approx(gains, abs=0.002)


def test_a_trend_is_an_estimate_with_a_region(tmp_path: Path) -> None:
    declared = {"kind": "trend", "arm": "b", "against": "a"}
    estimates = {"grows": {**declared, "region": [0.0, None]}, "holds": {**declared, "region": [-0.002, 0.002]}}
    built = sweep(tmp_path, {"b": [0.010, 0.030, 0.050]}, noise=0.0004, estimates=estimates)
    found = built.verdicts()
    grows, holds = found.estimates
    trend = only(found)
    assert (grows.value, grows.ci_low, grows.ci_high) == pytest.approx((trend.change, trend.ci_low, trend.ci_high))
    assert (grows.verdict, holds.verdict) == ("confirmed", "contradicted")
    assert (grows.n, grows.unit, grows.value_unit) == (4, "seeds", "bits per byte a doubling of parameters")

    # Equal is an arm to its opponent of the same size; where one is not, the trend is void.
    for seed in built.claim["seeds"]:
        built.run("b@1m", seed, 1.9, config={"shape.parameters": 1_200_000, "model.ffn.name": "b"})
    for item in built.verdicts().estimates:
        assert item.verdict == "undecided"
        assert item.reason == "configs differ in more than the factor: shape.parameters (1200000 against 1000000)"


def test_noise_leaves_a_trend_undecided_and_a_missing_size_without_one(tmp_path: Path) -> None:
    assert only(sweep(tmp_path / "noisy", {"b": [0.0, 0.01, 0.0]}, noise=0.02).verdicts()).word == "undecided"
    built = sweep(tmp_path / "missing", {"b": [0.01, 0.02, 0.03]})
    built.jobs = [job for job in built.jobs if job["key"] != "b@3m-compare-2"]
    trend = only(built.verdicts())
    assert (trend.word, trend.change, trend.reason) == ("undecided", None, "no difference that counts at 3m")


@pytest.mark.parametrize("arm", ["a", "b"])
@pytest.mark.parametrize("lost", [1, 4])
def test_an_arm_that_diverged_at_one_size_has_no_trend(tmp_path: Path, arm: str, lost: int) -> None:
    """Not over the seeds that are left either: those that diverged are the worst."""
    built = Sweep(tmp_path, **claim())
    for (size, parameters), name in itertools.product(SIZES.items(), "ab"):
        here = lost if (name, size) == (arm, "3m") else 0
        size_of = {"accounting": {"parameters.total": int(parameters)}}
        built.arm(f"{name}@{size}", [None] * here + [1.9, 1.91, 1.905, 1.89][here:], **size_of)
    trend = only(built.verdicts())
    assert (trend.word, trend.change) == ("undecided", None)
    assert trend.reason == "no difference that counts at 3m"
    report = write_report(built.name, [built.root], tmp_path / "out")
    assert trend.reason in report.path.read_text(encoding="utf-8")


def test_sizes_listed_from_the_largest_leave_no_trend(tmp_path: Path) -> None:
    """Else what grows would be said to fade."""
    built = sweep(tmp_path, {"b": [0.010, 0.030, 0.050]}, noise=0.0004)
    built.jobs.reverse()  # a manifest's jobs keep the order in which sizes were declared
    trend = only(built.verdicts())
    assert (trend.word, trend.change) == ("undecided", None)
    assert trend.reason == "the sizes are not listed with the smallest first (claim.sizes)"
    assert trend.limits == "no multiplier: training FLOPs do not grow from each size to the next"
    manifest = built.manifest()
    assert manifest.claim is not None
    assert laws(curves_of(by_arm(built.frame(), manifest), manifest.claim)) == {}


def test_intervals_of_a_trend_cover(tmp_path: Path) -> None:
    """Over seeds: noise that grows with size does not matter to them."""
    from tinylm.report.judgement.scaling import over_seeds

    rng = np.random.default_rng(1)
    x = np.array([-1.0, 0.0, 1.0])
    covered = 0
    for _ in range(400):
        gains_NS = 0.02 + 0.01 * x + rng.normal(0, [0.001, 0.003, 0.01], (3, 3))
        low, high = over_seeds(gains_NS @ x / (x @ x), 0.05) or (0.0, 0.0)
        covered += low <= 0.01 <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.035)


def test_a_planted_multiplier_is_found(tmp_path: Path) -> None:
    """An arm that does with its compute what the other does with 1.5 times as much."""
    flops = [6 * parameters * 6e6 for parameters in SIZES.values()]
    gains = [2.0 * (c / 1e13) ** SLOPE * (1 - 1.5**SLOPE) for c in flops]
    trend = only(sweep(tmp_path, {"b": gains}, noise=0.0005).verdicts())
    assert trend.multiplier == pytest.approx(1.5, rel=0.05)
    assert trend.multiplier_low is not None
    assert trend.multiplier_high is not None
    assert trend.multiplier_low < 1.5 < trend.multiplier_high
    assert not trend.limits


def test_arms_far_apart_have_a_multiplier_with_a_star_or_none(tmp_path: Path) -> None:
    far = only(sweep(tmp_path / "far", {"b": [0.9] * 3}).verdicts())
    assert (far.multiplier, far.limits) == (
        None,
        "no multiplier: the arms' losses do not fall through the same values at every seed",
    )
    near = sweep(tmp_path / "near", {"b": [0.18] * 3}, noise=0.0005)
    found = only(near.verdicts())
    assert found.multiplier is not None
    assert found.limits.startswith("the multiplier is over losses of 1.")
    assert trend_table(near.verdicts(), {}).loc[0, "training FLOPs the other needs"].endswith("*")
    (note,) = trend_notes(near.verdicts())
    page = write_report(near.name, [near.root], tmp_path / "out").path
    assert all(note in html.unescape(page.with_suffix(kind).read_text("utf-8")) for kind in (".html", ".md"))


def test_losses_that_bend_are_told_beside_their_law(tmp_path: Path) -> None:
    """A middle size below the line through the others."""
    bent = sweep(tmp_path, {"b": [0.02] * 3}, noise=0.0005, bend=0.03)
    manifest = bent.manifest()
    assert manifest.claim is not None
    fitted = laws(curves_of(by_arm(bent.frame(), manifest), manifest.claim))
    away = fitted["a"].departure(0.05)
    assert away is not None
    assert away.sure
    x_S, mean_S = np.log(fitted["a"].curve.compute_S), fitted["a"].curve.loss_NS.mean(0)
    slope, height = np.polyfit(x_S, np.log(mean_S), 1)  # of the means: the law is of each seed
    assert away.mean == pytest.approx(mean_S[1] - np.exp(height + slope * x_S[1]), rel=0.01)
    table = scaling_table(fitted, {"a": "A", "b": "B"}, manifest.claim)
    assert table["farthest from its law"].str.endswith("at 1m").all()


def test_added_seeds_alone_make_a_trend_and_its_multiplier(tmp_path: Path) -> None:
    """And both say so, as they say it of an amended claim."""
    flops = [6 * parameters * 6e6 for parameters in SIZES.values()]
    gains = [2.0 * (c / 1e13) ** SLOPE * (1 - 1.5**SLOPE) for c in flops]
    built = sweep(tmp_path, {"b": gains}, noise=0.0005, seeds=[0, 1, 2, 3])
    fresh = sweep(tmp_path, {"b": [0.0] * 3}, noise=0.0005, seeds=[4, 5, 6, 7])
    built.jobs += fresh.jobs
    found = built.verdicts()
    trend = only(found)
    assert (trend.n, trend.extended) == (4, True)
    assert trend.multiplier == pytest.approx(1.0, abs=0.05)
    assert "n = 4, extended" in trend_sentence(trend, found)
    amended = dataclasses.replace(found, amended=True)
    assert "(extended, amended)" in trend_table(amended, {}).loc[0, "verdict"]
    given = dataclasses.replace(trend, given=True)
    assert "n = 4, given one parent, extended" in trend_sentence(given, found)


def test_tables_over_sizes_are_of_the_seeds_that_count(tmp_path: Path) -> None:
    """The declared seeds order the arms one way, the added ones the other, and take four times the FLOPs."""
    up, down = ({n: [0.003 * k] * 3 for k, n in enumerate(names, 1)} for names in ("bcde", "edcb"))
    built, fresh = sweep(tmp_path, up, noise=1e-4), sweep(tmp_path, down, noise=1e-4, seeds=[4, 5, 6], budget=4.0)
    alone = write_report(built.name, [built.manifest() and built.root], tmp_path / "alone")
    built.jobs += fresh.jobs
    manifest = built.manifest()
    assert manifest.claim is not None
    placed = counted(by_arm(built.frame(), manifest), manifest.claim, manifest)
    assert sorted(set(placed["seed"])) == [4, 5, 6]
    table = decision_table(placed, manifest.claim)
    assert (table["pairs in the same order"] == "10 of 10 (100%)").all()
    assert (table["n"] == "3 added seeds").all()
    (compute,) = {tuple(curve.compute_S) for curve in curves_of(placed, manifest.claim).values()}
    assert compute == pytest.approx([4 * 6 * parameters * 6e6 for parameters in SIZES.values()])
    write_report(built.name, [built.root], tmp_path / "added")
    texts = [(tmp_path / name / "report.md").read_text("utf-8") for name in ("alone", "added")]
    assert [text.count("added seeds |") for text in texts] == [0, 3 + 5]
    assert len(alone.verdicts.trends) == 4


def test_sizes_may_be_budgets_which_have_a_multiplier_and_no_trend(tmp_path: Path) -> None:
    flops = [6 * parameters * 6e6 for parameters in SIZES.values()]
    gains = [2.0 * (c / 1e13) ** SLOPE * (1 - 1.5**SLOPE) for c in flops]
    built = sweep(tmp_path, {"b": gains}, noise=0.0005, parameters=1_000_000)
    trend = only(built.verdicts())
    assert (trend.word, trend.reason) == ("undecided", "the opponent has as many parameters at every size")
    assert trend.multiplier == pytest.approx(1.5, rel=0.05)
    row = trend_table(built.verdicts(), {}).loc[0]
    assert (row["verdict"], row["a doubling changes it by"]) == ("undecided", "–*")
    assert row["training FLOPs the other needs"].endswith(")"), "nothing limits it"
    page = write_report(built.name, [built.root], tmp_path / "out").path.read_text("utf-8")
    assert '<td class="undecided">undecided</td>' in page, "which has its colour"


def test_a_multiplier_tells_what_it_leaves_out(tmp_path: Path) -> None:
    built = sweep(tmp_path, {"b": [0.02] * 3}, noise=0.0005, parent=1e14)
    trend = only(built.verdicts())
    assert trend.multiplier is not None
    assert trend.limits == "the multiplier counts training FLOPs alone, not those of parents and of initialising"
    higher = sweep(tmp_path / "higher", {"b": [0.02] * 3}, noise=0.0005, direction="higher")
    assert only(higher.verdicts()).limits.startswith("no multiplier: it needs a loss (direction: lower)")


def test_trends_stand_wherever_verdicts_do(tmp_path: Path) -> None:
    built = sweep(tmp_path / "runs", {"b": [0.010, 0.030, 0.050]}, noise=0.0004)
    found = built.verdicts()
    told = trend_sentence(only(found), found)
    assert "grows" in told
    assert f"{told}." in terminal_table(found)
    site = write_site([built.root], tmp_path / "site", print)
    assert told in [result.sentence for entry in site.entries for result in entry.results]
    tables = (tmp_path / "site" / built.name / "tables.tex").read_text(encoding="utf-8")
    for name in ("trend", "scaling", "spent"):
        assert f"tab:{built.name}-{name}" in tables


def test_a_report_names_the_family_that_shares_alpha(tmp_path: Path) -> None:
    built = sweep(tmp_path, {"b": [0.01] * 3, "c": [0.0] * 3})
    built.manifest()
    text = write_report(built.name, [built.root], tmp_path / "out").path.read_text("utf-8")
    assert "0.05 over 2 comparison(s) at each of 3 sizes" in text


def test_pairs_in_the_same_order() -> None:
    assert agreeing(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3])) == (5, 6)
    assert agreeing(np.array([1.0, 1, 3]), np.array([1.0, 2, 3])) == (2, 3)


def test_a_report_tells_trends_accuracy_and_exponents(tmp_path: Path) -> None:
    gains = {name: [0.002 * place, 0.004 * place, 0.006 * place] for place, name in enumerate("bcde", start=1)}
    built = sweep(tmp_path / "runs", gains)
    built.manifest()
    report = write_report(built.name, [built.root], tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| 0.3m | 1m | 10 of 10 (100%) | 4 seeds |" in text
    assert "| e over a |" in text
    assert "| e − a at 1m |" in text, "the size is said once"
    assert "grows" in report.verdicts.trends[-1].word
    (row,) = (line for line in text.splitlines() if line.startswith("| a | \N{MINUS SIGN}0.0"))
    assert -float(row.split("|")[2].split()[0][1:]) == pytest.approx(SLOPE, abs=0.003)
    assert "floor" not in text
    names = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"trends", "scaling"} <= names
    manifest = built.manifest()
    assert manifest.claim is not None
    placed = counted(by_arm(built.frame(), manifest), manifest.claim, manifest)
    assert decision_table(placed[~placed["arm"].str.startswith("e@")], manifest.claim).empty
    again = placed.assign(
        key=placed["key"].where(~placed["arm"].str.startswith("e@"), placed["key"].str.replace("^e", "d", regex=True))
    )
    assert decision_table(again, manifest.claim).empty, "the same runs under two names are one arm"
    lacking = placed[(placed["arm"] != "e@3m") | (placed["seed"] != 0)]
    assert decision_table(lacking, manifest.claim).empty, "an arm that lacks a seed does not count"
    told = "no decision accuracy: of 5 arms 4 differ and have a run of every seed at every size"
    assert (decision_note(lacking, manifest.claim), decision_note(placed, manifest.claim)) == (told, "")
    assert math.isfinite(report.verdicts.as_json()["trends"][0]["change"])
