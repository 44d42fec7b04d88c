"""``tinylm report``: a sweep's runs as verdicts, tables, figures and a page."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots

REPORT = """Write a sweep's report: report.html, report.md, results.csv, verdicts.json, figures/.

examples:
  tinylm report quickstart                               from runs/, into reports/quickstart/
  tinylm report depth_width --root runs --root /data/runs --out paper/depth_width
  tinylm report depth_width --out analysis/results/depth_width --archive
                                                         with the runs' records and thinned histories, to commit"""


def report_command(words: list[str]) -> int:
    """``tinylm report NAME``."""
    parser = Parser("tinylm report", REPORT)
    parser.add_argument("name", metavar="NAME", help="the sweep")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: reports/NAME)")
    parser.add_argument("--archive", action="store_true", help="also copy the runs (thinned) into DIR/runs")
    add_roots(parser)
    options = parser.parse_args(words)
    write(options.name, [str(root) for root in roots(options)], options.out, archive=options.archive)
    return 0


def write(name: str, where: Sequence[str], out: str | None, archive: bool = False) -> None:
    """Write the report and print the verdict table and the page's path."""
    from tinylm.report import page, tables

    folders = [path for pattern in where for path in sorted(glob.glob(pattern)) if Path(path).is_dir()]
    target = Path(out or Path("reports") / name)
    written = page.write_report(name, folders, target)
    print(tables.terminal_table(written.verdicts))
    if archive:
        page.archive(name, folders, target)
    print(f"\nreport: {(target / 'report.html').resolve()}")
