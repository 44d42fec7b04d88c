"""Estimates: intervals cover as they say, planted values are found, what cannot be estimated is refused in words."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats
from synthetic_sweep import CLAIM, Sweep

from tests.commands import PROJECT
from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.estimand import Interval, Unestimable, kinds
from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.claims.sample import Sample
from tinylm.report.figures.peaks import peaks
from tinylm.report.judgement.estimation import within
from tinylm.report.judgement.verdicts import Estimate
from tinylm.report.judgement.wording import answer, estimate_sentence, unit_of_values
from tinylm.report.pages.page import write_report
from tinylm.report.pages.site import write_site
from tinylm.report.pages.study import Study
from tinylm.report.statistics.rank_correlation import rank_correlation

EXAMPLES: dict[str, dict[str, Any]] = {
    "spearman": {"x": "shape.depth", "region": [0.0, 1.0]},
    "spearman_gap": {"x": "shape.depth", "y": "shape.ratio", "region": [0.0, None]},
    "power_law_optimum": {"x": "batch.size", "tuned": "optim.lr", "region": [0.35, 0.65]},
    "mean": {"metric": "forgetting", "arm": "d4", "region": [0.0, None]},
    "peak_slope": {"x": "parameters", "y": "stored", "over": "offered", "region": [0.5, 1.5]},
    "difference": {"metric": "width", "arm": "d8", "against": "d4", "region": [0.0, None]},
    "trend": {"arm": "d8", "against": "d4", "region": [0.0, None]},
}
SIZES = {"sizes": {"1m": ["shape=1m"], "3m": ["shape=3m"]}}


def claim(kind: str, **changes: Any) -> Claim:
    block = {**copy.deepcopy(CLAIM), "baseline": None, "arms": {"d4": {}, "d8": {}}, **changes.pop("claim", {})}
    block |= SIZES if kind == "trend" else {}
    block["estimates"] = {"it": {"kind": kind, **EXAMPLES[kind], **changes}}
    return Claim.parse(block)


def interval(kind: str, runs: pd.DataFrame, **changes: Any) -> Interval:
    declared = claim(kind, **changes)
    return declared.estimates["it"].interval(runs, declared)


def test_every_kind_has_an_example() -> None:
    assert sorted(EXAMPLES) == kinds()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_manifest_keeps_what_is_to_be_estimated(tmp_path: Path, kind: str) -> None:
    declared = claim(kind)
    Manifest("m", "", declared, []).write(tmp_path)
    assert read_manifest("m", tmp_path).claim == declared
    sweep = Sweep(tmp_path / "runs", **json.loads(json.dumps(dataclasses.asdict(declared))))
    sweep.run(next(iter(declared.arms)), 0, 1.9)
    (told,) = json.loads(json.dumps(sweep.verdicts().as_json()))["estimates"]
    assert (told["kind"], told["verdict"], told["region"]) == (kind, "undecided", EXAMPLES[kind]["region"])


def shapes(n: int, rho: float, other: float, rng: np.random.Generator) -> pd.DataFrame:
    """Arms whose depth and ratio go with quality at population rank correlations ``rho`` and ``other``."""
    r, s = (2 * math.sin(math.pi * value / 6) for value in (rho, other))  # Pearson's, of normal numbers
    depth, ratio, rest = rng.normal(size=(3, n))
    quality = r * depth + s * ratio + math.sqrt(1 - r * r - s * s) * rest
    columns = {"arm": [f"s{i}" for i in range(n)], "shape.depth": depth, "shape.ratio": ratio}
    return pd.DataFrame({**columns, "bits_per_byte": 2 - 0.01 * quality})


@pytest.mark.parametrize(("n", "rho", "other", "rounds"), [(10, 0.5, 0.1, 120), (32, 0.528, 0.2, 40)])
def test_intervals_of_rank_correlations_cover_as_they_say(n: int, rho: float, other: float, rounds: int) -> None:
    rng = np.random.default_rng(3)
    hits = {"spearman": 0, "spearman_gap": 0}
    truth = {"spearman": rho, "spearman_gap": abs(rho) - abs(other)}
    values = []
    for _ in range(rounds):
        runs = shapes(n, rho, other, rng)
        for kind in hits:
            found = interval(kind, runs)
            hits[kind] += found.low <= truth[kind] <= found.high
            if kind == "spearman":
                values.append(found.value)
    low, high = stats.binom.interval(0.9999, rounds, 0.95) / np.array(rounds)
    for kind, count in hits.items():
        assert low - 0.01 <= count / rounds <= min(1.0, high + 0.01), kind
    assert np.mean(values) == pytest.approx(rho, abs=0.06)


def test_rho_is_spearmans_with_ties_and_better_is_positive() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(2, 9, 20).astype(float), rng.normal(size=20)
    assert float(rank_correlation(x, y)) == pytest.approx(float(stats.spearmanr(x, y).statistic))
    runs = pd.DataFrame({"arm": [f"s{i}" for i in range(20)], "shape.depth": x, "bits_per_byte": y})
    down = interval("spearman", runs).value
    assert down == pytest.approx(-float(stats.spearmanr(x, y).statistic))  # fewer bits are better
    assert interval("spearman", runs, claim={"direction": "higher"}).value == pytest.approx(-down)


def test_a_property_may_be_a_quotient() -> None:
    runs = shapes(12, 0.5, 0.0, np.random.default_rng(1)).assign(one=1.0, **{"a.b": lambda frame: frame["shape.depth"]})
    assert interval("spearman", runs, x="a.b / one") == interval("spearman", runs)
    assert interval("spearman", runs.assign(one=-1.0), x="a.b / one").value == -interval("spearman", runs).value


def test_seeds_of_a_shape_are_one_point() -> None:
    runs = shapes(12, 0.5, 0.0, np.random.default_rng(1))
    twice = pd.concat([runs.assign(bits_per_byte=runs["bits_per_byte"] + shift) for shift in (-0.1, 0.1)])
    assert interval("spearman", twice) == interval("spearman", runs)


def valley(rng: np.random.Generator, exponent: float = 0.5, noise: float = 0.001, seeds: int = 3) -> pd.DataFrame:
    """Batches x rates x seeds, each valley a quadratic in log lr about 0.002 (batch / 8)^exponent."""
    rates = 0.002 * 2.0 ** np.arange(-4, 5)
    rows = [
        (f"b{batch}", batch, rate, seed, 2 + 0.02 * math.log(rate / (0.002 * (batch / 8) ** exponent)) ** 2)
        for batch in (2, 4, 8, 16)
        for rate in rates
        for seed in range(seeds)
    ]
    runs = pd.DataFrame(rows, columns=["arm", "batch.size", "optim.lr", "seed", "bits_per_byte"])
    runs["bits_per_byte"] += rng.normal(0, noise, len(runs))
    return runs


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_exponents_interval_covers_as_it_says(seeds: int) -> None:
    rng = np.random.default_rng(2)
    rounds = 120
    found = [interval("power_law_optimum", valley(rng, seeds=seeds)) for _ in range(rounds)]
    hits = sum(item.low <= 0.5 <= item.high for item in found)
    low, high = stats.binom.interval(0.9999, rounds, 0.95) / np.array(rounds)
    assert low <= hits / rounds <= high
    assert np.mean([item.value for item in found]) == pytest.approx(0.5, abs=0.03)
    exact = interval("power_law_optimum", valley(rng, exponent=0.3, noise=0.0))
    assert exact.value == pytest.approx(0.3)
    assert exact.high - exact.low < 1e-6


def test_the_exponents_interval_covers_where_seeds_stray_together() -> None:
    """From the law, at each x by as much as noise lets a seed's optimum stray: more seeds are no help then."""
    rng = np.random.default_rng(3)
    rounds = 120
    hits = 0
    for _ in range(rounds):
        runs = valley(rng, noise=0.0, seeds=5)
        strays = {batch: rng.normal(0, 0.1) for batch in (2, 4, 8, 16)}
        runs["optim.lr"] *= np.exp(runs["batch.size"].map(strays) + runs["seed"].map(lambda n: 0.05 * n))
        found = interval("power_law_optimum", runs)
        hits += found.low <= 0.5 <= found.high
    low, high = stats.binom.interval(0.9999, rounds, 0.95) / np.array(rounds)
    assert low <= hits / rounds <= high


