"""``tinylm list sweeps|variants|runs``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots
from tinylm.errors import UserError

LIST = """List what there is.

examples:
  tinylm list sweeps       every sweep with its question
  tinylm list variants     every group with its options
  tinylm list runs         every ended run, a folder after the other, by key"""


def list_command(words: list[str]) -> int:
    """``tinylm list``."""
    parser = Parser("tinylm list", LIST)
    parser.add_argument("what", choices=["sweeps", "variants", "runs"])
    parser.add_argument("--config-dir", help="a folder of configs of your own, laid out like conf/")
    add_roots(parser)
    options = parser.parse_args(words)
    if options.what == "runs":
        return _runs(options)
    from tinylm.compose import catalogue

    found = catalogue.sweeps(options.config_dir) if options.what == "sweeps" else catalogue.variants(options.config_dir)
    width = max(map(len, found), default=0)
    for name, text in found.items():
        print(f"{name:<{width}}  {text}")
    return 0


def _runs(options: argparse.Namespace) -> int:
    from tinylm.report.records.collect import collect

    where = roots(options)
    frame = collect(*where) if where else None
    if frame is None or frame.empty:
        print("no run has ended yet; start with: tinylm sweep quickstart")
        return 0
    places = _places([name for names in frame["sweeps"] for name in names or []], where)
    print(f"{'key':<16}  {'status':<8}  {'seed':>5}  {'bits/byte':>9}  {'parameters':>11}  what it is of a sweep")
    for row in frame.to_dict("records"):
        score, tuned, total = (
            row.get(name) for name in ("bits_per_byte", "tune_bits_per_byte", "accounting.parameters.total")
        )
        shown = f"{score:.4f}" if _known(score) else f"{tuned:.4f}*" if _known(tuned) else "-"
        size = f"{total:,.0f}" if _known(total) else "-"
        told = ", ".join(places.get((name, row["key"]), name) for name in row["sweeps"] or [])
        print(f"{row['key']:<16}  {row['status']:<8}  {row['seed']:>5}  {shown:>9}  {size:>11}  {told}")
    print("* of the tune split")
    for warning in frame.attrs.get("warnings", []):
        print(f"warning: {warning}")
    return 0


def _places(names: Iterable[str], where: Sequence[Path]) -> dict[tuple[str, str], str]:
    """(sweep, key) -> what the run is there, such as ``depth_width: d8 tune optim.lr=0.002``."""
    from tinylm.report.claims.manifest import read_manifest

    found: dict[tuple[str, str], str] = {}
    for name in dict.fromkeys(names):
        try:
            jobs = read_manifest(name, *where).jobs
        except UserError:
            continue  # a sweep whose manifest is gone or torn: its name alone is told
        for job in jobs:
            params = [f"{key}={value}" for key, value in job.params.items()]
            told = " ".join([job.arm, *[job.stage] * (job.stage != "compare"), *params])
            found[name, job.key] = f"{found[name, job.key]} + {told}" if (name, job.key) in found else f"{name}: {told}"
    return found


def _known(value: Any) -> bool:
    return value is not None and value == value
