"""``python -m benchmarks``: all rows, as a table and as ``bench.json``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import harness, scale, sweeps, table
from benchmarks.machine import cores, disturbance, processor
from benchmarks.training import Pace, sparse, training

PROJECT = Path(__file__).resolve().parents[1]
PARTS = {
    "a": "training speed",
    "b": "workers against threads",
    "c": "a sweep's overhead",
    "d": "layers of experts",
    "e": "reading ten thousand runs",
    "f": "benchmarks of others",
}


def main() -> int:
    """Measure and say; 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Speed on the machine at hand.",
        epilog="example: python -m benchmarks --only a --only e --out mine.json",
    )
    told = "; ".join(f"{name}: {what}" for name, what in PARTS.items())
    parser.add_argument("--only", choices=PARTS, action="append", help=f"this part alone ({told}); may be repeated")
    parser.add_argument("--quick", action="store_true", help="a minute's look at whether all works; no measurement")
    parser.add_argument("--out", type=Path, default=PROJECT / "bench.json", help="default: bench.json of the project")
    asked = parser.parse_args()
    parts, began = asked.only or list(PARTS), time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {what}", file=sys.stderr, flush=True)

    say(processor())
    if disturbance() is not None:
        say("WARNING: other programs use this machine; what follows is noted as disturbed and no measurement")
    rows: list[table.Row] = []
    if "a" in parts:
        rows += training(cores(), Pace(1, 1) if asked.quick else Pace(5, 5), say)
    if "b" in parts:
        size = sweeps.Size(1, 1, (2, 4), 1) if asked.quick else sweeps.Size(6, 2)
        rows.append(sweeps.workers(cores(), size, say))
    if "c" in parts:
        size = sweeps.Size(2, 1, (2, 4), 1) if asked.quick else sweeps.Size(60)
        rows.append(sweeps.overhead(cores(), size, say))
    if "d" in parts:
        rows += training(cores(), Pace(1, 1) if asked.quick else Pace(5, 5), say, sparse())
    if "e" in parts:
        rows += scale.scale(scale.Size(600, 20, 3) if asked.quick else scale.Size(), say)
    if "f" in parts:
        rows += harness.harness(harness.Size(20, 1) if asked.quick else harness.Size(), cores(), say)
    if asked.quick:
        rows = [table.quick(row) for row in rows]
    table.write(asked.out, rows)
    print(f"\n{table.render(rows)}\n\n{asked.out}")
    return int(any(row.passed is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