def test_a_law_that_is_none_widens_the_exponents_interval() -> None:
    straight = valley(np.random.default_rng(0))
    bent = straight.copy()
    bent.loc[bent["batch.size"] == 16, "optim.lr"] *= 2  # the same in every seed: noise it is not
    widths = [item.high - item.low for item in (interval("power_law_optimum", runs) for runs in (straight, bent))]
    assert widths[1] > 2 * widths[0]


def filled(capacity: float, noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Models of three sizes that store what they are offered up to their capacity, give or take ``noise`` of it."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"arm": f"{size}_{offered}", "seed": n, "parameters": size, "offered": offered, "stored": stored}
        for size in (10.0, 20.0, 40.0)
        for n in range(3)
        for most in [capacity * size * (1 + noise * rng.normal())]
        for offered in (5.0, 10.0, 20.0, 40.0, 80.0)
        for stored in [min(offered, most)]
    )


def test_the_slope_of_peaks_is_the_capacity() -> None:
    exact = interval("peak_slope", filled(0.5, noise=1e-9))
    assert (exact.value, exact.low, exact.high) == pytest.approx((0.5, 0.5, 0.5))
    assert exact.n == 3
    with pytest.raises(Unestimable, match="no spread"):
        interval("peak_slope", filled(0.5))
    found = [interval("peak_slope", filled(0.5, noise=0.05, seed=seed)) for seed in range(200)]
    hits = sum(item.low <= 0.5 <= item.high for item in found)
    assert stats.binomtest(hits, len(found), 0.95).pvalue > 1e-3, (
        "noise that grows with size makes no interval too narrow"
    )


