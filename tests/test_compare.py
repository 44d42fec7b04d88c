"""Each rule of the protocol (docs/evidence.md), with a case that goes wrong without it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from synthetic_sweep import D4, D8, Sweep

from tinylm.compose.restart import as_declared_first
from tinylm.compose.sweep import choose as tune_of_sweep
from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.declaration import amendments
from tinylm.report.claims.manifest import Job, Manifest, read_manifest
from tinylm.report.judgement.compare import compare, decide
from tinylm.report.judgement.tuning import Trial, at_edge, choose
from tinylm.report.judgement.verdict_tables import verdict_table
from tinylm.report.judgement.verdicts import OUTCOMES, Comparison
from tinylm.report.judgement.wording import answer, sentence
from tinylm.report.statistics.difference import outliers, paired


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "runs")


def test_a_clear_gain_is_better_and_confirmed(sweep: Sweep) -> None:
    found = sweep.arm("d4", D4).arm("d8", D8).only()
    assert (found.verdict, found.outcome, found.n, found.method) == ("better", "confirmed", 5, "paired t")
    assert found.delta == pytest.approx(np.mean(D8) - np.mean(D4))
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < found.delta < found.ci_high < 0
    assert found.correlation is not None
    assert found.correlation > 0.9


def test_delta_is_variant_minus_against_and_direction_decides(sweep: Sweep) -> None:
    sweep.claim |= {"metric": "bits_per_byte", "direction": "higher"}
    found = sweep.arm("d4", D4).arm("d8", D8).only()
    assert found.delta is not None
    assert found.delta < 0
    assert (found.verdict, found.outcome) == ("worse", "contradicted")


def test_pairing_finds_what_unpaired_spread_hides(sweep: Sweep) -> None:
    base = [1.90, 1.95, 1.85, 1.98, 1.82]
    found = (
        sweep.arm("d4", base)
        .arm("d8", [x - 0.010 + e for x, e in zip(base, [1e-3, -1e-3, 0, 5e-4, 0], strict=False)])
        .only()
    )
    assert found.verdict == "better"


def test_order_of_seeds_does_not_matter_only_their_number_does(sweep: Sweep) -> None:
    sweep.arm("d4", D4)
    for seed in (4, 2, 0, 3, 1):
        sweep.run("d8", seed, D8[seed])
    assert sweep.only().differences == pytest.approx({s: D8[s] - D4[s] for s in range(5)})


def test_noise_is_inconclusive(sweep: Sweep) -> None:
    found = sweep.arm("d4", D4).arm("d8", [1.91, 1.89, 1.92, 1.88, 1.91]).only()
    assert (found.verdict, found.outcome) == ("inconclusive", "undecided")


def test_small_and_tight_is_equivalent_also_when_detectable(sweep: Sweep) -> None:
    found = (
        sweep.arm("d4", D4)
        .arm("d8", [x + e for x, e in zip(D4, [9e-4, 1e-3, 1.1e-3, 1e-3, 9e-4], strict=False)])
        .only()
    )
    assert found.p_adjusted is not None
    assert found.p_adjusted < 0.05
    assert found.verdict == "equivalent"
    assert "detectable" in found.reason
    assert found.outcome == "contradicted"


def test_equivalence_is_corrected_over_the_family(tmp_path: Path) -> None:
    noise = [0.0012, -0.0018, 0.0020, -0.0022, 0.0008]

    def verdict(others: int) -> str:
        far = {f"d{16 + i}": {"overrides": []} for i in range(others)}
        sweep = Sweep(tmp_path / str(others), arms={"d4": {}, "d8": {}, **far}, delta=0.0022)
        sweep.arm("d4", D4).arm("d8", [x + e for x, e in zip(D4, noise, strict=False)])
        for arm in far:
            sweep.arm(arm, [1.70, 2.10, 1.75, 2.02, 1.93])
        return sweep.verdicts().comparisons[0].verdict

    assert verdict(0) == "equivalent"
    assert verdict(4) == "inconclusive"


def test_an_equivalent_comparison_tells_the_interval_that_its_test_used(tmp_path: Path) -> None:
    """That of its difference is two-sided, at the level of another Holm order, and here reaches beyond delta."""
    noise = np.array([0.001, -0.0012, 0.0008, -0.0005, 0.0002])
    mean, error = float(noise.mean()), float(stats.sem(noise))
    delta = mean + 3.3 * error  # t of 4 degrees: 3.19 at 0.05 / 3 on one side, 3.50 at 0.05 / 2 on two
    sweep = Sweep(tmp_path / "runs", arms={"d4": {}, "d8": {}, "d12": {}, "d16": {}}, delta=delta)
    sweep.arm("d4", D4).arm("d8", D8).arm("d12", list(D4 + noise)).arm("d16", list(D4 + 3 * noise))
    verdicts = sweep.verdicts()
    far, near, wide = verdicts.comparisons
    assert [item.verdict for item in (far, near, wide)] == ["better", "equivalent", "inconclusive"]
    for item in (far, near, wide):
        assert item.equivalence_low is not None
        assert item.equivalence_high is not None
        inside = -delta < item.equivalence_low and item.equivalence_high < delta
        assert inside == (item.verdict == "equivalent")
    told = (near.equivalence_low, near.equivalence_high)
    assert told == pytest.approx(stats.t.interval(1 - 2 * 0.05 / 3, 4, mean, error))
    assert near.equivalence_level == pytest.approx(1 - 2 * 0.05 / 3)
    assert near.ci_high is not None
    assert near.ci_high > delta
    assert "difference +0.0001, within −0.0012 to +0.0014 by the test of equivalence)" in sentence(near, verdicts)
    narrow = dataclasses.replace(near, equivalence_low=0.0, equivalence_high=0.00998)
    assert "within +0.00000 to +0.00998 by" in sentence(narrow, dataclasses.replace(verdicts, smallest_effect=0.01))


def test_family_raises_the_bar_also_through_refused_comparisons(tmp_path: Path) -> None:
    d8 = [x - 0.004 + e for x, e in zip(D4, [0.0030, -0.0030, 0.0022, -0.0015, 0.0010], strict=False)]

    def verdict(others: int) -> str:
        absent = {f"d{16 + i}": {"overrides": []} for i in range(others)}
        sweep = Sweep(tmp_path / str(others), arms={"d4": {}, "d8": {}, **absent}).arm("d4", D4).arm("d8", d8)
        for arm in absent:
            sweep.run(arm, 0, None, record=False)
        comparisons = sweep.verdicts().comparisons
        assert [item.verdict for item in comparisons[1:]] == ["refused"] * others
        return comparisons[0].verdict

    assert verdict(0) == "better"
    assert verdict(3) == "inconclusive"


def test_outcome_table_is_whole() -> None:
    expected = {"better", "worse", "equivalent"}
    assert all(set(row) == expected for row in OUTCOMES.values())
    assert {v: OUTCOMES[v]["worse"] for v in OUTCOMES} == {
        "better": "contradicted",
        "worse": "confirmed",
        "equivalent": "contradicted",
        "inconclusive": "undecided",
        "refused": "undecided",
    }
    text = (Path(__file__).parents[1] / "docs" / "evidence.md").read_text(encoding="utf-8")
    for verdict, row in OUTCOMES.items():
        assert f"| {verdict} | {row['better']} | {row['worse']} | {row['equivalent']} |" in text


@pytest.mark.parametrize(("gap", "outcome"), [(0.006, "undecided"), (0.008, "contradicted"), (-0.008, "contradicted")])
def test_an_expected_equivalence_falls_only_beyond_delta(tmp_path: Path, gap: float, outcome: str) -> None:
    """The interval is ±0.0020 about the gap, delta 0.005: a gap that may be smaller than delta contradicts nothing."""
    arms = {"d4": {"overrides": ["a"]}, "d8": {"overrides": ["b"], "expect": "equivalent"}}
    noise = [0.0016, -0.0016, 0.0016, -0.0016, 0.0]
    sweep = Sweep(tmp_path, arms=arms).arm("d4", D4)
    found = sweep.arm("d8", [x + gap + e for x, e in zip(D4, noise, strict=True)]).only()
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_high - found.ci_low == pytest.approx(0.0040, abs=0.0001)
    assert found.verdict == ("worse" if gap > 0 else "better")
    assert found.outcome == outcome
    assert ("reaches inside ±0.005" in found.reason) == (outcome == "undecided")


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "parameters missed": ({"accounting": {"parameters.total": 1_020_000}}, "not at equal parameters"),
    "parameters unknown": ({"accounting": {"parameters.total": None}}, "cannot be checked"),
    "optimiser drifted": ({"config": {"optim.lr": 0.003}}, "optim.lr (0.003 against 0.002)"),
    "key added": ({"config": {"model.ffn.bias": True}}, "model.ffn.bias (True against (absent))"),
    "corpus changed": ({"provenance": {"corpus.paths": "bad"}}, "data"),
    "another processor": ({"provenance": {"processor": "Other CPU"}}, "processor mixed"),
    "other threads": ({"provenance": {"threads": 2}}, "threads mixed"),
    "other precision": ({"provenance": {"precision": "fp32"}}, "precision mixed"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refused(sweep: Sweep, case: str) -> None:
    options, reason = REFUSALS[case]
    found = sweep.arm("d4", D4).arm("d8", D8, **options).only()
    assert (found.verdict, found.outcome) == ("refused", "undecided")
    assert reason in found.reason
    assert found.delta is not None
    assert found.ci_low is found.p_adjusted is None


@pytest.mark.parametrize(
    "options",
    [
        {"config": {"data.paths": ["/elsewhere/*.txt"], "root": "/other", "machine.workers": 8}},
        {"config": {"streams.data": 5}},
        {"accounting": {"parameters.total": 1_009_000}},
    ],
    ids=["moved", "stream", "within tolerance"],
)
def test_not_refused(sweep: Sweep, options: dict[str, Any]) -> None:
    assert sweep.arm("d4", D4).arm("d8", D8, **options).only().verdict == "better"


def test_an_option_that_older_runs_did_not_know_is_no_drift_while_it_is_neutral(sweep: Sweep) -> None:
    """Such runs have one key, so an arm may share those of a sweep that ran before the option was there."""
    for seed in range(5):
        sweep.run("d4", seed, D4[seed])
        sweep.run("d8", seed, D8[seed], config={"checkpoint": None, "model.shortcut": {}})
    assert sweep.only().verdict == "better"
    sweep.run("d8", 0, D8[0], config={"checkpoint": "best"})
    assert "checkpoint (best against (absent))" in sweep.only().reason


def test_one_run_that_drifted_refuses_its_arm(sweep: Sweep) -> None:
    sweep.arm("d4", D4, config={"shape.depth": 4}).arm("d8", D8[:4])
    sweep.run("d8", 4, D8[4], config={"shape.depth": 9})
    assert "differ among themselves in shape.depth" in sweep.only().reason


def test_factor_covers_what_is_below_and_derived_is_marked(sweep: Sweep) -> None:
    sweep.claim |= {"factor": ["model/ffn", "shape.depth"], "derived": ["optim.betas"]}
    options = {"config": {"model.ffn.hidden": 3, "optim.betas": [0.9, 0.99]}}
    found = sweep.arm("d4", D4).arm("d8", D8, **options).only()
    assert (found.verdict, found.derived) == ("better", ["optim.betas"])


@pytest.mark.parametrize(
    ("equal", "column"),
    [
        ("body_parameters", "accounting.parameters.body"),
        ("active_parameters", "accounting.parameters.active"),
        *((cost, f"cost.{cost}") for cost in ("flops", "bytes", "tokens", "seconds", "exposures")),
    ],
)
def test_every_equal_is_checked_by_its_own_number(sweep: Sweep, equal: str, column: str) -> None:
    part, _, name = column.partition(".")
    sweep.claim["equal"] = equal
    sweep.arm("d4", D4, **{part: {name: 7}}).arm("d8", D8, **{part: {name: 9}})
    assert f"not at equal {equal}" in sweep.only().reason
    sweep.jobs.clear()
    assert sweep.arm("d4", D4, **{part: {name: 7}}).arm("d8", D8, **{part: {name: 7}}).only().verdict == "better"


def test_an_arm_may_name_its_opponent_and_its_equal(sweep: Sweep) -> None:
    sweep.claim["arms"] = {"d4": {}, "d8": {}, "d16": {"against": "d8", "equal": "tokens", "expect": "equivalent"}}
    sweep.arm("d4", D4).arm("d8", D8).arm("d16", [x + 1e-4 * (-1) ** i for i, x in enumerate(D8)])
    found = sweep.verdicts().comparisons[1]
    assert (found.variant, found.against, found.equal, found.outcome) == ("d16", "d8", "tokens", "confirmed")


def test_a_crashed_run_drops_its_pair_and_refuses_for_lack_of_pairs(sweep: Sweep) -> None:
    sweep.arm("d4", D4).arm("d8", D8[:4])
    sweep.run("d8", 4, None, status="failed")
    found = sweep.only()
    assert (found.verdict, found.n, found.declared) == ("refused", 4, 5)
    assert "4 of 5 declared pairs; d8: seed 4 failed" in found.reason


def test_a_run_that_is_not_there_is_missing_too(sweep: Sweep) -> None:
    sweep.arm("d4", D4).arm("d8", D8[:2])
    sweep.run("d8", 2, None)
    for seed in (3, 4):
        sweep.run("d8", seed, None, record=False)
    assert "2 of 5 declared pairs; d8: seed 2 without the metric, seeds 3, 4 not run" in sweep.only().reason


@pytest.mark.parametrize(("card", "mixed"), [({}, False), ({"gpu": "Other"}, True)])
def test_a_run_that_diverged_before_it_told_its_card_mixes_nothing(
    sweep: Sweep, card: dict[str, str], mixed: bool
) -> None:
    sweep.arm("d4", D4, provenance={"gpu": "Card"}).arm("d8", D8[:4], provenance={"gpu": "Card"})
    sweep.run("d8", 4, None, status="diverged", provenance=card)
    found = sweep.only()
    assert (found.verdict == "refused", "gpu mixed" in found.reason) == (mixed, mixed)


def test_a_done_run_without_a_card_is_of_another_machine(sweep: Sweep) -> None:
    found = sweep.arm("d4", D4, provenance={"gpu": "Card"}).arm("d8", D8).only()
    assert "gpu mixed" in found.reason


def test_an_arm_that_diverged_more_is_never_better(sweep: Sweep) -> None:
    found = sweep.arm("d4", D4).arm("d8", [*D8[:4], None]).only()
    assert (found.verdict, found.n) == ("inconclusive", 4)
    assert "diverged" in found.reason
    assert found.divergences is not None
    assert (found.divergences.variant, found.divergences.against) == (1, 0)


def test_nor_is_its_opponent_worse_when_the_opponent_won_by_diverging(sweep: Sweep) -> None:
    found = sweep.arm("d4", [*D8[:4], None]).arm("d8", D4).only()
    assert found.verdict == "inconclusive"


def test_an_arm_behind_that_also_diverged_is_worse(sweep: Sweep) -> None:
    assert sweep.arm("d4", D8).arm("d8", [*D4[:4], None]).only().verdict == "worse"


def test_divergence_is_counted_by_fisher_and_never_a_number(sweep: Sweep) -> None:
    found = sweep.arm("d4", D4).arm("d8", [None] * 5).only()
    assert (found.verdict, found.n, found.delta) == ("inconclusive", 0, None)
    assert found.divergences is not None
    assert found.divergences.p_value == pytest.approx(2 / 252)


def test_an_interval_inside_delta_is_not_said_to_reach_beyond_it(tmp_path: Path) -> None:
    """Each kind of p has a Holm order of its own: last of the differences, first of the equivalences."""
    near = [x + e for x, e in zip(D4, [0.001, -0.0012, 0.0008, -0.0005, 0.0002], strict=True)]

    def near_one(delta: float) -> Comparison:
        arms = {"d4": {}, "d8": {}, "d6": {}, "d12": {}}
        built = Sweep(tmp_path / f"{delta:g}", arms=arms, delta=delta).arm("d4", D4).arm("d12", near)
        found = built.arm("d8", D8).arm("d6", [x - 0.001 for x in D8]).verdicts().comparisons
        return next(item for item in found if item.variant == "d12")

    wide = near_one(1e-6)
    assert wide.reason == "the interval includes zero and reaches beyond what counts as equivalent"
    assert wide.ci_low is not None
    assert wide.ci_high is not None
    found = near_one(1.01 * max(-wide.ci_low, wide.ci_high))
    assert (found.verdict, found.ci_low, found.ci_high) == ("inconclusive", wide.ci_low, wide.ci_high)
    assert found.p_equivalence is not None
    assert f"not shown at the family's level (p = {found.p_equivalence:.2g})" in found.reason


def test_uneven_divergence_is_not_equivalent(sweep: Sweep) -> None:
    same = [x + 1e-4 * (-1) ** i for i, x in enumerate(D4)]
    assert sweep.arm("d4", D4).arm("d8", [*same[:4], None]).only().verdict == "inconclusive"


def test_added_seeds_decide_alone(sweep: Sweep) -> None:
    sweep.arm("d4", [*D4, 1.90, 1.91, 1.92]).arm("d8", [*D8, 1.91, 1.90, 1.92])
    found = sweep.only()
    assert (found.extended, found.n, sorted(found.differences)) == (True, 3, [5, 6, 7])
    assert found.verdict == "inconclusive"


def test_of_several_additions_the_last_decides(sweep: Sweep) -> None:
    """Whoever adds seeds until it pleases makes a false claim in 16 of 100 families, were they pooled."""
    plan = sweep.arm("d4", D4).arm("d8", D8).manifest()
    for group, planned in (([5, 6, 7], 3), ([8, 9], 2), ([10], 1)):
        kept = plan
        for arm in ("d4", "d8"):
            for seed in group:
                sweep.run(arm, seed, 1.9, record=False)
        plan = as_declared_first(sweep.manifest(), kept, [sweep.root])
        again = as_declared_first(sweep.manifest(), plan, [sweep.root])
        assert again.added == plan.added == as_declared_first(sweep.manifest(), again, [sweep.root]).added
        for arm, scores in (("d4", D4), ("d8", D8)):
            sweep.jobs = [job for job in sweep.jobs if job["seed"] not in group or job["arm"] != arm]
            sweep.arm(arm, scores[: len(group)], first=group[0])
        verdicts = decide(sweep.frame(), plan)
        (found,) = verdicts.comparisons
        assert (sorted(found.differences), found.declared, found.extended) == (group, planned, True)
        assert "extended" in sentence(found, verdicts)
    assert plan.added == [[5, 6, 7], [8, 9], [10]]
    assert any("in 3 turns" in text for text in verdicts.warnings)
    assert any("errs in 19% of cases by 4 looks" in text for text in verdicts.warnings)  # 1 - 0.95^4
    plan.write(sweep.root)
    assert read_manifest(plan.name, sweep.root).added == plan.added


def test_seeds_added_before_any_of_them_ended_are_one_addition(sweep: Sweep) -> None:
    plan = sweep.arm("d4", D4).arm("d8", D8).manifest()
    for seed in (5, 6):
        for arm in ("d4", "d8"):
            sweep.run(arm, seed, 1.9, record=False)
        plan = as_declared_first(sweep.manifest(), plan, [sweep.root])
    assert plan.added == [[5, 6]]


def test_seeds_added_to_a_claim_that_has_results_were_not_declared(sweep: Sweep) -> None:
    def planned() -> Manifest:
        plan = dataclasses.replace(sweep.manifest(), claim=Claim.parse({**sweep.claim, "seeds": list(range(8))}))
        more = [Job(f"{arm}-compare-{seed}", arm, "compare", seed) for arm in ("d4", "d8") for seed in (5, 6, 7)]
        return dataclasses.replace(plan, jobs=[*plan.jobs, *more])

    for seed in range(5):
        sweep.run("d4", seed, 1.9, record=False)
    before = sweep.manifest()
    assert as_declared_first(planned(), before, [sweep.root]) == planned()  # nothing has ended: it may be changed
    sweep.jobs = []
    before = sweep.arm("d4", D4).arm("d8", D8).manifest()
    kept = as_declared_first(planned(), before, [sweep.root])
    assert kept.claim == before.claim
    sweep.arm("d4", [1.90, 1.91, 1.92], first=5).arm("d8", [1.91, 1.90, 1.92], first=5)
    (found,) = decide(sweep.frame(), kept).comparisons
    assert (found.extended, found.n) == (True, 3)
    assert as_declared_first(planned(), kept, [sweep.root]).claim == before.claim  # at the next start too
    other = [dataclasses.replace(job, key=f"{job.key}-other") for job in planned().jobs]
    anew = dataclasses.replace(planned(), jobs=other)
    assert as_declared_first(anew, before, [sweep.root]) == anew  # another config has a declaration of its own


@pytest.mark.parametrize("seeds", [[5, 6, 7], [0, 1, 2]])
def test_no_declaration_takes_the_declared_seeds_back(sweep: Sweep, seeds: list[int]) -> None:
    before = sweep.arm("d4", D4).arm("d8", D8).manifest()
    more = [Job(f"{arm}-compare-{seed}", arm, "compare", seed) for arm in ("d4", "d8") for seed in (5, 6, 7)]
    sweep.arm("d4", [1.90, 1.91, 1.92], first=5).arm("d8", [1.91, 1.90, 1.92], first=5)
    plan = dataclasses.replace(before, claim=Claim.parse({**sweep.claim, "seeds": seeds}))
    if 5 in seeds:
        plan = dataclasses.replace(plan, jobs=[*plan.jobs, *more])
    (found,) = decide(sweep.frame(), as_declared_first(plan, before, [sweep.root])).comparisons
    fresh = 5 in seeds
    assert (found.extended, sorted(found.differences)) == (fresh, [5, 6, 7] if fresh else [0, 1, 2, 3, 4])


def test_what_is_declared_anew_when_runs_have_ended_is_told(tmp_path: Path) -> None:
    arms: dict[str, Any] = {"d4": {}, "d8": {"expect": "worse"}, "d16": {}}
    sweep = Sweep(tmp_path, arms=arms).arm("d4", D4).arm("d8", D8)
    before = sweep.manifest()
    softer = {"d4": {}, "d8": {"expect": "better", "label": "deep"}}
    kinder = Claim.parse({**sweep.claim, "arms": softer, "delta": 0.02, "question": "How deep?"})
    plan = dataclasses.replace(before, claim=kinder)
    other = dataclasses.replace(before, jobs=[dataclasses.replace(job, key=f"{job.key}-x") for job in before.jobs])
    assert not as_declared_first(plan, other, [sweep.root]).amended, "other runs: a plan of its own"

    amended = as_declared_first(plan, before, [sweep.root])
    assert amended.amended == ["arms.d16: taken out", "arms.d8.expect: worse -> better", "delta: 0.005 -> 0.02"]
    tune = {"params": {"optim.lr": [0.001, 0.002]}, "seeds": [100]}
    wider, other_grid = ({**tune, "params": {"optim.lr": grid}} for grid in ([0.0005, 0.001, 0.002], [0.001, 0.004]))
    tuned, widened, moved = (Claim.parse({**sweep.claim, "tune": block}) for block in (tune, wider, other_grid))
    assert amendments(tuned, widened) == [], "what a refusal at an edge asks for"
    assert amendments(tuned, moved) == ["tune.params.optim.lr: [0.001, 0.002] -> [0.001, 0.004]"]
    fresh = Claim.parse({**sweep.claim, "tune": {**tune, "seeds": [101]}})
    assert amendments(tuned, fresh) == ["tune.seeds: [100] -> [101]"], (
        "the rates are drawn anew, the deciding seeds are not"
    )
    assert amendments(tuned, Claim.parse({**sweep.claim, "tune": tune, "seeds": [0, 1]})) == [], "extended, not amended"
    amended.write(sweep.root)
    kept = read_manifest(amended.name, sweep.root)
    assert kept.amended == amended.amended
    found = decide(sweep.frame(), kept)
    assert found.amended
    assert "declared anew when runs had ended: delta: 0.005 -> 0.02" in found.warnings
    assert verdict_table(found)["verdict"].str.endswith("(amended)").all()
    assert "amended" in answer(found)
    assert not as_declared_first(before, kept, [sweep.root]).amended, "as it was at first"


def test_roots_that_declare_different_seeds_make_the_later_ones_added(tmp_path: Path) -> None:
    early = Sweep(tmp_path / "early", seeds=[0, 1, 2]).arm("d4", D4[:3]).arm("d8", D8[:3])
    early.manifest()
    late = Sweep(tmp_path / "late", seeds=[0, 1, 2, 3, 4]).arm("d4", D4).arm("d8", D8)
    late.manifest()
    (found,) = compare("depth_width", late.root, early.root).comparisons
    assert (found.extended, found.n) == (True, 2)


def test_arms_without_a_common_seed_are_compared_unpaired(sweep: Sweep) -> None:
    found = sweep.arm("d4", D4).arm("d8", D8, first=10).only()
    assert (found.method, found.verdict, found.n, found.correlation) == ("Welch t", "better", 5, None)
    assert "Welch" in found.reason
    assert found.extended, "seeds that were not declared"
    assert "unpaired, extended" in sentence(found, sweep.verdicts())


def test_of_arms_without_a_common_seed_the_fresh_ones_alone_count(sweep: Sweep) -> None:
    """Eight times a look at d8 would find what it looks for."""
    plan = sweep.arm("d4", D4).arm("d8", [1.0] * 5, first=10).arm("d8", D8[:3], first=20).manifest()
    (found,) = decide(sweep.frame(), dataclasses.replace(plan, added=[[10, 11, 12, 13, 14], [20, 21, 22]])).comparisons
    assert (found.method, found.n, found.extended) == ("Welch t", 3, True)
    assert found.delta == pytest.approx(np.mean(D8[:3]) - np.mean(D4))


def test_sign_flip_and_bootstrap_only_where_they_keep_their_promise(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for n, flips, boots in ((5, False, False), (6, True, False), (20, True, True)):
        base = rng.normal(1.9, 0.01, n)
        sweep = Sweep(tmp_path / str(n), seeds=list(range(n)))
        found = sweep.arm("d4", list(base)).arm("d8", list(base - 0.02 + rng.normal(0, 0.004, n))).only()
        assert (found.p_sign_flip is not None, found.bootstrap_low is not None) == (flips, boots)
        if flips:
            assert found.p_sign_flip == pytest.approx(2 ** (1 - n), abs=2**-13)  # above 14 pairs by drawing


def test_an_outlier_is_told_and_kept(sweep: Sweep) -> None:
    result = sweep.arm("d4", D4).arm("d8", [*D8[:4], 2.3]).verdicts()
    (found,) = result.comparisons
    assert (found.outliers, found.n) == (["seed 4 of d8"], 5)
    assert any("seed 4 of d8" in text for text in result.warnings)
    assert outliers({0: 1.0, 1: 1.0, 2: 9.0}) == []


def test_versions_that_differ_are_a_warning(sweep: Sweep) -> None:
    sweep.arm("d4", D4).arm("d8", D8, provenance={"packages.torch": "2.12.0", "code": "0.2.0+1"})
    result = sweep.verdicts()
    assert result.comparisons[0].verdict == "better"
    assert any("code versions" in text and "0.2.0+1 (5)" in text for text in result.warnings)
    assert any("package versions" in text and "torch 2.12.0" in text for text in result.warnings)
    apart = "version made runs of both arms, so the version may be part of the difference: d8 and d4"
    assert {f"no code {apart}", f"no package {apart}"} <= set(result.warnings)
    sweep.run("d4", 0, D4[0], provenance={"packages.torch": "2.12.0", "code": "0.2.0+1"})
    sweep.jobs.pop(0)
    assert not any(apart in text for text in sweep.verdicts().warnings)


def test_a_solved_shape_that_moves_more_than_the_hidden_size_is_told(tmp_path: Path) -> None:
    def said(name: str, width: int, **claim: Any) -> bool:
        made = Sweep(tmp_path / name, **claim)
        made.arm("d4", D4, accounting={"shape": {"width": 128}}).arm("d8", D8, accounting={"shape": {"width": width}})
        return any(f"width {width} of d8 against 128 of d4" in text for text in made.verdicts().warnings)

    other = {"factor": ["model/ffn"], "derived": ["shape.depth"]}
    assert said("moved", 112, **other)
    assert not said("same", 128, **other)
    assert not said("meant", 112)


TUNE = {"params": {"optim.lr": [0.001, 0.002, 0.004]}, "seeds": [100]}


@pytest.mark.parametrize("rate", [0.001, 0.004])
def test_a_best_rate_at_the_edge_refuses(sweep: Sweep, rate: float) -> None:
    sweep.claim["tune"] = TUNE
    for arm, scores in (("d4", D4), ("d8", D8)):
        best = rate if arm == "d8" else 0.002
        sweep.tune(arm, {lr: 1.9 + abs(lr - best) for lr in TUNE["params"]["optim.lr"]})  # type: ignore[index]
        sweep.arm(arm, scores, params={"optim.lr": best})
    assert f"the best optim.lr of d8 ({rate:g}) is at the edge of its grid (0.001 to 0.004)" in sweep.only().reason


def test_arms_tuned_to_different_rates_do_not_drift(sweep: Sweep) -> None:
    sweep.claim["tune"] = {"params": {"optim.lr": [0.001, 0.002, 0.003, 0.004]}, "seeds": [100]}
    sweep.tune("d4", {0.001: 1.95, 0.002: 1.9, 0.003: 1.91, 0.004: 2.0}).arm("d4", D4, params={"optim.lr": 0.002})
    sweep.tune("d8", {0.001: 1.95, 0.002: 1.9, 0.003: 1.89, 0.004: 2.0}).arm("d8", D8, params={"optim.lr": 0.003})
    assert sweep.only().verdict == "better"


def test_a_rate_that_tuning_did_not_choose_refuses(sweep: Sweep) -> None:
    sweep.claim["tune"] = {"params": {"optim.lr": [0.001, 0.002, 0.003, 0.004]}, "seeds": [100]}
    for arm, scores in (("d4", D4), ("d8", D8)):
        sweep.tune(arm, {0.001: 1.95, 0.002: 1.9, 0.003: 1.91, 0.004: 2.0}).arm(arm, scores, params={"optim.lr": 0.003})
    assert "but tuning chose optim.lr=0.002" in sweep.only().reason


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_what_tunes_has_a_direction_of_its_own(sweep: Sweep, better: str) -> None:
    """Whatever of the claim's metric is better, the tuned arm takes the best of the tuning metric."""
    sign = 1 if better == "lower" else -1
    sweep.claim |= {"direction": "higher" if better == "lower" else "lower"}
    sweep.claim["tune"] = {"params": {"optim.lr": [0.001, 0.002, 0.003, 0.004]}, "seeds": [100], "direction": better}
    for arm, scores in (("d4", D4), ("d8", D8)):
        seen = {0.001: 1.95, 0.002: 1.9, 0.003: 1.91, 0.004: 2.0}
        sweep.tune(arm, {rate: sign * score for rate, score in seen.items()})
        sweep.arm(arm, scores, params={"optim.lr": 0.002})
    manifest = sweep.manifest()
    assert manifest.claim is not None
    assert tune_of_sweep(manifest.claim, manifest.jobs, [sweep.root])["d8"] == {"optim.lr": 0.002}
    assert sweep.only().verdict == ("worse" if better == "lower" else "better")


