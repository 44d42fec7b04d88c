"""Loggers say what the history says, after a kill too."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from tests.test_keys import key_of
from tinylm.errors import UserError
from tinylm.train import journal
from tinylm.train.journal import Journal

LINES: list[dict[str, Any]] = [
    {"round": 0, "step": step, "loss": 5.0 / step, "learning_rate": 0.1} | ({"tune": 2.0} if step == 30 else {})
    for step in (10, 20, 30)
]
CONFIG = {"seed": 0, "optim": {"lr": 0.1}}


def _told_csv(folder: Path) -> list[dict[str, float]]:
    rows = csv.DictReader((folder / "csv" / "metrics.csv").read_text(encoding="utf-8").splitlines())
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def test_what_was_undone_by_a_kill_is_not_told(tmp_path: Path) -> None:
    first = Journal("csv", tmp_path, CONFIG)
    first.follow([])
    first.follow(LINES[:1])
    first.follow([*LINES[:1], {"round": 0, "step": 19, "loss": 9.0}])  # then killed; the checkpoint was at step 10
    again = Journal("csv", tmp_path, CONFIG)
    again.follow(LINES[:1])
    again.follow(LINES)
    again.close()
    assert _told_csv(tmp_path) == LINES


def test_tensorboard_holds_every_number(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    told = Journal("tensorboard", tmp_path, CONFIG)
    told.follow(LINES)
    told.close()
    found = accumulators.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [
        (line["step"], pytest.approx(line["loss"])) for line in LINES
    ]
    assert [event.step for event in found.Scalars("tune")] == [30]


def test_wandb_stays_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "disabled")  # no process of its own: what it is given is what is looked at
    given: list[dict[str, Any]] = []
    real = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **options: (given.append(options), real(mode="disabled"))[1])
    told = Journal("wandb", tmp_path / "abc", CONFIG)
    told.follow(LINES)
    told.close()
    assert [(options["id"], options["dir"]) for options in given] == [("abc", str(tmp_path / "abc"))]
    assert os.environ["WANDB_MODE"] == "dryrun", "Lightning's word for offline"


def test_none_writes_nothing(tmp_path: Path) -> None:
    told = Journal("none", tmp_path, CONFIG)
    told.follow(LINES)
    told.close()
    assert list(tmp_path.iterdir()) == []


def test_a_logger_changes_no_key_and_a_missing_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_of("logger=csv") == key_of()
    with pytest.raises(UserError, match="logger"):
        key_of("logger=csvv")
    monkeypatch.setattr(journal, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'tinylm\[track\]'"):
        journal.check("wandb")
    journal.check("csv")
