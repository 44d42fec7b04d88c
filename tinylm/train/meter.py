"""The meter: what a fit has spent and seen, as history.jsonl and status.json.

A line of history stands for the steps since the line before: ``round``, ``step``, ``tokens``, ``bytes``, ``flops``,
``seconds`` (all totals so far), ``loss`` and ``gradient_norm`` (means over those steps), ``learning_rate`` (of the
last), ``side/<name>`` for auxiliary losses (means), ``stat/<name>`` (of the last step; lists of over a thousand in the
last tenth alone) and, where the model was scored, the scores by their own names. Lines come every ``Plan.every`` steps,
wherever the model is scored and at the end.
"""

from __future__ import annotations

import json
import math
import os
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tinylm.files import write_json, write_text
from tinylm.train.budget import Plan
from tinylm.train.journal import Journal

LARGE = 1024  # numbers of a statistic, such as of a memory's slots, beyond which it would fill the history
LAST = 0.1  # the end of a run that its record tells of its layers: one step alone may have met no text of a domain


@dataclass
class Totals:
    """What a fit has spent so far; JSON, part of every checkpoint."""

    step: int = 0
    tokens: int = 0
    bytes: int = 0
    flops: float = 0.0
    scoring_flops: float = 0.0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    watch_seconds: float = 0.0
    peak_memory_bytes: int = 0
    resumed: int = 0
    compiled: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # since the last line of history
    count: int = 0


class Meter:
    """Counts, writes history and status.

    Args:
        folder: the run's.
        plan: when lines are due and how much is left.
        journal: follows the history.
    """

    def __init__(self, folder: Path, plan: Plan, journal: Journal | None = None) -> None:
        self.folder = folder
        self.plan = plan
        self.journal = journal
        self.totals = Totals()
        self.lines: list[str] = []
        self._mark = time.perf_counter()
        self._told = -math.inf
        self._began = (0, 0.0)  # step and seconds when this process began: its own speed is what it tells

    @property
    def history(self) -> str:
        """The text of history.jsonl."""
        return "".join(self.lines)

    def restore(self, totals: dict[str, Any], history: str) -> None:
        """Stand where a checkpoint was taken; history is cut back to it."""
        self.totals = Totals(**totals)
        self.lines = history.splitlines(keepends=True)
        self._began = (self.totals.step, self.totals.seconds)

    def begin(self, device: torch.device) -> None:
        """Put history on disk as it stands here, and start the clock; ``device`` is where the model learns."""
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        write_text(self.folder / "history.jsonl", self.history)
        self._tell_journal()
        self.resume_clock()

    def resume_clock(self) -> None:
        """Time since the last step does not count as training."""
        self._mark = time.perf_counter()

    def step(self, tokens: int, bytes: int, flops: float, values: dict[str, float]) -> None:
        """Count one step; ``values`` are summed for the next line of history."""
        now = time.perf_counter()
        totals = self.totals
        totals.seconds += now - self._mark
        self._mark = now
        totals.step += 1
        totals.tokens += tokens
        totals.bytes += bytes
        totals.flops += flops
        totals.count += 1
        for name, value in values.items():
            totals.sums[name] = totals.sums.get(name, 0.0) + value

    def charge(self, flops: float) -> None:
        """Count the scoring that chose the text of a round."""
        self.totals.flops += flops
        self.totals.scoring_flops += flops

    def log(self, round: int, learning_rate: float, stats: dict[str, Any], scores: dict[str, float]) -> None:
        """Append a line of history, which closes the window of means."""
        totals = self.totals
        line = {
            "round": round,
            "step": totals.step,
            "tokens": totals.tokens,
            "bytes": totals.bytes,
            "flops": totals.flops,
            "seconds": round_seconds(totals.seconds),
            "learning_rate": learning_rate,
            **{name: total / totals.count for name, total in totals.sums.items()},
            **{f"stat/{name}": value for name, value in stats.items()},
            **scores,
        }
        totals.sums, totals.count = {}, 0
        totals.scores = scores or totals.scores
        self.lines.append(json.dumps(line) + "\n")
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(self.lines[-1])
        self._tell_journal()

    def _tell_journal(self) -> None:
        if self.journal is not None:
            self.journal.follow([json.loads(line) for line in self.lines])

    def tell(self, phase: str, loss: float | None = None, *, at_once: bool = False) -> None:
        """Replace status.json, about once a second unless ``at_once``."""
        now = time.monotonic()
        if not at_once and now - self._told < 1:
            return
        self._told = now
        step, seconds = self.totals.step - self._began[0], self.totals.seconds - self._began[1]
        tokens = self.totals.tokens / self.totals.step if self.totals.step else 0.0
        status = {
            "phase": phase,
            "step": self.totals.step,
            "steps": self.plan.steps,
            "loss": loss,
            "tokens_per_second": step * tokens / seconds if seconds else None,
            "seconds_left": self._seconds_left(step, seconds),
            "updated": time.time(),
            "pid": os.getpid(),
        }
        write_json(self.folder / "status.json", status)

    def told(self) -> tuple[str, int]:
        """The phase and the step that status.json tells, whichever process wrote it."""
        status = json.loads((self.folder / "status.json").read_text(encoding="utf-8"))
        return status["phase"], status["step"]

    def state(self, device: torch.device) -> dict[str, Any]:
        """The totals as JSON, with the most memory in them: of the GPU that ``device`` is, else of this process."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device)
        self.totals.peak_memory_bytes = max(self.totals.peak_memory_bytes, peak)
        return asdict(self.totals)

    def _seconds_left(self, step: int, seconds: float) -> float | None:
        if self.plan.steps is None:
            return max(0.0, (self.plan.seconds or 0.0) - self.totals.seconds)
        return (self.plan.steps - self.totals.step) * seconds / step if step else None


def told(stats: Mapping[str, torch.Tensor], fraction: float) -> dict[str, Any]:
    """Statistics as plain numbers; large ones at the end of the budget alone, in few digits."""
    plain: dict[str, Any] = {}
    for name, value in stats.items():
        if value.numel() <= LARGE:
            plain[name] = value.float().tolist()
        elif fraction >= 1 - LAST:
            plain[name] = [float(f"{number:.3g}") for number in value.float().tolist()]
    return plain


def round_seconds(seconds: float) -> float:
    """Milliseconds are enough for a history."""
    return round(seconds, 3)
