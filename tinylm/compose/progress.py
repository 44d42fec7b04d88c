"""The live view of long work: a table in a terminal, one line every ten seconds in a log.

It reads what the runs write (``status.json``) and what the launcher knows (queued, running, ended); it runs in a
thread of its own and never touches a run.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tinylm.files import read_json

LINE_SECONDS = 10.0
FRAME_SECONDS = 0.5


class Progress:
    """Shows how a list of runs goes, on standard error.

    Args:
        labels: run folder -> what to call the run.
        workers: how many run at a time (for the time left).

    ``state`` maps each folder to queued, running, done, failed, diverged or interrupted; whoever launches keeps it.
    """

    def __init__(self, labels: dict[Path, str], workers: int = 1) -> None:
        self.labels, self.workers = labels, max(1, workers)
        self.state = dict.fromkeys(labels, "queued")
        self.started = time.time()
        self._durations: list[float] = []
        self._begun: dict[Path, float] = {}
        self._over = threading.Event()
        self._console = Console(stderr=True)
        self._thread = threading.Thread(target=self._watch, daemon=True, name="progress")

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def begin(self, folder: Path) -> None:
        self.state[folder] = "running"
        self._begun[folder] = time.time()

    def end(self, folder: Path, state: str) -> None:
        self.state[folder] = state
        if folder in self._begun:
            self._durations.append(time.time() - self._begun.pop(folder))

    def counts(self) -> dict[str, int]:
        values = list(self.state.values())
        names = ("done", "running", "queued", "failed", "diverged", "interrupted")
        return {name: values.count(name) for name in names if values.count(name) or name in ("done", "running")}

    def seconds_left(self, statuses: dict[Path, dict[str, Any]]) -> float | None:
        """Of the whole list: what the running ones say, and the mean of the ended ones for each in the queue."""
        running = [status["seconds_left"] for status in statuses.values() if status.get("seconds_left") is not None]
        queued = list(self.state.values()).count("queued")
        if not self._durations:
            full = [
                status["seconds_left"] / max(1e-9, 1 - status["step"] / status["steps"])
                for status in statuses.values()
                if status.get("seconds_left") is not None and 0 < status.get("step", 0) < status.get("steps", 0)
            ]
            each = sum(full) / len(full) if full else None
        else:
            each = sum(self._durations) / len(self._durations)
        if (queued and each is None) or (not running and not queued):
            return None
        return (sum(running) + queued * (each or 0.0)) / min(self.workers, max(1, len(running) + queued))

    def _watch(self) -> None:
        if not self._console.is_terminal:
            while not self._over.wait(LINE_SECONDS):
                self._console.print(self._line(), soft_wrap=True, highlight=False, markup=False)
            return
        with Live(self._table(), console=self._console, refresh_per_second=4, transient=True) as live:
            while not self._over.wait(FRAME_SECONDS):
                live.update(self._table())

    def _line(self) -> str:
        statuses = self._statuses()
        if len(self.state) == 1:  # who runs one knows which
            parts = [describe(status) for status in statuses.values()]
        else:
            parts = [", ".join(f"{count} {name}" for name, count in self.counts().items())]
            parts += [f"{self.labels[folder]}: {describe(status)}" for folder, status in statuses.items()]
        left = self.seconds_left(statuses)
        if left is not None:
            parts.append(f"{clock(left)} left")
        return f"[{clock(time.time() - self.started)}] " + " | ".join(parts)

    def _table(self) -> Table:
        statuses = self._statuses()
        left = self.seconds_left(statuses)
        title = ", ".join(f"{count} {name}" for name, count in self.counts().items())
        title += f"   {clock(time.time() - self.started)} so far"
        title += f", about {clock(left)} left" if left is not None else ""
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for column in ("run", "step", "loss", "tokens/s", "left"):
            table.add_column(column, justify="left" if column == "run" else "right")
        for folder, status in statuses.items():
            steps = f"{status['step']:,}/{status['steps']:,}" if status.get("steps") else status.get("phase", "")
            table.add_row(
                self.labels[folder],
                steps,
                f"{status['loss']:.3f}" if status.get("loss") is not None else "",
                f"{status['tokens_per_second']:,.0f}" if status.get("tokens_per_second") else "",
                clock(status["seconds_left"]) if status.get("seconds_left") is not None else "",
            )
        return table

    def _statuses(self) -> dict[Path, dict[str, Any]]:
        found = {}
        for folder, state in list(self.state.items()):
            if state == "running":
                status = read_status(folder)
                fresh = status.get("updated", 0) >= self._begun.get(folder, 0) - 1
                found[folder] = status if fresh else {"phase": "starting"}
        return found


def read_status(folder: Path) -> dict[str, Any]:
    """What a run says it does now; empty where it has not said anything yet."""
    return read_json(folder / "status.json")


def describe(status: dict[str, Any]) -> str:
    """One running run in words."""
    if not status.get("steps"):
        return str(status.get("phase", "starting"))
    text = f"step {status['step']:,}/{status['steps']:,}"
    if status.get("loss") is not None:
        text += f" loss {status['loss']:.3f}"
    if status.get("tokens_per_second"):
        text += f" {status['tokens_per_second']:,.0f} tokens/s"
    return text if status.get("phase") == "training" else f"{status.get('phase')} ({text})"


def clock(seconds: float) -> str:
    """75 -> '1m15s'; 4000 -> '1h06m'."""
    whole = max(0, round(seconds))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
