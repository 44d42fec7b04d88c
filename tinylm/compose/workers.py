"""The default launcher: as many runs at a time as there are workers, each a child process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from tinylm.compose.execute import INTERRUPTED, summary
from tinylm.compose.keys import Job, job
from tinylm.compose.progress import Progress
from tinylm.errors import Interrupted
from tinylm.record import RunRecord
from tinylm.runs.allocator import TUNABLES

BUSY_SECONDS = 0.5  # how often to look whether another process has finished a run that we share


def launch(
    loader: ConfigLoader, config: DictConfig, job_overrides: Sequence[Sequence[str]], workers: int | None
) -> list[JobReturn]:
    """Run the jobs; a return for each, in order. One that fails harms no other.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the runs wrote their checkpoints.
    """
    jobs = [job(loader.load_sweep_config(config, list(overrides))) for overrides in job_overrides]
    if not jobs:
        return []
    results = run_jobs(jobs, workers=at_a_time(jobs, workers), threads=int(jobs[0].config["machine"]["threads"]))
    returns = []
    for overrides, result in zip(job_overrides, results, strict=True):
        returned = JobReturn(overrides=list(overrides))
        returned.status = JobStatus.COMPLETED
        returned.return_value = result
        returns.append(returned)
    return returns


def at_a_time(jobs: Sequence[Job], workers: int | None) -> int:
    """How many of ``jobs`` go side by side: ``workers``, or one for as many cores as a run has threads."""
    threads = int(jobs[0].config["machine"]["threads"]) if jobs else 1
    return max(1, min(workers or cores() // threads, len(jobs)))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def run_jobs(jobs: list[Job], workers: int, threads: int) -> list[dict[str, Any]]:
    """Run ``jobs``, ``workers`` at a time with ``threads`` threads each; their summaries, in order."""
    waiting: deque[int] = deque(range(len(jobs)))
    running: set[int] = set()
    nursery = Nursery(threads, Path(jobs[0].config["cache"]))
    with _stop_signals() as stop, nursery, Progress(labels(jobs), workers) as progress:
        sent = 0
        while waiting or running:
            _start(jobs, waiting, running, workers, nursery, progress)
            for ended, code in nursery.ended():
                running.discard(ended)
                progress.end(jobs[ended].folder, _settle(jobs[ended], code, stopping=bool(stop)))
            if stop:
                waiting.clear()
                if len(stop) > sent:  # the first asks for a checkpoint, a second one kills
                    nursery.stop(signal.SIGTERM if sent == 0 else signal.SIGKILL)
                    sent = len(stop)
    if stop:
        raise Interrupted("interrupted: unfinished runs wrote checkpoints; the same command goes on from there")
    return [summary(RunRecord.read(task.folder)) for task in jobs]


def labels(jobs: Sequence[Job]) -> dict[Path, str]:
    """Folder -> the overrides in which a run differs from the others; its key where it does not."""
    shared = set.intersection(*(set(task.overrides) for task in jobs)) if len(jobs) > 1 else set()
    return {task.folder: " ".join(word for word in task.overrides if word not in shared) or task.key for task in jobs}


def _start(
    jobs: list[Job], waiting: deque[int], running: set[int], workers: int, nursery: Nursery, progress: Progress
) -> None:
    """Start runs while there is room.

    Those that another process works on, and those whose parent has not ended yet, go to the end of the queue.
    """
    for _ in range(len(waiting)):
        if len(running) >= workers:
            return
        index = waiting.popleft()
        unfinished = {jobs[other].key for other in (*waiting, *running)}
        if locked(jobs[index].folder) or any(elder.key in unfinished for elder in jobs[index].ancestors()):
            waiting.append(index)
            continue
        running.add(index)
        progress.begin(jobs[index].folder)
        nursery.start(index, jobs[index])


def locked(folder: Path) -> bool:
    """Whether another process holds the run."""
    path = folder / "run.lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _settle(task: Job, code: int, stopping: bool) -> str:
    """How a run ended; a child that died without a word gets its record here."""
    if code == INTERRUPTED or (stopping and code < 0):
        return "interrupted"
    path = task.folder / "record.json"
    record = RunRecord.read(task.folder) if path.is_file() else None
    if code < 0 or record is None:
        from tinylm.runs.failure import record_failure

        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        more = " (the kernel does this when memory runs out)" if code == -signal.SIGKILL else ""
        death = ChildProcessError(f"the process of the run ended by {name}{more}; its log: {task.folder / 'run.log'}")
        record = record_failure(task.key, task.config, task.choices, task.folder, death)
    return record.status


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying by them."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Nursery:
    """Talks to the process that runs are forked from (``tinylm.compose.nursery``).

    Args:
        threads: of each run, set in the environment before any library reads it.
        cache: folder under which compiled code is kept, shared by runs.
    """

    def __init__(self, threads: int, cache: Path) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        self.environment = {
            **os.environ,
            **dict.fromkeys(names, str(threads)),
            "TORCHINDUCTOR_CACHE_DIR": str((cache / "compiled").resolve()),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", TUNABLES),
        }

    def __enter__(self) -> Nursery:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tinylm.compose.nursery", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,  # a terminal's Ctrl-C reaches the sweep alone, which then asks for checkpoints
        )
        self._buffer = b""
        self._alive: set[int] = set()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def start(self, index: int, task: Job) -> None:
        self._alive.add(index)
        self._say({"id": index, "job": task.to_json()})

    def stop(self, number: int) -> None:
        self._say({"stop": int(number)})

    def ended(self) -> list[tuple[int, int]]:
        """(index, exit code) of runs that ended since the last call; waits a little where there are none."""
        assert self.process.stdout is not None
        if not self._alive:
            time.sleep(BUSY_SECONDS)
            return []
        descriptor = self.process.stdout.fileno()
        if not select.select([descriptor], [], [], 0.2)[0]:
            return []
        data = os.read(descriptor, 1 << 16)
        if not data:  # the nursery itself died: so did its children
            ended = [(index, -signal.SIGKILL) for index in sorted(self._alive)]
            self._alive.clear()
            return ended
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        reports = [json.loads(line) for line in lines]
        ended = [(report["id"], report["exit"]) for report in reports if "exit" in report]
        self._alive -= {index for index, _ in ended}
        return ended

    def _say(self, command: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return  # it died; `ended` reports its children
