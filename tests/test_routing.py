"""What a run keeps of its routers."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from synthetic_sweep import Sweep
from tiny_model import SHAPE

from tests.commands import SMALL, text_files, tinylm
from tinylm.model.ffn.moe import MoE
from tinylm.model.ffn.product_key import ProductKey
from tinylm.model.ffn.random_routed import RandomRouted
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.slots import FFN
from tinylm.report.pages.page import write_report
from tinylm.report.records.arms import by_arm
from tinylm.report.records.collect import collect
from tinylm.report.records.history import history, read_history
from tinylm.report.tables.routing import routing_table
from tinylm.runs.routing import layers


def stack(ffn: FFN) -> list[FFN]:
    """A dense layer and a sparse one."""
    return [SwiGLU(SHAPE, 0), ffn]


def lines(path: Path, loads: list[list[float]], **others: float) -> Path:
    path.write_text(
        "".join(
            json.dumps({"step": step, "stat/blocks.1.ffn.load": load, "stat/blocks.1.ffn.dead": 0.5, **others}) + "\n"
            for step, load in enumerate(loads)
        )
    )
    return path


def test_the_last_tenth_of_the_loads_counts(tmp_path: Path) -> None:
    one = stack(MoE(SHAPE, 1, experts=4, k=1))
    early = [[1.0, 0.0, 0.0, 0.0]] * 18
    late = [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]  # each step has half of the experts idle, both together none
    told, warnings = layers(
        lines(tmp_path / "history.jsonl", [*early, *late], **{"stat/blocks.1.ffn.dropped": 0.25}), one
    )
    assert told == {"dead_01": 0.0, "dropped_01": 0.25, "largest_share_01": 0.25, "load_entropy_01": pytest.approx(1.0)}
    assert warnings == []
    told, warnings = layers(lines(tmp_path / "history.jsonl", early), one)
    assert (told["dead_01"], told["load_entropy_01"]) == (0.75, 0.0)
    assert warnings == ["layer 1 collapsed: its router sends most text to few of its 4 experts"]
    assert layers(lines(tmp_path / "history.jsonl", []), one) == ({}, [])


@pytest.mark.parametrize(
    ("load", "k", "collapsed"),
    [
        ([0.5, 0.5, 0.0, 0.0], 2, True),  # every token to the same two: no load of k = 2 is less even
        ([0.5, 0.5, 0.0], 2, True),
        ([0.25] * 4 + [0.0] * 4, 4, True),
        ([0.4, 0.4, 0.1, 0.1], 2, False),
        ([0.4, 0.3, 0.3, 0.0], 2, False),  # one dead expert is told by its number
        ([0.25] * 4, 2, False),
        ([0.5, 0.5], 2, False),  # a token has all of them
        ([0.6, 0.4, 0.0, 0.0], 1, True),
        ([0.4, 0.3, 0.3, 0.0], 1, False),
    ],
)
def test_a_collapse_is_what_k_experts_leave_open(tmp_path: Path, load: list[float], k: int, collapsed: bool) -> None:
    ffns = stack(MoE(SHAPE, 1, experts=len(load), k=k))
    told, warnings = layers(lines(tmp_path / "history.jsonl", [load] * 20), ffns)
    assert bool(warnings) == collapsed, told


def test_a_layer_without_a_router_is_not_said_to_have_one(tmp_path: Path) -> None:
    path = lines(tmp_path / "history.jsonl", [[1.0, 0.0, 0.0, 0.0]] * 20)
    _, warnings = layers(path, stack(RandomRouted(SHAPE, 1, experts=4)))
    assert warnings == ["layer 1 collapsed: its table sends most text to few of its 4 experts"]


@pytest.mark.parametrize(
    ("load", "few"),
    [
        ([0.25] * 4 + [0.0] * 4, 0),  # trained on one domain alone, whose experts share it evenly
        ([0.23] * 4 + [0.02] * 4, 0),  # the second domain is rare
        ([0.23] * 4 + [0.08, 0.0, 0.0, 0.0], 1),
    ],
)
def test_experts_of_a_domain_share_the_text_of_the_domain(tmp_path: Path, load: list[float], few: int) -> None:
    shape = dataclasses.replace(SHAPE, domains=("code", "prose"))
    path = lines(tmp_path / "history.jsonl", [load] * 20)
    _, warnings = layers(path, stack(RandomRouted(shape, 1, groups={"code": 4, "prose": 4})))
    assert warnings == ["layer 1 collapsed: its table sends most text to few of its 4 experts"] * few


def test_slots_of_a_memory_are_those_of_all_recorded_steps(tmp_path: Path) -> None:
    """A step reads a part of them, another step another; two slots are read twice as much as the rest."""
    steps = [[0.5, 0.5, 0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25, 0.0, 0.0]]
    lines = [{"stat/blocks.1.ffn.slots": slots, "stat/blocks.1.ffn.slots_read": 0.5} for slots in steps]
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*[lines[0]] * 18, *lines]))
    told, warnings = layers(path, stack(ProductKey(SHAPE, 1)))
    expected = math.log(6) + 2 * 0.375 * math.log(0.375) + 2 * 0.125 * math.log(0.125)
    assert told == {"slots_read_01": pytest.approx(4 / 6), "slots_kl_01": pytest.approx(expected)}
    assert warnings == []


def test_a_memory_tells_its_slots_at_the_end_alone(tmp_path: Path) -> None:
    memory = ["model/ffn=product_key", "shape.depth=1", "shape.parameters=null", "shape.width=32", "shape.hidden=48"]
    ran = tinylm("run", *SMALL, *memory, *text_files(tmp_path), "budget.amount=20", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (row,) = collect(tmp_path / "runs").to_dict("records")
    kept = read_history(tmp_path / "runs" / row["key"] / "history.jsonl", [])
    slots = [line["stat/blocks.0.ffn.slots"] for line in kept if "stat/blocks.0.ffn.slots" in line]
    assert 1 <= len(slots) <= 3 < len(kept)
    assert len(slots[0]) == 4096
    assert sum(slots[-1]) == pytest.approx(1, abs=0.01)
    used = {place for line in slots[-2:] for place, share in enumerate(line) if share}
    assert row["slots_read_00"] == pytest.approx(len(used) / 4096)
    assert row["slots_read_00"] > kept[-1]["stat/blocks.0.ffn.slots_read"]


def test_a_sparse_run_tells_of_its_experts(tmp_path: Path) -> None:
    sparse = ["model/ffn=mixed", "model.ffn.sparse.experts=4", "shape.depth=2", "shape.parameters=null"]
    ran = tinylm("run", *SMALL, *sparse, *text_files(tmp_path), "shape.width=32", "shape.hidden=48", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (row,) = collect(tmp_path / "runs").to_dict("records")
    assert 0 < row["load_entropy_01"] <= 1
    assert "load_entropy_00" not in row  # a dense layer
    assert row["accounting.parameters.active"] < row["accounting.parameters.total"]
    curves = history(tmp_path / "runs")
    balance = curves[curves["name"] == "side/blocks.1.ffn.balance"]["value"]
    assert (balance > 0.009).all()  # apart from the loss of the text
    loss = curves[curves["name"] == "loss"]["value"]
    assert len(loss) == len(balance)


def test_a_report_tells_how_each_arm_routed(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    for seed in range(2):
        sweep.run("d4", seed, 1.9)
        health = {"load_entropy_01": 0.5, "load_entropy_03": 0.7 + 0.2 * seed, "dead_01": 0.25 * seed, "dead_03": 0.0}
        sweep.tell(sweep.run("d8", seed, 1.8), **health, dropped_01=0.125, mode_gap=-0.01 * seed, leak=0.5)
    sweep.tell(sweep.run("d8", 2, None, status="diverged"), dead_01=1.0)
    (row,) = routing_table(by_arm(sweep.frame(), sweep.manifest())).to_dict("records")  # none of the dense arm
    assert row == {
        "arm": "d8",
        "load entropy": "0.650",
        "dead experts": "6.2%",
        "dropped tokens": "12.5%",
        "as trained − as evaluated": "−0.0050",
        "leak in training": "50.0%",
    }
    write_report(sweep.name, [sweep.root], tmp_path / "out")
    for file in ("report.md", "report.html"):
        said = (tmp_path / "out" / file).read_text(encoding="utf-8")
        assert all(cell in said for cell in ("Routing", *row, *row.values()))
    plain = Sweep(tmp_path / "plain").arm("d4", [1.9])
    assert routing_table(by_arm(plain.frame(), plain.manifest())).empty
    write_report(plain.name, [plain.root], tmp_path / "without")
    assert "Routing" not in (tmp_path / "without" / "report.html").read_text(encoding="utf-8")


def test_a_report_tells_how_a_memory_and_an_upcycled_child_began(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    sweep.tell(sweep.run("d4", 0, 1.9), upcycle_gap=0.02, upcycle_gap_train=0.03)
    sweep.tell(sweep.run("d8", 0, 1.9), slots_read_00=0.5, slots_kl_00=1.25)
    first, last = routing_table(by_arm(sweep.frame(), sweep.manifest())).to_dict("records")
    assert (first["first loss − parent's"], first["slots read"]) == ("+0.0200", "–")
    assert (last["first loss − parent's"], last["slots read"], last["slots' KL to uniform"]) == ("–", "50.0%", "1.250")
