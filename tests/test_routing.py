"""What a run keeps of its routers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import SMALL, text_files, tinylm
from tinylm.report.collect import collect
from tinylm.report.history import history
from tinylm.runs.routing import layers


def lines(path: Path, loads: list[list[float]], **others: float) -> Path:
    path.write_text(
        "".join(
            json.dumps({"step": step, "stat/blocks.1.ffn.load": load, "stat/blocks.1.ffn.dead": 0.5, **others}) + "\n"
            for step, load in enumerate(loads)
        )
    )
    return path


def test_the_last_tenth_of_the_loads_counts(tmp_path: Path) -> None:
    early = [[1.0, 0.0, 0.0, 0.0]] * 18
    late = [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]  # each step has half of the experts idle, both together none
    told, warnings = layers(lines(tmp_path / "history.jsonl", [*early, *late], **{"stat/blocks.1.ffn.dropped": 0.25}))
    assert told == {"dead_01": 0.0, "dropped_01": 0.25, "largest_share_01": 0.25, "load_entropy_01": pytest.approx(1.0)}
    assert warnings == []
    told, warnings = layers(lines(tmp_path / "history.jsonl", early))
    assert (told["dead_01"], told["load_entropy_01"]) == (0.75, 0.0)
    assert warnings == ["the router of layer 1 collapsed: most text goes to few of its 4 experts"]
    assert layers(lines(tmp_path / "history.jsonl", [])) == ({}, [])


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