def test_what_is_taken_is_drawn_until_it_is_full() -> None:
    declared = claim("peak_slope")
    runs = filled(0.5, noise=1e-9).assign(stage="compare", status="done")
    figure = peaks(runs, declared)
    assert figure is not None
    left, right = figure.axes
    assert [len(line.get_xdata()) for line in left.lines] == [5, 5, 5]
    (through,) = [line for line in right.lines if len(line.get_xdata()) == 2]
    assert np.array(through.get_data()) == pytest.approx(np.array([(10.0, 40.0), (5.0, 20.0)]))
    assert (left.get_xlabel(), left.get_ylabel()) == ("offered", "stored")
    assert (right.get_xlabel(), right.get_ylabel()) == ("parameters", "most stored")
    assert right.get_title(loc="left") == "slope of the most:\n0.50 ± 0.00 stored per parameter"
    close = runs[runs["offered"] == 20].assign(offered=23.0)  # the tick of 20 is near
    for told in (runs, pd.concat([runs, close])):
        figure = peaks(told, declared)
        assert figure is not None
        ticks = sorted(told["offered"].unique())
        assert list(figure.axes[0].get_xticks()) == ticks, "where it was measured"
    noisy = filled(0.5, noise=0.05).assign(stage="compare", status="done")
    found, figure = declared.estimates["it"].interval(noisy, declared), peaks(noisy, declared)
    assert figure is not None
    (band,) = figure.axes[1].collections
    corners = band.get_paths()[0].vertices
    rises = [np.ptp(corners[corners[:, 0] == x][:, 1]) for x in (10.0, 40.0)]
    middle = 70 / 3
    assert rises == pytest.approx([(found.high - found.low) * abs(x - middle) for x in (10.0, 40.0)])
    growing = peaks(runs[runs["offered"] < 20], declared)
    assert growing is not None
    assert len(growing.axes) == 1, "no line where more is still taken"
    assert peaks(runs.drop(columns="stored"), declared) is None


def test_the_mean_has_students_interval() -> None:
    values = [0.02, 0.05, 0.03, 0.04]
    found = interval("mean", pd.DataFrame({"forgetting": values}))
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))


def test_the_difference_is_paired_by_seed() -> None:
    ours, theirs = [31.0, 35.0, 29.5, 40.0], [30.0, 33.0, 29.0, 37.5]
    rows = [("d8", seed, value) for seed, value in enumerate(ours)] + [("d8", 9, 99.0)]  # a seed of one arm alone
    rows += [("d4", seed, value) for seed, value in reversed(list(enumerate(theirs)))]
    found = interval("difference", pd.DataFrame(rows, columns=["arm", "seed", "width"]))
    bounds = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((1.5, bounds.low, bounds.high))
    assert found.n == 4


