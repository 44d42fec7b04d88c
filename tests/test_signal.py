"""Signal and noise: which recorded metrics tell arms apart, and which are greyed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_sweep import D4, D8, Sweep

from tinylm.report.judgement.signal import NOTE, no_difference, signal_table
from tinylm.report.pages.page import write_report
from tinylm.report.records.arms import by_arm
from tinylm.report.records.history import history


def test_metrics_are_ranked_by_what_they_tell_and_those_that_tell_nothing_are_grey(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sweep = Sweep(tmp_path / "runs")
    for arm, scores in (("d4", D4), ("d8", D8)):
        for seed, score in enumerate(scores):
            key = sweep.run(arm, seed, score, history=60)
            sharp = (0.5 if arm == "d4" else 0.9) + rng.normal(0, 0.01)
            sweep.tell(key, accuracy=rng.normal(0.25, 0.05), sharp=sharp, documents=37.0)
            errors = {"sharp_error": sharp / 10, "task/acc_stderr": sharp / 10, "task/acc_stderr/strict": sharp / 10}
            sweep.tell(key, **errors, terror=score)
    manifest = sweep.manifest()
    assert manifest.claim is not None
    table = signal_table(by_arm(sweep.frame(), manifest), history(sweep.root), manifest.claim).set_index("metric")
    assert next(iter(table["separates the arms"].items())) == ("sharp", "yes")
    assert table.loc["accuracy", "separates the arms"] == "no"
    assert table.loc["bits per byte (decides)", "separates the arms"] == "yes"
    assert "documents" not in table.index  # no number of the seeds
    assert "optim.lr" not in table.index
    assert [name for name in table.index if "err" in name] == ["terror"]  # standard errors are no scores
    assert not any(name.startswith(("cost", "accounting")) for name in table.index)
    gap, noise = np.mean(D4) - np.mean(D8), np.sqrt((np.var(D4, ddof=1) + np.var(D8, ddof=1)) / 2)
    assert float(table.loc["bits per byte (decides)", "signal / noise"]) == pytest.approx(gap / noise, abs=0.06)
    assert float(table.loc["bits per byte (tune)", "sd of a curve's last points"]) > 0
    page = write_report(sweep.name, [sweep.root], tmp_path / "out").path.read_text(encoding="utf-8")
    grey = [line for line in page.splitlines() if '<tr class="grey">' in line]
    assert len(grey) == (table["separates the arms"] == "no").sum() >= 1
    assert any("accuracy" in line for line in grey)
    assert NOTE in page
    assert NOTE in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_losses_of_a_token_tell_nothing_of_arms_with_other_tokens(tmp_path: Path) -> None:
    for other, told in ((512, True), (1024, False)):
        sweep = Sweep(tmp_path / str(other))
        for arm, vocab, scores in (("d4", 512, D4), ("d8", other, D8)):
            for seed, score in enumerate(scores):
                sweep.tell(sweep.run(arm, seed, score, accounting={"shape.vocab": vocab}), test_loss=2 * score)
        manifest = sweep.manifest()
        assert manifest.claim is not None
        placed = by_arm(sweep.frame(), manifest)
        assert "test_loss" in placed
        metrics = set(signal_table(placed, history(sweep.root), manifest.claim)["metric"])
        assert ("nats a token" in metrics, "bits per byte (decides)" in metrics) == (told, True)


def test_scores_of_unlike_parts_of_the_tune_split_and_counts_are_no_metrics(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    for arm, scores in (("d4", D4), ("d8", D8)):
        for seed, score in enumerate(scores):
            sweep.tell(sweep.run(arm, seed, score, history=9), documents=40.0 + seed * (arm == "d8"))
    manifest = sweep.manifest()
    assert manifest.claim is not None
    placed, curves = by_arm(sweep.frame(), manifest), history(sweep.root)
    part = curves[curves["name"] == "tune_bits_per_byte"].assign(name="tune_bytes", value=9.0)
    for other, told in ((9.0, True), (7.0, False)):
        parts = part.assign(value=part["value"].where(part["key"] != sweep.jobs[0]["key"], other))
        metrics = set(signal_table(placed, pd.concat([curves, parts]), manifest.claim)["metric"])
        assert ("bits per byte (tune)" in metrics) == told
        assert "bits per byte (decides)" in metrics
        assert not {"documents", "tune bytes"} & metrics


def test_sizes_are_told_apart_and_arms_of_the_same_runs_count_once(tmp_path: Path) -> None:
    """What moves with size alone separates no arms; an arm under a second name adds no evidence."""
    rng = np.random.default_rng(0)
    arms = {"a": {}, "b": {}, "a_base": {"against": "b"}}
    sweep = Sweep(tmp_path / "runs", arms=arms, baseline="a", sizes={"1m": [], "3m": []}, seeds=[0, 1, 2])
    for arm, size, seed in itertools.product("ab", ("1m", "3m"), range(3)):
        key = sweep.run(f"{arm}@{size}", seed, (1.9 if size == "1m" else 1.4) + rng.normal(0, 0.01))
        sweep.tell(key, sharp=rng.normal(0, 0.01) + (arm == "a") * (size == "3m"))
        if arm == "a":
            sweep.jobs.append({**sweep.jobs[-1], "arm": f"a_base@{size}"})
    manifest = sweep.manifest()
    assert manifest.claim is not None
    placed = by_arm(sweep.frame(), manifest)
    curves = history(sweep.root)
    table = signal_table(placed, curves, manifest.claim).set_index(["size", "metric"])
    assert list(table.index.get_level_values("size").unique()) == ["1m", "3m"]
    decides = [table.loc[(size, "bits per byte (decides)")] for size in ("1m", "3m")]
    assert [row["separates the arms"] for row in decides] == ["no", "no"]
    assert table.loc[("3m", "sharp"), "separates the arms"] == "yes"
    assert table.loc[("1m", "sharp"), "separates the arms"] == "no"
    alone = placed[~placed["arm"].str.startswith("a_base")]
    assert signal_table(alone, curves, manifest.claim).set_index(["size", "metric"]).equals(table)


def test_what_a_seed_does_to_all_arms_is_no_noise_between_them(tmp_path: Path) -> None:
    """Arms that differ by far less than seeds do, but in every seed alike; and an arm that every seed leaves alike."""
    rng = np.random.default_rng(0)
    sweep = Sweep(tmp_path / "runs", arms={"a": {}, "b": {}, "c": {}}, baseline="a")
    for (place, arm), seed in itertools.product(enumerate("abc"), range(5)):
        key = sweep.run(arm, seed, 1.9 + 0.1 * seed + 0.02 * place + rng.normal(0, 0.001))
        sweep.tell(key, accuracy=1.0 if arm == "a" else 0.2 + rng.normal(0, 0.01), noise=seed + rng.normal(0, 0.01))
    manifest = sweep.manifest()
    assert manifest.claim is not None
    placed = by_arm(sweep.frame(), manifest)
    table = signal_table(placed, history(sweep.root), manifest.claim).set_index("metric")["separates the arms"]
    assert dict(table[["bits per byte (decides)", "accuracy", "noise"]]) == {
        "bits per byte (decides)": "yes",
        "accuracy": "yes",
        "noise": "no",
    }
    apart = placed[(placed["arm"] != "c") | (placed["seed"] > 0)]  # not all seeds of all arms
    assert (
        signal_table(apart, history(sweep.root), manifest.claim).set_index("metric")["separates the arms"]["accuracy"]
        == "yes"
    )


def test_one_run_an_arm_has_no_noise(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, seeds=[0]).arm("d4", D4[:1]).arm("d8", D8[:1])
    manifest = sweep.manifest()
    assert manifest.claim is not None
    assert signal_table(by_arm(sweep.frame(), manifest), history(sweep.root), manifest.claim).empty


def test_one_noisy_arm_makes_no_metric_separate_the_arms() -> None:
    rng, seen = np.random.default_rng(0), 0
    for _ in range(200):
        values_NA = rng.normal(0, 2, (3, 1)) + rng.normal(0, 1, (3, 5)) * [25, 1, 1, 1, 1]
        cells = [{"seed": s, "arm": str(a), "score": values_NA[s, a]} for s in range(3) for a in range(5)]
        seen += no_difference(pd.DataFrame(cells), "score", list(values_NA.T)) < 0.05
    assert seen < 22, "11% of 200; without corrected degrees of freedom it is 19%"
