"""A run that was stopped or killed at any moment and started again ends in the same bits."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from lightning.fabric.utilities.optimizer import _optimizer_to_device
from safetensors.torch import load_file

from tinylm.errors import UserError
from tinylm.files import write_json
from tinylm.runs.wall import Wall
from tinylm.train.budget import Seconds, Steps
from tinylm.train.checkpoint import Checkpoints, place_counts
from tinylm.train.recipe import Machine

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tinylm.train.fit", "torch._dynamo"])  # children start warm


def start(
    folder: Path, name: str, checkpoint_seconds: float = 1e9, machine: Machine | None = None
) -> ForkServerProcess:
    process = CONTEXT.Process(target=tiny_run.child, args=(folder, name, checkpoint_seconds, machine or Machine()))
    process.start()
    return process


def finish(process: ForkServerProcess) -> int | None:
    process.join(300)
    code = process.exitcode
    process.close()
    return code


def lines(folder: Path) -> list[dict[str, Any]]:
    """History without its seconds."""
    read = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in read]


def steps_made(folder: Path) -> int:
    path = folder / "history.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(folder: Path, step: int, process: ForkServerProcess) -> None:
    while steps_made(folder) < step and process.is_alive():
        time.sleep(0.001)


def assert_same(folder: Path, reference: Path) -> None:
    ours, theirs = load_file(folder / "final.safetensors"), load_file(reference / "final.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert lines(folder) == lines(reference)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that nothing disturbed."""
    folders = {name: tmp_path_factory.mktemp(name) for name in tiny_run.RECIPES}
    for name, folder in folders.items():
        assert finish(start(folder, name)) == 0
        assert [line["step"] for line in lines(folder)] == list(range(1, 41))
    return folders


@pytest.mark.parametrize("name", ["fp32", "bf16", "rounds"])
def test_kills_at_random_points_leave_no_trace(name: str, references: dict[str, Path], tmp_path: Path) -> None:
    draw = random.Random(os.getpid())
    kills = 0
    for step in sorted(draw.sample(range(2, 38), 6)):
        process = start(tmp_path, name, checkpoint_seconds=0.02)
        wait_for(tmp_path, step, process)
        time.sleep(draw.random() * 0.02)
        kills += process.is_alive()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
        if kills == 4:  # the disk tears the last checkpoint: the one before it serves
            *_, last = sorted((tmp_path / "checkpoint").glob("step-*"))
            part = draw.choice(sorted(last.iterdir()))
            part.write_bytes(part.read_bytes()[:-1])
    assert kills >= 3
    assert finish(start(tmp_path, name, checkpoint_seconds=0.02)) == 0
    assert_same(tmp_path, references[name])
    assert json.loads((tmp_path / "fit.json").read_text())["resumed"] >= 2