@pytest.mark.parametrize(
    ("unbalanced", "verdict"),
    [
        ((1 / 3, 1 / 3, 1 / 3), "confirmed"),  # all text at two of eight experts, whatever the seed
        ((0.80, 0.78, 0.83), "confirmed"),
        ((0.97, 0.98, 0.975), "contradicted"),
        ((0.99, 0.97, 0.80), "undecided"),
    ],
)
def test_that_experts_die_can_be_confirmed_and_contradicted(unbalanced: tuple[float, ...], verdict: str) -> None:
    path = PROJECT / "sweeps" / "moe_aux.yaml"
    declared = Claim.parse(yaml.safe_load(path.read_text(encoding="utf-8"))["claim"])
    loads = {"balanced": (0.99, 0.995, 0.985), "unbalanced": unbalanced}
    rows = [(arm, seed, load) for arm, values in loads.items() for seed, load in enumerate(values)]
    estimand = declared.estimates["dying"]
    found = estimand.interval(pd.DataFrame(rows, columns=["arm", "seed", "load_entropy_03"]), declared)
    assert estimand.region is not None
    assert within(found.low, found.high, estimand.region) == verdict


def test_a_mean_over_parents_counts_each_once(tmp_path: Path) -> None:
    it = {"kind": "mean", "metric": "skip", "arm": None, "region": [0.0, None]}
    sweep = Sweep(tmp_path / "runs", estimates={"it": it})
    for seed, value in enumerate((0.02, 0.05, 0.03)):
        sweep.run("d8", seed, 1.9)
        elder = sweep.run("d8", seed, 1.8, stage="parent")
        sweep.tell(elder, skip=value)
    sweep.jobs.append(dict(sweep.jobs[-1]))  # as where a tuning and a comparing stage need one parent
    (found,) = sweep.verdicts().estimates
    assert (found.n, found.verdict) == (3, "undecided")
    assert found.value == pytest.approx(0.1 / 3)


def test_an_estimate_is_told_with_its_unit_and_what_was_claimed_of_it(tmp_path: Path) -> None:
    mean = {"kind": "mean", "arm": "d8"}
    block = {
        "tilt": {**mean, "metric": "round_1_tilt", "region": [0.02, None], "claim": "the draw differs at all"},
        "half": {**mean, "metric": "accuracy", "region": None, "claim": "as in the first table"},
        "bare": {**mean, "metric": "accuracy", "region": [None, 0.9]},
    }
    sweep = Sweep(tmp_path / "runs", seeds=[0, 1, 2], estimates=block)
    for seed in range(3):
        sweep.run("d4", seed, 1.9 + 0.01 * seed)
        sweep.tell(sweep.run("d8", seed, 1.88), round_1_tilt=0.03 + 0.001 * seed, accuracy=0.4 + 0.1 * seed)
    half = "+0.50 (95% interval +0.25 to +0.75, n = 3 seeds"
    assert [estimate_sentence(item, sweep.verdicts()) for item in sweep.verdicts().estimates] == [
        "tilt is +0.0310 nats a token (95% interval +0.0285 to +0.0335, n = 3 seeds; "
        "expected at least 0.02: the draw differs at all): confirmed",
        f"half is {half}; as in the first table)",
        f"bare is {half}; expected at most 0.9): confirmed",
    ]
    page = write_site([sweep.root], tmp_path / "site", lambda told: None).path.read_text(encoding="utf-8")
    assert page.count("the draw differs at all") == 2  # by claim, and by source above the bare finding


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("skip_ends_over_middle", "bits per byte"),
        ("extrapolation_4", "bits per byte"),
        ("bits_per_byte/code", "bits per byte"),
        ("round_2_forgetting", "nats a token"),
        ("test_loss", "nats a token"),
        ("effective_dimension", "principal components"),
        ("probe_accuracy_distance_0008", ""),
        ("load_entropy_03", ""),
    ],
)
def test_the_unit_of_a_metrics_values(metric: str, unit: str) -> None:
    assert unit_of_values(metric) == unit
    declared = claim("difference", metric=metric)
    assert declared.estimates["it"].value_unit(declared) == unit


