"""``tinylm report``: a sweep's runs as verdicts, tables, figures and a page."""

from __future__ import annotations

import glob
import sys
from collections.abc import Sequence
from pathlib import Path

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots
from tinylm.errors import UserError

REPORT = """Write a sweep's report: report.html, report.md, tables.tex, results.csv,
verdicts.json, figures/.
With --all: every sweep's, and a page of all claims with their verdicts, by source too, that opens without a network.

examples:
  tinylm report quickstart                               from runs/, into reports/quickstart/
  tinylm report depth_width --root runs --root /data/runs --out paper/depth_width
  tinylm report depth_width --out analysis/results/depth_width --archive
                                                         with the runs' records and thinned histories, to commit
  tinylm report --all                                    reports/index.html and reports/NAME/ of every sweep"""


def report_command(words: list[str]) -> int:
    """``tinylm report NAME`` and ``tinylm report --all``."""
    parser = Parser("tinylm report", REPORT)
    parser.add_argument("name", metavar="NAME", nargs="?", help="the sweep")
    parser.add_argument("--all", action="store_true", help="every sweep's report, and the page of all claims")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: reports/NAME; with --all reports)")
    parser.add_argument("--archive", action="store_true", help="also copy the runs (thinned) into DIR/runs")
    add_roots(parser)
    options = parser.parse_args(words)
    if options.all == (options.name is not None) or (options.all and options.archive):
        raise UserError("tinylm report NAME [--archive], or tinylm report --all; see tinylm report --help")
    if options.all:
        return _site([str(root) for root in roots(options)], Path(options.out or "reports"))
    write(options.name, [str(root) for root in roots(options)], options.out, archive=options.archive)
    return 0


def _site(where: Sequence[str], out: Path) -> int:
    from tinylm.report.pages.site import summary, write_site

    site = write_site(where, out, lambda told: print(told, file=sys.stderr, flush=True))
    for line in site.left_out:
        print(f"left out: {line}")
    print(f"{summary(site.entries)}\n\nsite: {site.path.resolve()}")
    return 0


def write(name: str, where: Sequence[str], out: str | None, archive: bool = False) -> None:
    """Write the report and print the verdict table and the page's path."""
    from tinylm.report.judgement import verdict_tables
    from tinylm.report.pages import page

    folders = [path for pattern in where for path in sorted(glob.glob(pattern)) if Path(path).is_dir()]
    target = Path(out or Path("reports") / name)
    written = page.write_report(name, folders, target)
    print(verdict_tables.terminal_table(written.verdicts))
    if archive:
        page.archive(name, folders, target)
    print(f"\nreport: {(target / 'report.html').resolve()}")
