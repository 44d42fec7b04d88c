"""Turns: training loops in processes of their own, of which one runs at a time.

A side is a process whose loop asks a `Gate` for leave before each step. The measuring process (`Side`) gives it a turn
of some seconds, waits for its answer, and gives the next turn to another, so that two loops are measured A B A B
under the same conditions and neither pays for its start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tinylm.runs.allocator import TUNABLES

END_SECONDS = 60  # a process that closed its output has at most this long to end


class Gate:
    """The side's end: called before each step, it lets the step through or waits for the next turn.

    Args:
        warm: first steps that nobody measures.
        least: steps that a turn has at least.
    """

    def __init__(self, warm: int = 3, least: int = 3) -> None:
        self.left, self.least = warm, least
        self.seconds, self.began, self.steps = 0.0, 0.0, -1
        self.answers = os.dup(1)
        os.dup2(2, 1)  # what libraries print shall not mix with the answers

    def __call__(self) -> None:
        now = time.perf_counter()
        if self.left > 0:
            self.left -= 1
            return
        self.steps += 1
        if self.steps > 0 and (now - self.began < self.seconds or self.steps < self.least):
            return
        self._say({"steps": self.steps, "seconds": now - self.began})
        wanted = sys.stdin.readline()
        if not wanted:
            os._exit(0)  # measured enough; what the loop would still do at its end is of no interest
        self.seconds, self.steps, self.began = float(wanted), 0, time.perf_counter()

    def _say(self, answer: Mapping[str, float]) -> None:
        os.write(self.answers, json.dumps(answer).encode() + b"\n")


@dataclass(frozen=True)
class Turn:
    """What a side did in its turn."""

    steps: int
    seconds: float

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.steps / self.seconds


class SideFailed(Exception):
    """A side ended before it was told to; the message is the last line that it printed."""


class Side:
    """The measuring end: ``python -m module arguments`` in a process of its own, stopped until it is given a turn.

    Args:
        words: the module and its arguments.
        threads: of the process.
        ours: with the allocator settings that this project gives the processes of its runs.
    """

    def __init__(self, *words: str, threads: int, ours: bool) -> None:
        self.name = " ".join(words)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads)), "TOKENIZERS_PARALLELISM": "false"}
        environment.pop("GLIBC_TUNABLES", None)
        if ours:
            environment["GLIBC_TUNABLES"] = TUNABLES
        self.errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.folder = tempfile.TemporaryDirectory(prefix="tinylm-bench-")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words, "--folder", self.folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
            cwd=Path(__file__).resolve().parents[1],
            text=True,
        )

    def __enter__(self) -> Side:
        try:
            self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        self.folder.cleanup()

    def turn(self, seconds: float) -> Turn:
        """Let it run for ``seconds`` and as long as its step takes.

        Raises:
            SideFailed: it ended.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise SideFailed(self._last_words()) from None
        return self._answer()

    def _answer(self) -> Turn:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SideFailed(self._last_words())
        return Turn(**json.loads(line))

    def _last_words(self) -> str:
        self.process.wait(timeout=END_SECONDS)
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return f"{self.name} ended: {lines[-1] if lines else f'exit code {self.process.returncode}'}"
