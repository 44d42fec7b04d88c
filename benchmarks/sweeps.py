"""Sweeps as a user starts them: how long until a table is finished, and how much of that is not training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.machine import disturbance
from benchmarks.table import Row, middle, spread
from benchmarks.training import busy

Say = Callable[[str], None]

# Of the standard library; 5% each for the test and the tune split, as everywhere.
TEXT = ["data.limit_bytes=1500000", "tokenizer.vocab=1024"]
ONCE = "score_every=1"  # a curve of ten points would cost more than runs that are kept this short
DEPTHS = (2, 3, 4, 6)  # four shapes of 0.8 M parameters
SEEDS = 5


@dataclass(frozen=True)
class Size:
    """How large the sweeps are.

    Fields:
        depths, seeds: shapes and runs of each.
        seconds: of training steps, a run.
        pairs: how often the two ways of using the cores are measured; nothing to do with the overhead.
    """

    seconds: float
    pairs: int = 1
    depths: Sequence[int] = DEPTHS
    seeds: int = SEEDS


@dataclass(frozen=True)
class Swept:
    """A finished sweep: ``wall`` seconds of the command, ``training`` seconds of steps that its records add up to."""

    wall: float
    training: float
    runs: int


class SweepFailed(Exception):
    """The command failed; the message is the last line that it printed."""


def workers(cores: int, size: Size, say: Say) -> Row:
    """One worker of one thread a core, against one worker of all threads: the same table, wall time over wall time."""
    name = f"sweep, wall time of 1 worker with {cores} threads over {cores} workers with 1"
    with TemporaryDirectory(prefix="tinylm-bench-") as folder:
        cache = Path(folder) / "cache"
        try:
            steps = max(1, round(size.seconds * _steps_a_second(cache)))
            wide: list[float] = []
            narrow: list[float] = []
            disturbed: list[float] = []
            for index in range(size.pairs):
                for at_a_time, threads, walls in ((cores, 1, wide), (1, cores, narrow)):
                    say(f"sweep of {len(size.depths)} x {size.seeds} runs: {at_a_time} workers, {threads} threads each")
                    disturbed += _look()
                    budget = ["budget=steps", f"budget.amount={steps}", ONCE]
                    root = Path(folder) / f"{at_a_time}-{index}"
                    walls.append(_sweep(root, cache, at_a_time, threads, size, budget).wall)
        except SweepFailed as failed:
            return Row(name, None, "x", 1.2, note=str(failed))
    each = [one / all_ for one, all_ in zip(narrow, wide, strict=True)]
    runs = f"{len(size.depths)} shapes x {size.seeds} runs of {steps} steps, scored at their end"
    told = f"{middle(narrow):g} s against {middle(wide):g} s for {runs}"
    notes = [told, spread(each), busy(disturbed, 2 * size.pairs)]
    return Row(name, middle(each), "x", 1.2, note="; ".join(note for note in notes if note))


def overhead(cores: int, size: Size, say: Say) -> Row:
    """What of the workers' time is not training steps: start, compilation, scores, records and idle workers."""
    runs = len(size.depths) * size.seeds
    name = f"sweep, overhead of {len(size.depths)} shapes x {size.seeds} runs of {size.seconds:g} s"
    with TemporaryDirectory(prefix="tinylm-bench-") as folder:
        cache = Path(folder) / "cache"
        try:
            _steps_a_second(cache)
            say(f"{name}: about {runs * size.seconds / cores / 60:.0f} minutes")
            disturbed = _look()
            budget = ["budget=seconds", f"budget.amount={size.seconds}"]
            swept = _sweep(Path(folder) / "runs", cache, cores, 1, size, budget)
        except SweepFailed as failed:
            return Row(name, None, "of the workers' time", 0.15, "at most", str(failed))
    at_a_time = min(cores, runs)
    share = 1 - swept.training / (at_a_time * swept.wall)
    told = f"{swept.training:.0f} s of steps in {swept.wall:.0f} s with {at_a_time} workers"
    notes = "; ".join(note for note in (told, busy(disturbed, 1)) if note)
    return Row(name, float(f"{share:.3g}"), "of the workers' time", 0.15, "at most", notes)


def _look() -> list[float]:
    share = disturbance()
    return [] if share is None else [share]


def _steps_a_second(cache: Path) -> float:
    """Of one thread, from a short run that also makes the tokenizer and the token store which all others read."""
    size = Size(seconds=0, depths=DEPTHS[2:3], seeds=1)
    root = cache.parent / "first"
    swept = _sweep(root, cache, 1, 1, size, ["budget=steps", "budget.amount=8", ONCE])
    return 8 / swept.training


def _sweep(root: Path, cache: Path, at_a_time: int, threads: int, size: Size, budget: Sequence[str]) -> Swept:
    """``tinylm run -m`` in a folder of its own.

    Raises:
        SweepFailed: it did not end well.
    """
    words = ["run", "-m", f"root={root}", f"cache={cache}", "archives=[]", *TEXT, *budget]
    words += [
        "shape=0.8m",
        f"shape.depth={','.join(map(str, size.depths))}",
        f"seed={','.join(map(str, range(size.seeds)))}",
    ]
    words += [f"machine.threads={threads}", f"hydra.launcher.workers={at_a_time}"]
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    root.mkdir(parents=True)
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "tinylm", *words], cwd=root, env=environment, capture_output=True, text=True
    )
    wall = time.perf_counter() - began
    records = [json.loads(path.read_text(encoding="utf-8")) for path in root.glob("*/record.json")]
    runs = len(size.depths) * size.seeds
    if ended.returncode or len(records) != runs or any(record["status"] != "done" for record in records):
        lines = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
        said = lines[-1] if lines else "nothing"
        raise SweepFailed(f"tinylm {' '.join(words)}: exit code {ended.returncode}; it said: {said}")
    return Swept(wall, sum(record["cost"]["seconds"] for record in records), runs)
