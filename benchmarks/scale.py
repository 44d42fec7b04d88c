"""Results in numbers: how long the reading commands take on a root of ten thousand runs."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.machine import disturbance
from benchmarks.table import Row
from benchmarks.training import busy

Say = Callable[[str], None]

TEMPLATE = Path(__file__).resolve().parents[1] / "analysis" / "results" / "depth_width" / "runs"
NAME = "scale"
DEPTHS = (2, 3, 4, 6, 8)
TIMED = """
import resource, sys, time
began = time.perf_counter()
from pathlib import Path
from tinylm.report.records.collect import collect
from tinylm.report.pages.page import write_report
ready = time.perf_counter()
{act}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(time.perf_counter() - {since}, peak)
"""


@dataclass(frozen=True)
class Size:
    """``runs`` in the root, each with ``points`` lines of history; ``seeds`` of each of five arms are the sweep."""

    runs: int = 10_000
    points: int = 200
    seeds: int = 10


def scale(size: Size, say: Say) -> list[Row]:
    """Four rows: `collect` of all runs, the same again, a sweep's report among them, and what that took of memory."""
    names = (
        f"collect of {size.runs:,} runs, the first time",
        f"collect of {size.runs:,} runs, nothing changed",
        f"report of {len(DEPTHS) * size.seeds} runs among {size.runs:,}",
        f"report of {len(DEPTHS) * size.seeds} runs among {size.runs:,}, memory",
    )
    with TemporaryDirectory(prefix="tinylm-bench-") as folder:
        root = Path(folder) / "runs"
        say(f"writing {size.runs:,} runs with {size.points} points of history each")
        fill(root, size)
        told = busy([share for share in (disturbance(),) if share is not None], 1)
        look, page = f"collect({str(root)!r})", f"write_report({NAME!r}, [{str(root)!r}], Path({folder!r}) / 'out')"
        say(names[0])
        cold, _ = _timed(look, "ready")
        say(names[1])
        warm, _ = _timed(look, "ready")
        say(names[2])
        report, peak = _timed(page, "began")
    return [
        Row(names[0], round(cold, 3), "s", 20, "at most", told),
        Row(names[1], round(warm, 3), "s", 2, "at most", told),
        Row(names[2], round(report, 3), "s", 15, "at most", told),
        Row(names[3], round(peak / 2**30, 3), "GiB", 1, "at most", told),
    ]


def fill(root: Path, size: Size) -> None:
    """Write the runs: copies of a kept record with keys, seeds, depths and scores of their own, and a sweep's plan."""
    record = json.loads(next(iter(sorted(TEMPLATE.glob("*/record.json")))).read_text(encoding="utf-8"))
    record["config"]["claim"] = None
    jobs = []
    for number in range(size.runs):
        seed, arm = divmod(number, len(DEPTHS))
        run = _run(record, number, seed, DEPTHS[arm])
        folder = root / run["key"]
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(run, indent=1, sort_keys=True), encoding="utf-8")
        (folder / "history.jsonl").write_text(_history(run, size.points), encoding="utf-8")
        if seed < size.seeds:
            jobs.append({"key": run["key"], "arm": f"d{DEPTHS[arm]}", "stage": "compare", "seed": seed})
    claim = {
        "question": "Is deeper better?",
        "source": "nobody: runs made for timing",
        "factor": ["shape.depth"],
        "baseline": "d4",
        "arms": {f"d{depth}": {} if depth == 4 else {"expect": "better"} for depth in DEPTHS},
        "equal": "parameters",
        "delta": 0.005,
        "seeds": list(range(size.seeds)),
    }
    plan = {"schema": 1, "name": NAME, "command": f"tinylm sweep {NAME}", "claim": claim, "jobs": jobs}
    (root / "sweeps").mkdir()
    (root / "sweeps" / f"{NAME}.json").write_text(json.dumps(plan), encoding="utf-8")


def _run(record: dict[str, Any], number: int, seed: int, depth: int) -> dict[str, Any]:
    run = copy.deepcopy(record)
    run["key"] = f"{number:016x}"
    run["config"]["seed"] = seed
    run["config"]["shape"]["depth"] = run["accounting"]["shape"]["depth"] = depth
    run["metrics"]["bits_per_byte"] = 1.9 + 0.01 * math.sin(seed) - 0.002 * depth + 0.001 * math.sin(7.0 * number)
    run["cost"]["seconds"] += math.cos(number)
    return run


def _history(run: dict[str, Any], points: int) -> str:
    score, lines = run["metrics"]["bits_per_byte"], []
    for point in range(1, points + 1):
        share = point / points
        line = {
            "round": 0,
            "step": 30 * point,
            "tokens": int(6e6 * share),
            "loss": 2 * score + 4 * math.exp(-6 * share),
        }
        line |= {"learning_rate": 0.002, "gradient_norm": 1.0, "bytes": int(2e7 * share), "flops": 4e13 * share}
        line |= {"seconds": 300 * share} | ({"tune_bits_per_byte": score + 1 - share} if point % 20 == 0 else {})
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


def _timed(act: str, since: str) -> tuple[float, float]:
    """Seconds and the most bytes of memory of a process of its own; from its imports on, or after them."""
    code = TIMED.format(act=act, since=since)
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    seconds, peak = said.split()[-2:]
    return float(seconds), float(peak)
