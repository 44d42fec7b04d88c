"""Weights of the best point of the curve, where a run is asked to end with them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from tests.commands import SMALL, text_files
from tinylm.compose.main import invoke
from tinylm.runs.best import METRIC, NAME, Best


def test_what_is_scored_and_kept_is_the_lowest_point_of_the_curve(tmp_path: Path) -> None:
    words = [*text_files(tmp_path / "text"), *SMALL, f"root={tmp_path}/runs", "precision=fp32", "compile=false"]
    words += ["evaluate.bits.split=tune", "evaluate.bits.prefix=whole_", "schedule=constant", "score_every=0.1"]
    words += ["budget.amount=40", "optim.lr=0.5"]  # so high that the curve goes up and down
    ended = {}
    for checkpoint in ("null", "best"):
        record = invoke([*words, f"checkpoint={checkpoint}"], command="").record
        assert record is not None
        lines = (tmp_path / "runs" / record.key / "history.jsonl").read_text(encoding="utf-8").splitlines()
        curve = [line[METRIC] for line in map(json.loads, lines) if METRIC in line]
        ended[checkpoint] = (record.metrics["whole_bits_per_byte"], curve)
        assert not (tmp_path / "runs" / record.key / NAME).exists()
    (last, curve), (best, same) = ended["null"], ended["best"]
    assert curve == same
    assert last == curve[-1] > min(curve) == best


def test_the_best_so_far_outlives_a_kill_but_not_a_new_beginning(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    scores = iter([2.0, 1.5, 1.7, 1.5])
    (tmp_path / "checkpoint").mkdir()
    first = Best(tmp_path).watch(lambda m: {METRIC: next(scores)})
    kept = []
    for _ in range(3):
        nn.init.normal_(model.weight)
        kept.append(model.weight.detach().clone())
        first(model)
    again = Best(tmp_path)
    nn.init.zeros_(model.weight)
    again.watch(lambda m: {METRIC: next(scores)})(model)  # the same point once more: nothing new
    again.restore(model)
    assert torch.equal(model.weight, kept[1])
    (tmp_path / "checkpoint").rmdir()
    nn.init.zeros_(model.weight)
    Best(tmp_path).restore(model)
    assert not model.weight.any()
