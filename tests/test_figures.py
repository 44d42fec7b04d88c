"""Figures are drawn where runs have their numbers and nowhere else; what they compute is checked, not their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from scipy import stats
from synthetic_sweep import CLAIM, D8, Sweep

from tinylm.record import RunRecord
from tinylm.report.claims.claim import Claim
from tinylm.report.figures.curves import learning_curves, not_scored_alike
from tinylm.report.figures.drawing import caption
from tinylm.report.figures.experts import specialisation
from tinylm.report.figures.forgetting import forgetting
from tinylm.report.figures.layers import by_layer
from tinylm.report.figures.lengths import by_length
from tinylm.report.figures.pareto import front, pareto
from tinylm.report.figures.scaling import across_sizes
from tinylm.report.figures.sensitivity import sensitivity
from tinylm.report.figures.style import INK, PALETTE, of_arms
from tinylm.report.pages.page import write_report
from tinylm.report.records.arms import by_arm
from tinylm.report.records.collect import collect
from tinylm.report.records.history import history
from tinylm.report.tables.costs import SPENT_NOTE, WALL_TIME, spent_table
from tinylm.report.tables.factors import confounded, factors, matrix
from tinylm.report.tables.rounds import rounds_table
from tinylm.runs.items import write_items


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=9))
def test_the_front_is_what_no_other_beats_on_both(points: list[tuple[int, int]]) -> None:
    cost, score = np.array(points, float).T
    found = front(cost, score, "lower")
    beaten = [any((b <= a).all() and (b < a).any() for b in np.array(points)) for a in np.array(points)]
    assert {points[rank] for rank in found} == {point for point, worse in zip(points, beaten, strict=True) if not worse}
    assert front(cost, -score, "higher") == found


def test_a_report_draws_what_its_runs_have_numbers_for(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    for arm, depth in (("d4", 4), ("d8", 8)):
        for seed in range(2):
            key = sweep.run(arm, seed, 1.9 - 0.01 * depth + 0.001 * seed)
            layers = {f"skip_{layer:02d}": 0.1 * (layer - 1) for layer in range(depth)}
            wide = {f"effective_dimension_{layer:02d}": 20.0 + layer for layer in range(depth)}
            sweep.tell(key, decode_ms_per_token_uncached=float(depth), **layers, **wide)
    sweep.manifest()
    write_report(sweep.name, [sweep.root], tmp_path / "out")
    drawn = {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert drawn == {"differences", "quality", "pareto", "layer_skip", "effective_dimension"}


def test_learning_curves_stand_side_by_side_where_they_can(tmp_path: Path) -> None:
    """Runs under a second name once; losses only of one vocabulary, tune scores only of the same documents; very
    different lengths on a logarithmic axis."""
    sweep = Sweep(tmp_path / "runs")
    for arm, vocab in (("d4", 512), ("d8", 1024)):
        sweep.run(arm, 0, 1.9, history=9, accounting={"shape.vocab": vocab})
    sweep.jobs.append({**sweep.jobs[0], "arm": "again"})
    placed, curves = by_arm(sweep.frame(), sweep.manifest()), history(sweep.root)
    ink = {"d4": "black", "d8": "grey", "again": "red"}

    def drawn(placed: pd.DataFrame, curves: pd.DataFrame) -> list[Axes]:
        figure = learning_curves(curves, placed, ink)
        assert figure is not None
        return figure.axes

    (axes,) = drawn(placed, curves)
    assert axes.get_title(loc="left") == "bits per byte on the tune split"
    assert axes.get_xscale() == "linear"
    assert {line.get_color() for line in axes.lines} == {"black", "grey"}
    assert len(drawn(placed.assign(**{"accounting.shape.vocab": 512}), curves)) == 2
    scored = curves[curves["name"] == "tune_bits_per_byte"].assign(name="tune_bytes", value=9.0)
    told = pd.concat([curves, scored])
    assert len(drawn(placed, told)) == 1
    other = told["value"].where((told["name"] != "tune_bytes") | (told["key"] != sweep.jobs[1]["key"]), 7.0)
    assert learning_curves(told.assign(value=other), placed, ink) is None, "nobody scores what another does"
    longer = curves["key"] == sweep.jobs[1]["key"]
    stretched = curves.assign(tokens=curves["tokens"].where(~longer, 9 * curves["tokens"]))
    alike = placed.assign(**{"accounting.shape.vocab": 512})
    assert drawn(alike, stretched)[0].get_xscale() == "log"


def test_each_size_has_learning_curves_of_its_own(tmp_path: Path) -> None:
    """A row a size with its arms called by their name alone; a size without runs has none."""
    sizes = {"0.3m": ["shape=0.3m"], "1m": ["shape=1m"], "3m": ["shape=3m"]}
    arms = {"d4": {"label": "four"}, "d8": {"label": "eight"}}
    sweep = Sweep(tmp_path / "runs", arms=arms, sizes=sizes)
    for size in ("0.3m", "1m"):
        for arm in arms:
            sweep.run(f"{arm}@{size}", 0, 1.9, history=9, accounting={"shape.vocab": 512})
    manifest = sweep.manifest()
    claim = manifest.claim
    assert claim is not None
    placed = by_arm(sweep.frame(), manifest)
    figure = learning_curves(history(sweep.root), placed, across_sizes(claim), claim)
    assert figure is not None
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.split(":")[0] for title in titles] == ["0.3m", "0.3m", "1m", "1m"]
    assert all({text.get_text() for text in axes.texts} == {"four", "eight"} for axes in figure.axes)


def test_curves_of_unlike_vocabularies_are_over_bytes_and_of_one_part_of_the_tune_split(tmp_path: Path) -> None:
    """Of four arms two score 9 bytes, one 7 and one another number with each seed: the two are drawn."""
    sweep = Sweep(tmp_path / "runs", baseline="a", arms={arm: {"overrides": [arm]} for arm in "abcd"})
    for place, arm in enumerate("abcd"):
        for seed in range(2):
            sweep.run(arm, seed, 1.9, history=9, accounting={"shape.vocab": 512 * (1 + place)})
    manifest = sweep.manifest()
    assert manifest.claim is not None
    placed, curves = by_arm(sweep.frame(), manifest), history(sweep.root)
    scored = curves[curves["name"] == "tune_bits_per_byte"]
    letter = scored["key"].map({job["key"]: job["arm"] for job in sweep.jobs})
    seed = scored["key"].map({job["key"]: job["seed"] for job in sweep.jobs})
    part = letter.map({"a": 9, "b": 7, "c": 9, "d": 5}) + seed * (letter == "d")
    told = pd.concat([curves, scored.assign(name="tune_bytes", value=part)])
    ink = {"a": "black", "b": "red", "c": "grey", "d": "blue"}
    assert not_scored_alike(told, placed) == ["b", "d"]
    assert not_scored_alike(curves, placed) == []
    assert "another part of it: b; d." in caption("learning_curves", manifest.claim, None, placed, told)
    assert "another part of it" not in caption("learning_curves", manifest.claim, None, placed, curves)

    def drawn(history: pd.DataFrame) -> Axes:
        figure = learning_curves(history, placed, ink)
        assert figure is not None
        (axes,) = figure.axes
        return axes

    axes = drawn(told)
    assert {line.get_color() for line in axes.lines} == {"black", "grey"}
    assert axes.get_xlabel() == "bytes read"
    bytes_a_token = 21 / 6  # of every made-up run
    assert np.asarray(axes.lines[0].get_xdata()) == pytest.approx(bytes_a_token * np.sort(scored["tokens"].unique()))
    assert drawn(told[told["name"] != "bytes"]).get_xlabel() == "tokens read"
    stopped = (told["key"] == sweep.jobs[0]["key"]) & (told["tokens"] > told["tokens"].median())  # the first seed of a
    mean = next(line for line in drawn(told[~stopped]).lines if len(np.asarray(line.get_xdata())) == 200)
    reach = bytes_a_token * told.loc[(told["key"] == sweep.jobs[0]["key"]) & ~stopped, "tokens"].max()
    assert np.asarray(mean.get_xdata())[-1] == pytest.approx(reach), "as far as all seeds of the arm go"


def test_the_costs_of_use_are_panels_where_arms_differ(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    keys = [(sweep.run(arm, seed, 1.9 + 0.01 * seed), arm) for arm in ("d4", "d8") for seed in range(2)]
    tell = {
        "d4": {"decode_ms_per_token": 2.0, "decode_peak_mib": 9.0, "model_mib_int8": 1.0, "int8_bits_per_byte": 1.95},
        "d8": {"decode_ms_per_token": 4.0, "decode_peak_mib": 9.1, "model_mib_int8": 2.0, "int8_bits_per_byte": 1.94},
    }
    for key, arm in keys:
        sweep.tell(key, decode_ms_per_token_uncached=7.0, **tell[arm])
    placed = by_arm(collect(sweep.root), sweep.manifest())
    ink = {"d4": "black", "d8": "grey"}
    figure = pareto(placed, "bits_per_byte", "lower", ink)
    assert figure is not None
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes] == [
        ("milliseconds a generated token", "bits per byte"),
        ("MiB of weights in int8", "bits per byte (int8)"),
    ]
    old = pareto(placed.drop(columns=[*tell["d4"]]), "bits_per_byte", "lower", ink)
    assert old is not None
    assert [axes.get_xlabel() for axes in old.axes] == ["milliseconds a generated token, without a cache"]
    assert pareto(placed[placed["arm"] == "d4"], "bits_per_byte", "lower", ink) is None
    assert pareto(placed, "decode_ms_per_token", "lower", ink) is None, "a cost is not drawn against itself"


def test_where_domains_go_is_drawn_from_the_first_run_of_each_arm(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    for arm in ("d4", "d8"):
        for seed in range(2):
            key = sweep.run(arm, seed, 1.9 + 0.001 * seed)
            if arm == "d8":
                shares = {("code", 0): 0.9, ("code", 1): 0.1, ("prose", 0): 0.25, ("prose", 1): 0.75}
                columns = {"layer": [1] * 4, "domain": [], "expert": [], "share": []}
                for (domain, expert), share in shares.items():
                    for name, value in {"domain": domain, "expert": expert, "share": share + 0.05 * seed}.items():
                        columns[name].append(value)
                record = RunRecord.read(sweep.root / key)
                record.items = write_items(sweep.root / key, {"routing": columns})
                record.write(sweep.root / key)
    placed = by_arm(collect(sweep.root), sweep.manifest())
    figure = specialisation(placed)
    assert figure is not None
    (panel,) = figure.axes
    assert panel.get_title(loc="left") == "d8, layer 1"
    assert [text.get_text() for text in panel.texts] == ["90", "10", "25", "75"]
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["code", "prose"]
    assert specialisation(placed[placed["arm"] == "d4"]) is None


@pytest.mark.parametrize("compared", [False, True])
def test_the_ring_is_round_what_was_chosen(tmp_path: Path, compared: bool) -> None:
    """Not round a setting whose mean is the best for its lucky seeds alone."""
    tune = {"params": {"optim.lr": [0.001, 0.002, 0.004]}, "seeds": [100, 101]}
    sweep = Sweep(tmp_path, tune=tune).tune("d8", {0.001: 1.5, 0.002: 1.9, 0.004: 1.92}, seed=100)
    sweep.tune("d8", {0.001: None, 0.002: 1.8, 0.004: 1.9}, seed=101)
    if compared:
        sweep.arm("d8", D8, params={"optim.lr": 0.004})
    manifest = sweep.manifest()
    assert manifest.claim is not None
    figure = sensitivity(by_arm(sweep.frame(), manifest), manifest.claim, {"d8": "black"})
    assert figure is not None
    (ring,) = (line for line in figure.axes[0].lines if line.get_marker() == "o")
    expected = (0.004, 1.91) if compared else (0.002, 1.85)
    assert ring.get_xydata()[0] == pytest.approx(expected)  # type: ignore[index]


def test_the_valley_is_drawn_from_compared_arms(tmp_path: Path) -> None:
    rates, sizes = (0.001, 0.002, 0.004), (2, 4, 8)
    law = {"kind": "power_law_optimum", "x": "batch.size", "tuned": "optim.lr", "region": [-0.1, 0.1]}
    arms: dict[str, dict] = {f"b{size}_{rate}": {} for size in sizes for rate in rates}
    block = {"arms": arms, "baseline": None, "factor": ["batch", "optim.lr"], "seeds": [0], "estimates": {"law": law}}
    sweep = Sweep(tmp_path / "runs", **block)
    for size in sizes:
        for rate in rates:
            score = 2 + abs(np.log(rate / 0.002)) + 0.01 * size * (rate > 0.002)
            sweep.run(f"b{size}_{rate}", 0, score, config={"batch.size": size, "optim.lr": rate})
    sweep.manifest()
    report = write_report(sweep.name, [sweep.root], tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "valley.png").is_file()
    assert report.verdicts.estimates[0].verdict == "confirmed"


def test_what_the_budget_ties_together_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    depth, other = rng.permutation(12), rng.normal(size=12)
    quantities = {
        name: {"kind": "spearman", "x": f"shape.{name}", "region": None} for name in ("depth", "width", "ratio")
    }
    block = {"baseline": None, "arms": {f"s{i:02d}": {} for i in range(12)}, "factor": ["shape"], "seeds": [0]}
    sweep = Sweep(tmp_path / "runs", **block, estimates=quantities)
    scores = 2 - 0.01 * depth + rng.normal(0, 0.02, 12)
    for index, score in enumerate(scores):
        shape = {"depth": int(depth[index]), "width": float(-(depth[index] ** 3)), "ratio": float(other[index])}
        sweep.run(f"s{index:02d}", 0, float(score), config={f"shape.{name}": value for name, value in shape.items()})
    manifest = sweep.manifest()
    assert manifest.claim is not None
    arms = factors(by_arm(sweep.frame(), manifest), manifest.claim)
    assert arms is not None
    table = matrix(arms, manifest.claim)
    assert list(table.columns) == ["depth", "width", "ratio", "quality"]
    assert table.loc["depth", "quality"] == pytest.approx(-float(stats.spearmanr(depth, scores).statistic))
    assert table.loc["depth", "width"] == pytest.approx(-1.0)
    (line,) = confounded(table)
    assert line.startswith("depth and width are confounded")


def test_a_parent_is_not_drawn_charged_or_blamed_as_its_first_child(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    shape = {"shape.depth": 8, "shape.width": 128}
    for seed, status in enumerate(("done", "failed")):
        sweep.run("d4", seed, 1.9, cost={"flops": 100.0})
        sweep.run("d8", seed, 1.9, cost={"flops": 100.0})
        elder = sweep.run("d8", seed, 1.8, stage="parent", status=status, config=shape, cost={"flops": 700.0})
        sweep.tell(elder, skip_00=0.1, skip_01=0.2)
    sweep.jobs.append(dict(sweep.jobs[-1]))  # as where a tuning and a comparing stage need one parent
    manifest = sweep.manifest()
    placed = by_arm(sweep.frame(), manifest)
    name = "parent (8 layers of 128)"
    assert set(placed.loc[placed["stage"] == "parent", "label"]) == {name}
    figure = by_layer(placed, "skip", "loss", {"d4": "k", "d8": "b"})
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == [name]
    spent = {row["arm"]: row["FLOPs"] for row in spent_table(placed).to_dict("records")}
    assert spent == {"d4": "100", "d8": "100", name: "700"}
    assert [line for line in sweep.verdicts().warnings if "failed" in line] == [f"1 run(s) of {name} failed"]
    sweep.jobs.append({**sweep.jobs[2], "arm": "d8", "stage": "compare", "seed": 2})  # is an arm's run too
    placed = by_arm(sweep.frame(), sweep.manifest())
    figure = by_layer(placed, "skip", "loss", {"d4": "k", "d8": "b"})
    assert figure is not None
    assert {text.get_text() for text in figure.axes[0].texts} == {"d8", name}


def test_an_arms_speed_is_all_its_tokens_over_all_its_seconds(tmp_path: Path) -> None:
    """A run beside other load counts by its time: the mean of 100 and 10 tokens a second would tell 55."""
    sweep = Sweep(tmp_path / "runs")
    for seed, seconds in enumerate((10.0, 100.0)):
        cost = {"tokens": 1000, "seconds": seconds, "tokens_per_second": 1000 / seconds}
        sweep.run("d4", seed, 1.9, cost=cost)
        sweep.run("d8", seed, 1.9, cost={**cost, "seconds": seconds if seed else None})
    d4, d8 = spent_table(by_arm(sweep.frame(), sweep.manifest())).to_dict("records")
    assert (d4["tokens/s"], d4["seconds"]) == ("18.2", "55")
    assert d8["tokens/s"] == "10", "of runs that tell both"
    write_report(sweep.name, [sweep.root], tmp_path / "out")
    for file in ("report.md", "report.html"):
        told = (tmp_path / "out" / file).read_text(encoding="utf-8")
        assert SPENT_NOTE in told
        assert told.count(WALL_TIME) >= 2  # below the table and under the figure


def test_scores_by_length_stop_where_an_arm_has_none(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    for seed in range(2):
        for arm, reach in (("d4", (8, 16)), ("d8", (8, 16, 32))):
            key = sweep.run(arm, seed, 1.9)
            lengths = {f"probe_accuracy_length_{length:04d}": 0.5 + seed / length for length in reach}
            sweep.tell(key, probe_chance=0.25, **lengths)
    placed = by_arm(sweep.frame(), sweep.manifest())
    words = ("accuracy", "length", {"d4": "#000000", "d8": "#ff0000"})
    assert by_length(placed, "probe_accuracy_distance", *words) is None
    figure = by_length(placed, "probe_accuracy_length", *words, "probe_chance")
    assert figure is not None
    bold = {line.get_color(): line.get_xydata() for line in figure.axes[0].lines if line.get_linewidth() > 1.5}
    assert np.allclose(bold["#000000"], [(0, 0.5625), (1, 0.53125)])
    assert np.allclose(bold["#ff0000"], [(0, 0.5625), (1, 0.53125), (2, 0.515625)])
    assert [text.get_text() for text in figure.axes[0].texts] == ["chance", "d4", "d8"]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["8", "16", "32"]
    _, short, long = figure.axes[0].texts
    assert short.xy == pytest.approx((1, 0.53125)), "beside its last point"  # type: ignore[attr-defined]
    assert long.xy == pytest.approx((1, 0.515625)), "on the edge, in parts of the axes"  # type: ignore[attr-defined]
    assert long.xycoords != "data"  # type: ignore[attr-defined]
    assert short.xycoords == "data"  # type: ignore[attr-defined]


def test_rounds_reach_the_report_with_their_arm(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    mark = "indistinguishable from uniform by construction"
    for seed in range(2):
        sweep.run("d4", seed, 1.9)
        key = sweep.run("d8", seed, 1.9)
        record = RunRecord.read(sweep.root / key)
        curve = [2.5 + seed, 2.0 + seed] if seed else [2.5, 2.4, 2.1, 2.0]  # parts may differ in number
        first = {"round": 1, "loss": 2.0 + seed, "forgetting": 0.25, "slope": -0.5, "curve": curve}
        first |= {"tilt": 0.01 + 0.02 * seed, "mark": None if seed else mark}
        last = {"round": 2, "loss": 1.5, "forgetting": 0.125, "slope": -0.25, "curve": [2.0, 1.0]}
        record.rounds, record.choices["rounds"] = [first, last], "selected"
        record.warnings = [mark] * (seed == 0)
        record.write(sweep.root / key)
    manifest = sweep.manifest()
    placed = by_arm(sweep.frame(), manifest)
    figure = forgetting(placed, {"d4": "k", "d8": "b"})
    assert figure is not None
    one, two = figure.axes
    assert one.lines[-1].get_ydata() == pytest.approx([2.975, 2.525])  # of (2.45, 2.05) and (3.5, 3.0)
    assert two.lines[-1].get_xdata() == pytest.approx([0.25, 0.75])
    assert [text.get_text() for text in one.texts] == ["d8"]
    figure.draw_without_rendering()
    for axes in (one, two):
        panel = axes.get_window_extent()
        for text in (axes.xaxis.label, *axes.get_xticklabels()):
            assert panel.x0 - 1 <= text.get_window_extent().x0
            assert text.get_window_extent().x1 <= panel.x1 + 1
    first, last = rounds_table(placed).to_dict("records")
    assert (first["arm"], first["loss, all text"], first["tilt"]) == ("d8", "2.5000", "+0.0200")
    read = ("forgetting, of what was read", "slope, of what was read")
    assert [first[name] for name in read] == ["+0.2500", "−0.5000"]
    assert first["mark"] == f"{mark} (1 of 2 runs)"
    assert (last["tilt"], last["mark"]) == ("–", "–")
    assert f"{mark} (1 run(s) of d8)" in sweep.verdicts().warnings
    write_report(sweep.name, [sweep.root], tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "forgetting.svg").is_file()
    for file in ("report.md", "report.html"):
        told = (tmp_path / "out" / file).read_text(encoding="utf-8")
        assert f"{mark} (1 of 2 runs)" in told
        assert told.index("Slope: of the line through the losses of what it read") < told.index(read[1])
    plain = Sweep(tmp_path / "plain").arm("d4", [1.9])
    assert forgetting(by_arm(plain.frame(), plain.manifest()), {}) is None
    assert rounds_table(by_arm(plain.frame(), plain.manifest())).empty


def test_runs_under_a_second_name_keep_their_colour() -> None:
    arms = {"a": {}, "b": {"overrides": ["x=1"]}, "b_too": {"overrides": ["x=1"], "against": "c"}}
    parsed = Claim.parse({**CLAIM, "arms": {**arms, "c": {"overrides": ["x=2"]}}, "baseline": "a"})
    assert of_arms(parsed) == {"a": INK, "b": PALETTE[0], "b_too": PALETTE[0], "c": PALETTE[1]}
