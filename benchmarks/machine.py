"""The machine: its cores, and whether somebody else is using them."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BUSY = 0.1  # share of the cores' time that others may take before a measurement is called disturbed
PATIENCE = 3  # looks before it is called so
BLOCK = bytes(2**20)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def processor() -> str:
    """The processor's name and its cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores()} cores"


def taken(seconds: float = 0.15) -> float:
    """The share of the cores' time that others take: what a spin on every core asks for and does not get."""
    with ThreadPoolExecutor(cores()) as pool:
        spins = list(pool.map(_spin, [seconds] * cores()))
    return max(0.0, 1 - sum(own for own, _ in spins) / sum(wall for _, wall in spins))


def disturbance() -> float | None:
    """The share that others take, where that is too much even after some waiting; None where the machine is ours."""
    for attempt in range(PATIENCE):
        share = taken()
        if share <= BUSY:
            return None
        if attempt < PATIENCE - 1:
            time.sleep(1)
    return share


def _spin(seconds: float) -> tuple[float, float]:
    """Processor and wall seconds of a thread that hashes, which needs no interpreter lock."""
    began, own = time.perf_counter(), time.thread_time()
    while time.perf_counter() - began < seconds:
        hashlib.sha256(BLOCK).digest()
    return time.thread_time() - own, time.perf_counter() - began
