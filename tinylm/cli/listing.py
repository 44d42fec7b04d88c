"""``tinylm list sweeps|variants|runs``."""

from __future__ import annotations

import argparse

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots

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
    from tinylm.report.collect import collect

    where = roots(options)
    frame = collect(*where) if where else None
    if frame is None or frame.empty:
        print("no run has ended yet; start with: tinylm sweep quickstart")
        return 0
    print(f"{'key':<16}  {'status':<8}  {'seed':>5}  {'bits/byte':>9}  {'parameters':>11}  sweeps")
    for row in frame.to_dict("records"):
        score, total = row.get("bits_per_byte"), row.get("accounting.parameters.total")
        shown = f"{score:.4f}" if score is not None and score == score else "-"
        size = f"{int(total):,}" if total is not None and total == total else "-"
        names = ", ".join(row["sweeps"] or [])
        print(f"{row['key']:<16}  {row['status']:<8}  {row['seed']:>5}  {shown:>9}  {size:>11}  {names}")
    for warning in frame.attrs.get("warnings", []):
        print(f"warning: {warning}")
    return 0