def test_the_wall_clock_counts_the_processes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as they lived, and only where something of theirs is gone on from."""
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)

    def live(seconds: float, *left: str) -> float:
        nonlocal now
        wall = Wall(tmp_path, ("checkpoint", "initial.json"))
        now += seconds
        write_json(tmp_path / "status.json", {"updated": now})
        for name in left:
            (tmp_path / name).touch()
        told = wall.seconds()
        now += 5000.0  # nobody works on it
        return told

    assert live(10) == 10
    assert live(20, "checkpoint") == 20  # the first left nothing
    assert live(3) == 23
    (tmp_path / "checkpoint").unlink()
    (tmp_path / "initial.json").touch()
    assert live(4) == 27
    (tmp_path / "status.json").write_text("{")  # torn: it is not known how long it lived
    assert live(1) == 24


def test_a_killed_compiled_run_ends_in_the_same_bits(references: dict[str, Path], tmp_path: Path) -> None:
    """One kill: each start compiles anew, from code that lies on disk."""
    process = start(tmp_path, "compiled", checkpoint_seconds=0.02)
    wait_for(tmp_path, random.Random(os.getpid()).randrange(5, 30), process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    assert finish(start(tmp_path, "compiled")) == 0
    assert_same(tmp_path, references["compiled"])
    fitted = json.loads((tmp_path / "fit.json").read_text())
    assert fitted["compiled"]
    assert fitted["resumed"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signals_checkpoint_and_leave(number: signal.Signals, references: dict[str, Path], tmp_path: Path) -> None:
    process = start(tmp_path, "plain")
    wait_for(tmp_path, 10, process)
    assert process.pid is not None
    os.kill(process.pid, number)
    assert finish(process) == tiny_run.INTERRUPTED
    assert json.loads((tmp_path / "status.json").read_text())["phase"] == "interrupted"
    snapshot = Checkpoints(tmp_path / "checkpoint").load()
    assert snapshot is not None
    assert 10 <= snapshot.step == len(lines(tmp_path)) < 40
    assert finish(start(tmp_path, "plain")) == 0
    assert_same(tmp_path, references["plain"])


def test_an_ended_fit_is_not_made_again(references: dict[str, Path]) -> None:
    before = (references["plain"] / "history.jsonl").read_text()
    trained, answer = tiny_run.run(references["plain"], tiny_run.RECIPES["plain"], score=None)
    assert answer.steps == 40
    assert (references["plain"] / "history.jsonl").read_text() == before
    final = load_file(references["plain"] / "final.safetensors")
    assert all(parameter.equal(final[name]) for name, parameter in trained.named_parameters())


def test_two_processes_give_the_losses_of_one(references: dict[str, Path], tmp_path: Path) -> None:
    process = start(tmp_path, "plain", machine=Machine(devices=2, strategy="ddp_fork"))
    assert finish(process) == 0
    ours, theirs = lines(tmp_path), lines(references["plain"])
    assert [line["tokens"] for line in ours] == [line["tokens"] for line in theirs]
    for name in ("loss", "gradient_norm"):
        assert [line[name] for line in ours] == pytest.approx([line[name] for line in theirs], rel=2e-3)
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=1e-6)
    fitted = json.loads((tmp_path / "fit.json").read_text())
    assert fitted["steps"] == 40
    assert fitted["scores"]["tune_loss"] == pytest.approx(theirs[-1]["tune_loss"], rel=2e-3)
    weights, reference = load_file(tmp_path / "final.safetensors"), load_file(references["plain"] / "final.safetensors")
    for name in weights:
        assert (weights[name] - reference[name]).abs().max() < 2e-3


def test_counts_of_steps_follow_their_parameters_to_another_device() -> None:
    """``meta`` stands for a GPU: Lightning moves an optimiser's state there, but for the counts."""
    layer = torch.nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    moved = [parameter.to("meta") for parameter in layer.parameters()]
    state = {new: optimiser.state[old] for new, old in zip(moved, layer.parameters(), strict=True)}
    optimiser.param_groups[0]["params"] = moved
    optimiser.state.clear()
    optimiser.state.update(state)
    _optimizer_to_device(optimiser, torch.device("meta"))
    assert optimiser.state[moved[0]]["exp_avg"].is_meta
    assert not optimiser.state[moved[0]]["step"].is_meta  # else this is not needed any more
    place_counts(optimiser)
    assert all(held["step"].is_meta for held in optimiser.state.values())


def test_several_devices_are_forked_and_count_no_seconds() -> None:
    with pytest.raises(UserError, match=r"machine\.strategy=ddp: .* machine=multi"):
        Machine(devices=2, strategy="ddp")
    several = Machine(devices=2, strategy="ddp_fork")
    several.suits(Steps(1))
    Machine().suits(Seconds(1.0))
    with pytest.raises(UserError, match="budget=seconds: 2 processes do not agree"):
        several.suits(Seconds(1.0))


def test_a_corrupt_checkpoint_gives_way_to_the_one_before(references: dict[str, Path], tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    snapshot = Checkpoints(references["plain"] / "checkpoint").load()
    assert snapshot is not None
    for step in (1, 2, 3):
        store.save(type(snapshot)(step, snapshot.model, snapshot.optimiser, snapshot.state, snapshot.history))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002", "step-000000003"]
    part = tmp_path / "step-000000003" / "optimiser.safetensors"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(bytes(content))
    loaded = Checkpoints(tmp_path)
    found = loaded.load()
    assert found is not None
    assert (found.step, loaded.torn) == (2, ["step-000000003"])
    (tmp_path / "step-000000002" / "manifest.json").unlink()
    assert Checkpoints(tmp_path).load() is None
