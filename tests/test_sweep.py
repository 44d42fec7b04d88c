"""Sweeps as processes: skipped, shared, killed, interrupted, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import PROJECT, SMALL, start, text_files, tinylm
from tinylm.compose import plan
from tinylm.compose.keys import Job as Task
from tinylm.compose.plan import Speed
from tinylm.compose.restart import joined
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Job, Manifest, read_manifest

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def records(root: Path) -> dict[str, dict]:
    found = {path.parent.name: json.loads(path.read_text()) for path in root.glob("*/record.json")}
    return dict(sorted(found.items()))


def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.02)


def statuses(root: Path) -> list[dict]:
    """What the runs say they do now."""
    found = []
    for path in root.glob("*/status.json"):
        try:
            found.append(json.loads(path.read_text()))
        except (json.JSONDecodeError, FileNotFoundError):
            continue
    return found


def training(root: Path) -> list[dict]:
    return [status for status in statuses(root) if status.get("phase") == "training" and status.get("step", 0) >= 1]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def slow(tmp_path: Path, *more: str) -> list[str]:
    """A multirun of four runs that are long enough to be hit."""
    long = [word for word in SMALL if not word.startswith("budget.amount")]
    text = text_files(tmp_path / "text")
    return ["run", "-m", *text, *long, "budget.amount=1200", "seed=0,1,2,3", "keep=nothing", *more]


def test_smoke_runs_whole_is_skipped_when_done_and_is_reported(tmp_path: Path) -> None:
    first = tinylm("sweep", "smoke", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "swiglu" in first.stdout
    page = tmp_path / "reports" / "smoke" / "report.html"
    assert page.is_file()
    assert str(page) in first.stdout
    done = records(tmp_path / "runs")
    assert len(done) == 10
    assert {record["status"] for record in done.values()} == {"done"}
    assert all(record["sweeps"] == ["smoke"] for record in done.values())
    manifest = json.loads((tmp_path / "runs" / "sweeps" / "smoke.json").read_text())
    assert {entry["stage"] for entry in manifest["jobs"]} == {"tune", "compare"}
    assert len({entry["params"]["optim.lr"] for entry in manifest["jobs"] if entry["stage"] == "tune"}) == 3
    assert all("bits_per_byte" in record["metrics"] for record in done.values() if record["config"]["seed"] != 100)
    assert not any("bits_per_byte" in record["metrics"] for record in done.values() if record["config"]["seed"] == 100)

    assert first.stderr.count("tuned: ") == 2
    best = {entry["arm"]: entry["params"]["optim.lr"] for entry in manifest["jobs"] if entry["stage"] == "compare"}
    at_edge = {arm for arm, rate in best.items() if rate != 0.01}
    assert {arm for arm in best if f"the best optim.lr of {arm} (" in first.stderr} == at_edge

    again = tinylm("sweep", "smoke", cwd=tmp_path)
    assert "6 done, 0 to do" in again.stderr
    assert records(tmp_path / "runs") == done
    whole = read_manifest("smoke", tmp_path / "runs")
    narrowed = tinylm("sweep", "smoke", "seed=0", "claim.seeds=[0,1,2]", "--no-report", cwd=tmp_path)
    assert "2 done, 0 to do" in narrowed.stderr
    assert "seeds 0, 1 were declared first" in narrowed.stderr
    kept = read_manifest("smoke", tmp_path / "runs")
    assert (kept.needed, kept.claim) == (whole.needed, whole.claim)

    archived = tinylm(
        "report", "smoke", "--out", "analysis/results/smoke", "--archive", cwd=tmp_path
    )  # committed records count as done in a fresh clone
    assert archived.returncode == 0, archived.stderr
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    fresh = tinylm("sweep", "smoke", cwd=tmp_path)
    assert fresh.returncode == 0, fresh.stderr
    assert "4 done, 0 to do" in fresh.stderr
    assert not records(tmp_path / "runs")


def test_a_plan_launches_nothing(tmp_path: Path) -> None:
    planned = tinylm("sweep", "smoke", "--plan", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    for words in ("6 to do", "4 to do", "parameters", "power"):
        assert words in planned.stdout
    assert not list(tmp_path.glob("runs/*/record.json"))


def smoke_claim(**changes: Any) -> Claim:
    return Claim.parse(yaml.safe_load((PROJECT / "sweeps" / "smoke.yaml").read_text())["claim"] | changes)


def entry(key: str, seed: int, *more: str, stage: str = "compare", arm: str = "gelu") -> Job:
    return Job(key, arm, stage, seed, {}, ["model/ffn=gelu", *more, f"seed={seed}"])  # type: ignore[arg-type]


def test_a_sweep_narrowed_to_one_seed_leaves_the_others_in_its_report() -> None:
    tuned, other = entry("t", 100, stage="tune"), entry("s0", 0, arm="swiglu")
    before = Manifest("x", "", smoke_claim(), [tuned, entry("k0", 0), entry("k1", 1), entry("k2", 2, "a=9"), other])

    def keys(*plan: Job) -> list[str]:
        return [job.key for job in joined(Manifest("x", "", before.claim, list(plan)), before).jobs]

    assert keys(entry("k1", 1)) == ["k1", "k0"]
    assert keys(tuned, entry("s0", 0, arm="swiglu")) == ["t", "s0"]
    assert keys(tuned) == ["t", "k0", "k1", "k2"]  # what was compared outlives a start that ends while it tunes
    assert keys(entry("new", 1)) == ["new"]  # the file of the sweep changed: its other seeds are of another config
    assert keys(entry("new", 100, stage="tune")) == ["new"]


def test_the_first_root_counts_where_another_was_planned_otherwise(tmp_path: Path) -> None:
    def place(root: str, seeds: int, *jobs: Job) -> Path:
        Manifest("x", "", smoke_claim(seeds=list(range(seeds))), list(jobs)).write(tmp_path / root)
        return tmp_path / root

    new = place("new", 2, entry("n0", 0), entry("n1", 1))
    old = place("old", 3, entry("o0", 0), entry("o1", 1), entry("o2", 2))
    more = place("more", 1, entry("n0", 0), entry("n1", 1), entry("n7", 7))
    found = read_manifest("x", new, old)
    assert found.keys("gelu") == {0: "n0", 1: "n1"}
    assert len(found.jobs) == 2
    (warning,) = found.warnings
    assert str(old) in warning
    assert "planned otherwise" in warning
    longer = read_manifest("x", new, old, more)
    assert longer.keys("gelu") == {0: "n0", 1: "n1", 7: "n7"}
    assert longer.claim is not None
    assert longer.claim.seeds == [0]
    twice = read_manifest("x", place("twice", 2, entry("n0", 0), entry("n1", 1), entry("o0", 0), entry("o1", 1)))
    assert [job.key for job in twice.jobs] == ["n0", "n1"]
    assert "several runs" in " ".join(twice.warnings)


@linux
def test_a_killed_run_neither_stops_nor_harms_the_others(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    sweep = start(*slow(tmp_path, f"root={root}"), cwd=tmp_path)
    wait(lambda: training(root))
    os.kill(training(root)[0]["pid"], signal.SIGKILL)
    said, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 1, errors
    ended = [record["status"] for record in records(root).values()]
    assert sorted(ended) == ["done", "done", "done", "failed"]
    (failed,) = (record for record in records(root).values() if record["status"] == "failed")
    assert "SIGKILL" in failed["error"]["message"]
    assert failed["metrics"] == {}
    assert "SIGKILL" in said + errors

    again = tinylm(*slow(tmp_path, f"root={root}"), cwd=tmp_path)  # failed runs are tried again
    assert again.returncode == 0, again.stderr
    assert "3 done, 1 to do" in again.stderr
    assert {record["status"] for record in records(root).values()} == {"done"}


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ending_the_sweep_leaves_no_orphan_and_it_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    root = tmp_path / "runs"
    words = slow(tmp_path, f"root={root}", "checkpoint_seconds=0.2")
    sweep = start(*words, cwd=tmp_path)
    wait(lambda: len(training(root)) >= 1 and list(root.glob("*/checkpoint/step-*")))
    pids = [status["pid"] for status in statuses(root)]
    sweep.send_signal(number)
    _, errors = sweep.communicate(timeout=30)
    assert sweep.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130), errors
    wait(lambda: not any(alive(pid) for pid in pids), seconds=5)
    assert len(records(root)) < 4

    again = tinylm(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    done = records(root)
    assert [record["status"] for record in done.values()] == ["done"] * 4
    assert any(record["cost"]["resumed"] for record in done.values())


def test_two_sweeps_that_share_runs_share_their_work(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    words = ["run", "-m", *text_files(tmp_path / "text"), *SMALL, f"root={root}", "seed=0,1,2"]
    both = [start(*words, cwd=tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(records(root)) == 3
    for folder in root.glob("*/history.jsonl"):
        steps = [json.loads(line)["step"] for line in folder.read_text().splitlines()]
        assert steps == sorted(set(steps)), "two processes wrote one history"


def test_a_run_that_diverges_is_an_outcome_and_is_not_tried_again(tmp_path: Path) -> None:
    words = ["run", "-m", *text_files(tmp_path / "text"), *SMALL, "optim.lr=1e30", "update.clip=1e30", "precision=fp32"]
    first = tinylm(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (record,) = records(tmp_path / "runs").values()
    assert record["status"] == "diverged"
    assert record["error"]["step"] >= 1
    assert "bits_per_byte" not in record["metrics"]
    assert "1 done, 0 to do" in tinylm(*words, cwd=tmp_path).stderr


def test_the_serial_launcher_gives_the_same_numbers(tmp_path: Path) -> None:
    words = ["run", "-m", *text_files(tmp_path / "text"), *SMALL, "seed=0,1"]
    assert tinylm(*words, f"root={tmp_path}/a", cwd=tmp_path).returncode == 0
    serial = tinylm(*words, f"root={tmp_path}/b", "launcher=serial", cwd=tmp_path)
    assert serial.returncode == 0, serial.stderr
    a, b = records(tmp_path / "a"), records(tmp_path / "b")
    assert [record["metrics"] for record in a.values()] == [record["metrics"] for record in b.values()]
    assert list(a) == list(b)


def test_a_sweep_is_planned_without_what_trains_it() -> None:
    code = (
        "import sys, torch, tinylm.compose.sweep, tinylm.compose.rehearsal, tinylm.compose.plan\n"
        "from tinylm.model.meta import meta\n"
        "with meta():\n"
        "    table = torch.nn.Embedding(8, 4)\n"
        "assert table.weight.is_meta\n"
        "slow = ['lightning', 'torch._dynamo', 'scipy.stats', 'matplotlib.pyplot', 'datasets', 'transformers']\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_hours_are_told_by_the_past_runs_most_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"budget": {"_target_": "tinylm.train.budget.Tokens", "amount": 1e6}, "machine": {"threads": 2}}
    task = Task("", config, {}, {}, [])
    small, large = [Speed(1e8, 1e10)] * 3, [Speed(1e10, 5e10)] * 9
    monkeypatch.setattr(plan, "planned_flops", lambda *_: (1e12, 2e8))
    assert plan.forecast(task, small + large) == pytest.approx(1e12 / 2e10 + plan.OVERHEAD)
    monkeypatch.setattr(plan, "planned_flops", lambda *_: (1e12, 8e9))
    assert plan.forecast(task, small + large) == pytest.approx(1e12 / 1e11 + plan.OVERHEAD)
    assert plan.forecast(task, []) == pytest.approx(1e12 / (2 * plan.RATE) + plan.OVERHEAD)