def test_a_slope_over_parameters_is_told_by_the_parameter() -> None:
    body = claim("peak_slope", x="accounting.parameters.body", y="fact_bits_stored")
    assert body.estimates["it"].value_unit(body) == "bits of facts stored a parameter"
    for kind in ("peak_slope", "spearman"):
        declared = claim(kind)
        assert declared.estimates["it"].value_unit(declared) == ""


def test_a_study_at_a_glance_tells_no_number_without_its_interval(tmp_path: Path) -> None:
    arms = {**CLAIM["arms"], "d8": {**CLAIM["arms"]["d8"], "claim": "deeper is better"}}
    it = {"kind": "mean", "metric": "skip", "arm": "d8", "region": [0.0, None], "claim": "layers are missed"}
    sweep = Sweep(tmp_path / "depth_width" / "runs", arms=arms, seeds=[0, 1, 2], estimates={"it": it})
    for seed, value in enumerate((1.0, 1.2, 1.1)):
        sweep.run("d4", seed, 1.9 + 0.01 * seed)
        sweep.tell(sweep.run("d8", seed, 1.88 + 0.012 * seed), skip=value)
    sweep.manifest()
    deeper, missed = Study(["depth_width"], tmp_path).glance()["found"]
    assert deeper == "−0.0180 ± 0.0050, n = 3: better"
    assert missed == "+1.10 (+0.85 to +1.35), n = 3"


def one_rate_short(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["optim.lr"] < 0.0025]


def ragged(runs: pd.DataFrame) -> pd.DataFrame:
    """Every second rate far worse than both beside it."""
    rank = runs["optim.lr"].rank(method="dense").to_numpy(int)
    return runs.assign(bits_per_byte=2 + 0.01 * abs(rank - 5) + (rank % 2 == 0))


