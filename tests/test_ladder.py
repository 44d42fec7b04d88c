"""Ladders and charged costs: shares of a gain, beside the source's, and what was computed elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_sweep import Sweep

from tinylm.report.claims.claim import Claim
from tinylm.report.pages.page import write_report
from tinylm.report.records.arms import by_arm
from tinylm.report.tables.costs import charged_table
from tinylm.report.tables.ladder import ladder_table, rungs

ARMS: dict[str, dict[str, Any]] = {
    "base": {},
    "tokens": {"reported": 1.70, "label": "+ compact tokenizer"},
    "tall": {"against": "tokens", "reported": 2.42},
    "child": {"against": "tall", "reported": 3.26},
    "twice": {"against": "child", "reported": 1.49},
}
GAINS = {"base": 0.0, "tokens": 0.02, "tall": 0.05, "child": 0.04, "twice": 0.10}  # over the base


def ladder(root: Path, noise: float = 0.001, arms: dict[str, dict[str, Any]] = ARMS) -> Sweep:
    unit = {"reported_unit": "points, average of 10 benchmarks, 1 B parameters"} if "reported" in str(arms) else {}
    sweep = Sweep(root, "ladder", arms=arms, baseline="base", **unit)
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 0.01, 5)
    for arm, gain in GAINS.items():
        for seed in range(5):
            depth = {"shape.depth": 4 + list(GAINS).index(arm)}
            sweep.run(arm, seed, 1.9 + seeds[seed] - gain + rng.normal(0, noise), config=depth)
    return sweep


def table(sweep: Sweep) -> dict[str, dict[str, str]]:
    manifest = sweep.manifest()
    found = ladder_table(sweep.verdicts(), manifest, sweep.frame())
    return {row["rung"]: row for row in found.to_dict("records")}


def test_shares_add_up_and_stand_beside_the_sources(tmp_path: Path) -> None:
    sweep = ladder(tmp_path / "runs")
    rows = table(sweep)
    assert list(rows) == ["+ compact tokenizer", "tall", "child", "twice", "twice − base"]
    shares = [float(row["share of the whole"].replace("\N{MINUS SIGN}", "-")[:-1]) for row in rows.values()]
    assert sum(shares[:-1]) == pytest.approx(100, abs=2)
    assert shares == pytest.approx([20, 30, -10, 60, 100], abs=3)  # a rung that hurts is told as it is
    assert [row["reported share"] for row in rows.values()] == ["19%", "27%", "37%", "17%", "–"]
    assert rows["twice − base"]["reported gain"] == "+8.87"
    assert rows["tall"]["verdict"] == "better"
    assert rows["child"]["gain"].startswith("\N{MINUS SIGN}0.01")
    write_report(sweep.name, [sweep.root], tmp_path / "out")
    for file in ("report.md", "report.html"):
        text = (tmp_path / "out" / file).read_text(encoding="utf-8")
        assert "reported: points, average of 10 benchmarks, 1 B parameters" in text
        assert "37%" in text


def test_no_share_of_a_gain_that_may_be_none(tmp_path: Path) -> None:
    rows = table(ladder(tmp_path / "noise", noise=0.5))
    assert {row["share of the whole"] for row in rows.values()} == {"–"}
    assert rows["tall"]["reported share"] == "27%"


def test_the_whole_is_the_claims_own_comparison_where_it_has_one(tmp_path: Path) -> None:
    sweep = ladder(tmp_path / "runs", arms={**ARMS, "all": {"expect": "better"}})
    top = [job for job in sweep.jobs if job["arm"] == "twice"]
    sweep.jobs += [{**job, "arm": "all"} for job in top]
    whole = table(sweep)["all − base"]
    own = next(item for item in sweep.verdicts().comparisons if item.variant == "all")
    assert whole["verdict"] == own.verdict == "better"
    assert own.delta is not None
    assert whole["gain"].startswith(f"+{-own.delta:.4f}"[:5])


def test_arms_beside_one_another_are_no_ladder(tmp_path: Path) -> None:
    flat = {arm: {} for arm in ARMS}
    sweep = ladder(tmp_path / "runs", arms=flat)
    assert rungs(Claim.parse(sweep.claim)) == []
    assert table(sweep) == {}
    branching = {**ARMS, "aside": {"overrides": ["shape.depth=30"]}}
    assert rungs(Claim.parse({**ladder(tmp_path / "other").claim, "arms": branching})) == []


SCORED = {"scoring_flops": 20.0, "scoring_seconds": 7.0}


def test_what_was_computed_elsewhere_is_charged(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    for seed in range(2):
        sweep.run("d4", seed, 1.9, cost={"flops": 100.0, "scoring_flops": 0.0})
        sweep.run("d8", seed, 1.8, cost={"flops": 100.0, **SCORED, "parent_flops": 300.0})
    manifest = sweep.manifest()
    assert manifest.claim is not None
    plain, child = charged_table(by_arm(sweep.frame(), manifest), manifest.claim).to_dict("records")
    assert (plain["FLOPs charged"], child["FLOPs charged"]) == ("100", "400")  # scoring is in the 100 already
    assert (child["of them scoring"], child["parent's FLOPs"], child["beside the baseline"]) == ("20", "300", "4.00 ×")
    assert (plain["seconds scoring"], child["seconds scoring"]) == ("0", "7")
    nothing = Sweep(tmp_path / "nothing").arm("d4", [1.9])
    assert charged_table(by_arm(nothing.frame(), nothing.manifest()), manifest.claim).empty


def test_an_arm_is_charged_with_its_whole_tuning(tmp_path: Path) -> None:
    rates = [0.001, 0.002, 0.004]
    sweep = Sweep(tmp_path, tune={"params": {"optim.lr": rates}, "seeds": [100, 101]}, seeds=[0, 1])
    for arm, flops in (("d4", 10), ("d8", 30)):
        for seed in (100, 101):
            sweep.tune(arm, {0.001: 1.95, 0.002: 1.9, 0.004: None}, seed=seed, cost={"flops": flops})
        sweep.arm(arm, [1.9, 1.91], params={"optim.lr": 0.002}, cost={"flops": 100})
    manifest = sweep.manifest()
    assert manifest.claim is not None
    rows = charged_table(by_arm(sweep.frame(), manifest), manifest.claim).to_dict("records")
    assert [(row["tuning FLOPs"], row["FLOPs charged"]) for row in rows] == [("60", "160"), ("180", "280")]
