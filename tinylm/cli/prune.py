"""``tinylm prune``: free disk by deleting what no finished run needs."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots
from tinylm.errors import UserError
from tinylm.record import WEIGHTS, RunRecord
from tinylm.report.claims.manifest import Manifest

PRUNE = """Free disk: checkpoints of ended runs and, by choice, weights and the cache of tokenizers and stores.
Records, histories and scores always stay. Runs that some process works on are left alone, and so are the weights that
an unfinished run of a sweep begins from.

examples:
  tinylm prune --dry-run               say what would go and how large it is; delete nothing
  tinylm prune --weights --cache       also weights and everything that can be made again"""


def prune_command(words: list[str]) -> int:
    """``tinylm prune``."""
    parser = Parser("tinylm prune", PRUNE)
    parser.add_argument("--dry-run", action="store_true", help="delete nothing")
    parser.add_argument("--weights", action="store_true", help="also the weights of ended runs")
    parser.add_argument("--cache", action="store_true", help="also tokenizers, token stores and compiled code")
    add_roots(parser)
    options = parser.parse_args(words)
    total = 0
    for root in roots(options):
        wanted = awaited(root)
        for record in sorted(root.glob("*/record.json")):
            total += _prune_run(record.parent, options, record.parent.name in wanted)
        if options.cache and (root / "cache").is_dir():
            total += _delete(root / "cache", options.dry_run)
    print(f"{'would free' if options.dry_run else 'freed'} {total / 2**20:,.1f} MiB")
    return 0


def awaited(root: Path) -> set[str]:
    """Keys of the parents of sweeps under ``root`` that have runs to do yet."""
    wanted: set[str] = set()
    for path in root.glob("sweeps/*.json"):
        jobs = Manifest.parse(json.loads(path.read_text(encoding="utf-8")), str(path)).jobs
        if any(not (root / job.key / "record.json").is_file() for job in jobs if job.stage != "parent"):
            wanted |= {job.key for job in jobs if job.stage == "parent"}
    return wanted


def _prune_run(folder: Path, options: argparse.Namespace, wanted: bool) -> int:
    """Delete what an ended run does not need; the bytes it took."""
    try:
        status = RunRecord.read(folder).status
    except UserError as error:
        print(f"left alone: {error}")
        return 0
    names = [] if status == "failed" else ["checkpoint"]  # a failed run goes on from its own
    names += [WEIGHTS] if options.weights and not wanted else []
    there = [folder / name for name in names if (folder / name).exists()]
    if not there:
        return 0
    try:
        with FileLock(folder / "run.lock", timeout=0):
            return sum(_delete(path, options.dry_run) for path in there)
    except Timeout:
        print(f"left alone (in use): {folder}")
        return 0


def _delete(path: Path, dry_run: bool) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f"{'would delete' if dry_run else 'deleted'} {path} ({size / 2**20:,.1f} MiB)")
    if not dry_run:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return size