@pytest.mark.parametrize(
    ("tuned", "kept", "said"),
    [
        ([], True, "d8 was not tuned"),
        (["d4"], True, "d8 was not tuned"),
        (["d4", "d8"], True, "excludes zero"),
        (["d4", "d8"], False, "the tuning of d8 cannot be checked: 1 of its 3 runs have no record"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_an_arm_whose_tuning_cannot_be_seen_refuses(
    sweep: Sweep, tuned: list[str], kept: bool, said: str, named: bool
) -> None:
    sweep.claim["tune"] = TUNE
    for arm, scores in (("d4", D4), ("d8", D8)):
        if arm in tuned:
            sweep.tune(arm, {0.001: 1.95, 0.002: 1.9})
            sweep.tune(arm, {0.004: 1.95}, record=kept or arm == "d4")
        sweep.arm(arm, scores, params={"optim.lr": 0.002} if named else {})
    assert (said if named or not tuned else "was not tuned") in sweep.only().reason


def test_choice_skips_settings_that_were_lucky_once() -> None:
    trials = [Trial({"lr": 1}, 100, 2.0), Trial({"lr": 1}, 101, 2.0), Trial({"lr": 2}, 100, 1.0)]
    trials.append(Trial({"lr": 2}, 101, None))
    assert choose(trials, "lower", "a") == {"lr": 1}
    with pytest.raises(UserError, match="arm 'a'"):
        choose([Trial({"lr": 1}, 100, None)], "lower", "a")
    assert at_edge({"lr": 1, "kind": "a"}, {"lr": [1, 2], "kind": ["a", "b"]}) == ["lr"]
    assert at_edge({"lr": 1}, {"lr": [1]}) == []


@pytest.mark.parametrize(
    ("d4", "d8", "verdict"),
    [
        (D4[:1], D8[:1], "inconclusive"),
        ([1.9] * 5, [1.8] * 5, "inconclusive"),
        (D4, D4, "inconclusive"),
        (D4, [x - 0.02 for x in D4], "inconclusive"),
        ([], D8, "refused"),
        ([None] * 5, [None] * 5, "inconclusive"),
    ],
    ids=["one seed", "seeds do nothing", "identical", "constant shift", "no baseline runs", "all diverged"],
)
def test_degenerate_input_has_a_sensible_answer(sweep: Sweep, d4: Any, d8: Any, verdict: str) -> None:
    sweep.claim["seeds"] = list(range(max(len(d4), len(d8))))
    result = sweep.arm("d4", d4).arm("d8", d8).verdicts()
    assert result.comparisons[0].verdict == verdict
    assert "NaN" not in json.dumps(result.as_json(), allow_nan=False)


def test_a_metric_that_moves_in_steps_makes_no_false_claims() -> None:
    """Two seeds of a benchmark of 20 items: one comparison in eleven has differences without a spread."""
    rng = np.random.default_rng(0)
    draws = rng.binomial(20, 0.5, (3000, 2, 2)) / 20
    found = [paired(dict(enumerate(a)), dict(enumerate(b))) for a, b in draws]
    assert np.mean([item is not None and item.p_value < 0.05 for item in found]) < 0.05
    assert sum(item is not None and item.replicates and item.error == 0 for item in found) > 100


def test_arms_that_are_the_same_runs_are_refused(sweep: Sweep) -> None:
    sweep.arm("d4", D4)
    sweep.jobs += [{**job, "arm": "d8"} for job in sweep.jobs]
    assert "the same runs" in sweep.only().reason


def test_a_single_pair_of_equal_scores_is_not_evidence() -> None:
    difference = paired({0: 1.0}, {0: 1.0})
    assert difference is not None
    assert (difference.p_value, difference.p_equivalence(1.0), difference.interval(0.05)) == (1.0, 1.0, None)


def test_verdicts_json_has_the_promised_keys(sweep: Sweep) -> None:
    sweep.arm("d4", D4).arm("d8", D8)
    sweep.verdicts().write(sweep.root / "verdicts.json")
    data = json.loads((sweep.root / "verdicts.json").read_text())
    top = {
        "sweep",
        "metric",
        "direction",
        "minimum_detectable_effect",
        "warnings",
        "comparisons",
        "estimates",
        "trends",
        "amended",
    }
    assert set(data) == top
    promised = "variant against equal n delta ci_low ci_high interval_level p_adjusted verdict expected claim reason"
    assert set(promised.split()) <= set(data["comparisons"][0])


def test_a_sweep_without_a_claim_and_an_unknown_sweep_say_so(sweep: Sweep) -> None:
    sweep.claim = None  # type: ignore[assignment]
    sweep.arm("d4", D4)
    with pytest.raises(UserError, match="no claim block"):
        sweep.verdicts()
    with pytest.raises(UserError, match="did you mean 'depth_width'"):
        compare("depth_widht", sweep.root)


def test_seeds_that_share_a_parent_are_told(tmp_path: Path) -> None:
    told = {}
    law = {"inherited": {"kind": "mean", "metric": "bits_per_byte", "arm": "d8", "region": [0.0, None]}}
    for name, parents in (("one", ["p"] * 5), ("own", list("pqrst")), ("two", list("ppppq"))):
        sweep = Sweep(tmp_path / name, estimates=law).arm("d4", D4)
        for seed, parent in enumerate(parents):
            sweep.run("d8", seed, D8[seed], provenance={"parent": parent})
        found = sweep.verdicts()
        said = any("d8; the intervals are given that parent" in line for line in found.warnings)
        refused, void = found.comparisons[0].reason, found.estimates[0]
        told[name] = (found.comparisons[0].method, "given one parent" in found.estimates[0].reason, said)
    assert told["one"] == ("paired t, given one parent", True, True)
    assert told["own"] == ("paired t", False, False)
    assert told["two"] == ("paired t", False, False)
    for reason in (refused, void.reason):
        assert "4 of 5 runs of d8 begin from the same parent and the others do not" in reason
    assert void.verdict == "undecided"
