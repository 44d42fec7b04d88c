"""``tinylm show`` and ``tinylm diff``: what one run is, and in what two runs differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots
from tinylm.compose.ledger import locate
from tinylm.errors import UserError
from tinylm.files import write_text
from tinylm.record import RunRecord

SHOW = """Show one run: what it is, cost and scored.

examples:
  tinylm show 3f2a            the beginning of a key is enough
  tinylm show 3f2a --json     the record as it is stored
  tinylm show 3f2a --lineage  what it derives from, text to scores, each with its hash and cost
  tinylm show 3f2a --lineage --svg lineage.svg     the same as a graph"""

DIFF = """Show in what two runs differ: config, accounting, cost, scores, versions.

example:
  tinylm diff 3f2a 91bc"""


def show_command(words: list[str]) -> int:
    """``tinylm show KEY``."""
    parser = Parser("tinylm show", SHOW)
    parser.add_argument("key", metavar="KEY", help="a run's key, or its beginning")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.add_argument("--lineage", action="store_true", help="print what it derives from")
    parser.add_argument("--svg", metavar="FILE", help="with --lineage: also draw it, into FILE")
    add_roots(parser)
    options = parser.parse_args(words)
    if options.svg and not options.lineage:
        raise UserError("--svg draws the lineage; write --lineage --svg FILE")
    if options.json and options.lineage:
        raise UserError("--json prints the record and --lineage what it derives from; ask for one of them")
    folder = locate(options.key, roots(options))
    if options.lineage:
        return _lineage(folder, roots(options), options.svg)
    if options.json:
        print((folder / "record.json").read_text(encoding="utf-8"), end="")
        return 0
    record = RunRecord.read(folder)
    print(f"{record.key}  {record.status}  {folder}")
    sections: dict[str, Any] = {
        "error": {name: value for name, value in (record.error or {}).items() if name != "traceback"},
        "metrics": record.metrics,
        "choices": record.choices,
        "cost": record.cost,
        "accounting": record.accounting,
        "config": {name: value for name, value in record.config.items() if name != "claim"},
        "provenance": record.provenance,
        "sweeps": {str(index): name for index, name in enumerate(record.sweeps)},
        "warnings": {str(index): text for index, text in enumerate(record.warnings)},
    }
    for title, content in sections.items():
        lines = flat(content)
        if lines:
            width = max(map(len, lines))
            print(f"\n{title}")
            for name, value in lines.items():
                print(f"  {name:<{width}}  {spell(value)}")
    return 0


def _lineage(folder: Path, where: list[Path], svg: str | None) -> int:
    from tinylm.report.figures.graph import graph
    from tinylm.report.tables.lineage import lineage, tree

    def find(key: str) -> Path | None:
        return next((root / key for root in where if (root / key / "record.json").is_file()), None)

    nodes = lineage(folder, find)
    print(tree(nodes))
    if svg:
        write_text(Path(svg), graph(nodes))
        print(f"\ngraph: {Path(svg).resolve()}")
    return 0


def diff_command(words: list[str]) -> int:
    """``tinylm diff KEY KEY``."""
    parser = Parser("tinylm diff", DIFF)
    parser.add_argument("keys", metavar="KEY", nargs=2, help="a run's key, or its beginning")
    add_roots(parser)
    options = parser.parse_args(words)
    records = [RunRecord.read(locate(key, roots(options))) for key in options.keys]
    left, right = (flat(_comparable(record)) for record in records)
    names = [name for name in sorted({*left, *right}) if left.get(name) != right.get(name)]
    if not names:
        print("the two runs do not differ")
        return 0
    rows = [(name, spell(left.get(name)), spell(right.get(name))) for name in names]
    header = ("", records[0].key, records[1].key)
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(3)]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings with dotted names."""
    if not isinstance(node, Mapping):
        return {prefix: node}
    found: dict[str, Any] = {}
    for name, value in node.items():
        found.update(flat(value, f"{prefix}.{name}" if prefix else str(name)))
    return found


def spell(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _comparable(record: RunRecord) -> dict[str, Any]:
    config = {name: value for name, value in record.config.items() if name not in ("claim", "root", "cache")}
    return {
        "status": record.status,
        "config": config,
        "metrics": record.metrics,
        "accounting": record.accounting,
        "cost": record.cost,
        "provenance": record.provenance,
    }