REFUSED: dict[str, tuple[str, Any, dict[str, Any], str]] = {
    "few arms": ("spearman", lambda: shapes(7, 0.5, 0, np.random.default_rng(0)), {}, "7 arms are too few"),
    "no column": ("spearman", lambda: shapes(9, 0, 0, np.random.default_rng(0)), {"x": "shape.dept"}, "did you mean"),
    "no spread": (
        "spearman_gap",
        lambda: shapes(9, 0, 0, np.random.default_rng(0)).assign(**{"shape.ratio": 2.0}),
        {},
        "shape.ratio does not differ",
    ),
    "words": (
        "spearman",
        lambda: shapes(9, 0, 0, np.random.default_rng(0)).assign(**{"shape.depth": "deep"}),
        {},
        "shape.depth is no number",
    ),
    "edge": (
        "power_law_optimum",
        lambda: one_rate_short(valley(np.random.default_rng(0), exponent=0.6, noise=0.0)),
        {},
        "batch.size 8, seed 0: the best optim.lr (0.002) is at the edge of its grid",
    ),
    "two batches": (
        "power_law_optimum",
        lambda: valley(np.random.default_rng(0)).query("`batch.size` < 8"),
        {},
        "2 values of batch.size are too few",
    ),
    "ragged": (
        "power_law_optimum",
        lambda: ragged(valley(np.random.default_rng(0))),
        {},
        "too flat or too ragged",
    ),
    "still growing": (
        "peak_slope",
        lambda: filled(2.0).query("offered < 25"),
        {},
        "still grows at the largest offered",
    ),
    "two sizes": ("peak_slope", lambda: filled(0.5).query("parameters < 30"), {}, "2 values of parameters are too few"),
    "one seed": ("mean", lambda: pd.DataFrame({"forgetting": [0.1]}), {}, "1 seed(s) have no spread"),
    "no replicates": ("mean", lambda: pd.DataFrame({"forgetting": [0.1, 0.1]}), {}, "no run changed with its seed"),
    "no pair": (
        "difference",
        lambda: pd.DataFrame({"arm": ["d4", "d8"], "seed": [0, 1], "width": [1.0, 2.0]}),
        {},
        "d8 and d4 share no seed",
    ),
    "one pair": (
        "difference",
        lambda: pd.DataFrame({"arm": ["d4", "d8"], "seed": [0, 0], "width": [1.0, 2.0]}),
        {},
        "1 pair(s) have no spread",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_estimated_is_refused_in_words(case: str) -> None:
    kind, runs, changes, message = REFUSED[case]
    with pytest.raises(Unestimable) as caught:
        interval(kind, runs(), **changes)
    assert message in str(caught.value)


def test_a_rate_that_diverged_is_no_edge_and_no_neighbour() -> None:
    runs = valley(np.random.default_rng(0))
    far = runs.assign(bits_per_byte=runs["bits_per_byte"].where(runs["optim.lr"] < 0.02))
    assert interval("power_law_optimum", far).value == pytest.approx(0.5, abs=0.05)
    near = runs.assign(bits_per_byte=runs["bits_per_byte"].where(runs["optim.lr"] < 0.0025))
    with pytest.raises(Unestimable, match="diverged; take a finer grid"):
        interval("power_law_optimum", near)


@pytest.mark.parametrize(
    ("low", "high", "region", "verdict"),
    [
        (0.4, 0.6, (0.35, 0.65), "confirmed"),
        (0.3, 0.6, (0.35, 0.65), "undecided"),
        (0.7, 0.9, (0.35, 0.65), "contradicted"),
        (0.0, 9e9, (0.0, None), "confirmed"),
        (-1e-9, 9e9, (0.0, None), "undecided"),
        (-2.0, -1.0, (None, 0.0), "confirmed"),
        (-2.0, -1.0, (0.0, None), "contradicted"),
    ],
)
def test_the_table_of_verdicts(
    low: float, high: float, region: tuple[float | None, float | None], verdict: str
) -> None:
    assert within(low, high, region) == verdict


def test_without_a_region_there_is_no_verdict(tmp_path: Path) -> None:
    width = {"kind": "spearman", "x": "shape.depth", "region": None}
    sweep = sampled(tmp_path / "runs", estimates={"width": width})
    (found,) = sweep.verdicts().estimates
    assert (found.verdict, found.region) == (None, None)
    assert found.ci_low is not None
    assert answer(sweep.verdicts()).endswith("n = 12 arms).")


def sampled(root: Path, number: int = 12, **options: Any) -> Sweep:
    """A sweep of drawn shapes in which depth helps."""
    ranges = {
        "shape.depth": {"low": 2, "high": 14, "kind": "int"},
        "shape.ratio": {"low": 1.0, "high": 6.0, "kind": "log"},
    }
    block = {
        "baseline": None,
        "arms": {},
        "factor": ["shape.depth", "shape.ratio"],
        "seeds": [0],
        "sample": {"number": number, "ranges": ranges},
        "estimates": {
            "depth": {"kind": "spearman", "source": "Someone: 0.528", **EXAMPLES["spearman"]},
            "gap": {"kind": "spearman_gap", **EXAMPLES["spearman_gap"]},
        },
    }
    sweep = Sweep(root, "random_shapes", **{**block, **options})
    rng = np.random.default_rng(0)
    for arm, declared in Claim.parse(sweep.claim).arms.items():
        settings = {key: float(text) for key, text in (item.split("=") for item in declared.overrides)}
        sweep.run(arm, 0, 2 - 0.01 * settings["shape.depth"] + rng.normal(0, 0.003), config=settings)
    return sweep


def by_name(sweep: Sweep) -> dict[str, Estimate]:
    return {item.name: item for item in sweep.verdicts().estimates}


def test_drawn_arms_without_a_baseline_go_the_whole_way(tmp_path: Path) -> None:
    sweep = sampled(tmp_path / "runs")
    found = by_name(sweep)
    assert found["depth"].value is not None
    assert found["depth"].value > 0.9
    assert [found[name].verdict for name in ("depth", "gap")] == ["confirmed", "confirmed"]
    assert found["depth"].n == 12
    report = write_report(sweep.name, [sweep.root], tmp_path / "out")
    assert report.verdicts.comparisons == []
    for file in ("report.md", "report.html"):
        text = (tmp_path / "out" / file).read_text(encoding="utf-8")
        for words in ("depth is +0.9", "confirmed", "Someone: 0.528", "12 arms", "at least 0"):
            assert words in text, (file, words)


def test_an_estimate_says_why_it_is_undecided(tmp_path: Path) -> None:
    missing = sampled(tmp_path / "missing")
    missing.jobs = [{**job, "key": "nowhere"} if job["arm"] == "s03" else job for job in missing.jobs]
    found = by_name(missing)["depth"]
    assert (found.verdict, found.ci_low) == ("undecided", None)
    assert found.value is not None
    assert "11 of 12 runs have a number; s03 seed 0 not run" in found.reason
    diverged = sampled(tmp_path / "diverged")
    diverged.run("s03", 0, None, status="diverged", config={"shape.depth": 9, "shape.ratio": 2.0})
    assert "diverged" in by_name(diverged)["depth"].reason
    unequal = sampled(tmp_path / "unequal")
    unequal.run("s12", 0, 1.9, config={"shape.depth": 3}, accounting={"parameters.total": 2_000_000})
    assert "not at equal parameters" in by_name(unequal)["depth"].reason
    drifted = sampled(tmp_path / "drifted")
    drifted.run("s12", 0, 1.9, config={"shape.depth": 3, "shape.ratio": 2.0, "optim.lr": 0.1})
    assert "differ in more than the factor: optim.lr" in by_name(drifted)["depth"].reason
    mixed = sampled(tmp_path / "mixed")
    mixed.run("s12", 0, 1.9, config={"shape.depth": 3, "shape.ratio": 2.0}, provenance={"threads": 2})
    assert "threads mixed" in by_name(mixed)["depth"].reason


@pytest.mark.parametrize(("best", "told"), [(0.002, ""), (0.004, "at the edge of its grid")])
def test_what_was_tuned_badly_is_not_estimated(tmp_path: Path, best: float, told: str) -> None:
    """As it is not compared: the best may lie outside what was tried."""
    tune = {"params": {"optim.lr": [0.001, 0.002, 0.004]}, "seeds": [100]}
    mean = {"kind": "mean", "metric": "bits_per_byte", "arm": "d4", "region": [0.0, None]}
    sweep = Sweep(tmp_path, baseline=None, arms={"d4": {}}, tune=tune, estimates={"mean": mean})
    sweep.tune("d4", {rate: 2 + abs(rate - best) for rate in tune["params"]["optim.lr"]})
    for seed in sweep.claim["seeds"]:
        sweep.run("d4", seed, 1.9 + 0.01 * seed, params={"optim.lr": best})
    (found,) = sweep.verdicts().estimates
    assert (found.verdict, told in found.reason) == ("undecided" if told else "confirmed", True)


def test_added_seeds_alone_count(tmp_path: Path) -> None:
    sweep = sampled(tmp_path / "runs")
    for index, arm in enumerate(Claim.parse(sweep.claim).arms):
        sweep.run(arm, 7, 1.9 + 0.01 * index, config={"shape.depth": 2 + index, "shape.ratio": 2.0})
    found = by_name(sweep)["depth"]
    assert found.extended
    assert found.value == pytest.approx(-1.0)


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_an_exponent_is_read_from_what_was_tuned(tmp_path: Path, direction: str) -> None:
    """By what is better of the tuning metric, whatever is better of the claim's."""
    rates = [0.0005, 0.001, 0.002, 0.004, 0.008]
    arms = {"b2": {}, "b4": {}, "b8": {}}
    exponent = {"kind": "power_law_optimum", **EXAMPLES["power_law_optimum"]}
    tune = {"params": {"optim.lr": rates}, "seeds": [100]}
    options = {"tune": tune, "estimates": {"exponent": exponent}, "direction": direction}
    sweep = Sweep(tmp_path, arms=arms, baseline="b2", factor=["batch"], **options)
    for index, (arm, size) in enumerate((("b2", 2), ("b4", 4), ("b8", 8))):
        best = 0.001 * 2 ** (0.5 * index)
        scores = {rate: 2 + 0.02 * math.log(rate / best) ** 2 + 1e-5 * (index % 2) for rate in rates}
        sweep.tune(arm, scores, config={"batch.size": size})
    (found,) = sweep.verdicts().estimates
    assert found.value == pytest.approx(0.5, abs=1e-3)
    assert (found.verdict, found.n, found.unit) == ("confirmed", 3, "optima")


def test_draws_are_fixed_distinct_and_kept_when_more_are_wanted() -> None:
    ranges = {
        "shape.depth": {"low": 2, "high": 4, "kind": "int"},
        "shape.ratio": {"low": 1.0, "high": 6.0, "kind": "log"},
    }
    block = {**copy.deepcopy(CLAIM), "factor": ["shape"], "sample": {"number": 40, "ranges": ranges}}
    few = {**block, "sample": {"number": 9, "ranges": ranges}}
    forty, nine = Claim.parse(block), Claim.parse(few)
    assert list(forty.arms)[:4] == ["d4", "d8", "s00", "s01"]
    assert forty.arms["s00"].overrides == ["shape.depth=4", "shape.ratio=3.379"]  # a manifest's arms depend on it
    assert forty.arms["s05"] == nine.arms["s05"]
    drawn = [tuple(arm.overrides) for name, arm in forty.arms.items() if name.startswith("s")]
    assert len(set(drawn)) == 40
    assert {word.split("=")[1] for words in drawn for word in words if "depth" in word} == {"2", "3", "4"}
    ratios = np.array([float(words[1].split("=")[1]) for words in drawn])
    assert 1.0 <= ratios.min() < 1.5
    assert 4.0 < ratios.max() <= 6.0
    assert forty.sample is not None
    few_kinds = Sample(5, forty.sample.ranges)
    once = few_kinds.overrides(distinct=lambda words: words[1][:13])  # shape.ratio=2, whatever follows
    assert len({words[1][:13] for words in once.values()}) == len(once) == 5
    other = Claim.parse({**block, "sample": {"number": 40, "ranges": ranges, "seed": 1}})
    assert other.arms["s00"] != forty.arms["s00"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown kind": ({"estimates": {"e": {"kind": "spearmen"}}}, "did you mean 'spearman'"),
    "no kind": ({"estimates": {"e": {"x": "a"}}}, "claim.estimates.e: the key 'kind' is missing"),
    "key of another kind": (
        {"estimates": {"e": {"kind": "mean", "x": "a", "region": [0, 1]}}},
        "claim.estimates.e: unknown key 'x'",
    ),
    "no x": ({"estimates": {"e": {"kind": "spearman", "region": [0, 1]}}}, "the key 'x' is missing"),
    "open region": ({"estimates": {"e": {"kind": "spearman", "x": "a", "region": [None, None]}}}, "at most one"),
    "region upside down": ({"estimates": {"e": {"kind": "spearman", "x": "a", "region": [1, 0]}}}, "1 is not below 0"),
    "unknown arm": (
        {"estimates": {"e": {"kind": "mean", "metric": "m", "arm": "d5", "region": [0, None]}}},
        "claim.estimates.e: no arm is called 'd5'",
    ),
    "nothing to decide": ({"baseline": None}, "declare `estimates`"),
    "expectation of nothing": (
        {"baseline": None, "estimates": {"e": {"kind": "spearman", "x": "a", "region": [0, 1]}}},
        "claim.arms.d8.expect: the arm is compared with nothing",
    ),
    "drawn key beside the factor": (
        {"sample": {"number": 2, "ranges": {"optim.lr": {"low": 1, "high": 2, "kind": "linear"}}}},
        "claim.sample.ranges.optim.lr: differs between the arms",
    ),
    "too few values": (
        {"sample": {"number": 4, "ranges": {"shape.depth": {"low": 1, "high": 3, "kind": "int"}}}},
        "hold 3 different arms, not 4",
    ),
    "range upside down": (
        {"sample": {"number": 2, "ranges": {"shape.depth": {"low": 3, "high": 1, "kind": "int"}}}},
        "low 3 is above high 1",
    ),
    "trend without sizes": (
        {"estimates": {"e": {"kind": "trend", "arm": "d8", "against": "d4", "region": [0, None]}}},
        "claim.estimates.e: a trend goes over sizes; give the claim `sizes`",
    ),
    "trend of no arm": (
        {**SIZES, "estimates": {"e": {"kind": "trend", "arm": "d9", "against": "d4", "region": [0, None]}}},
        "claim.estimates.e: no arm is called 'd9@1m'; did you mean 'd8@1m'?",
    ),
    "gain without a unit": ({"arms": {"d4": {}, "d8": {"reported": 1.7}}}, "claim.reported_unit: say in what unit"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_declaration_is_one_line_that_names_the_culprit(case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(UserError) as caught:
        Claim.parse({**copy.deepcopy(CLAIM), **change})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
