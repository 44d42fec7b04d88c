"""``python -m benchmarks.calibration``: the engine's error rates, power and coverage as a table.

It takes about eleven minutes of one core; the twins were trained once (``--train``) and their scores are kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.calibration import coverage, errors, twins
from benchmarks.calibration.spreads import PROJECT, real_spreads
from tinylm.files import write_text

DOCS = PROJECT / "docs" / "evidence.md"
BEGIN, END = "<!-- calibration: made by the command above -->", "<!-- end of calibration -->"
EXAMPLE = """examples:
  python -m benchmarks.calibration                   print the tables
  python -m benchmarks.calibration --docs            and put them into docs/evidence.md
  python -m benchmarks.calibration --train DIR       train the twins again first (120 runs of seconds each)"""


def tables(families: int, rounds: int, slow_rounds: int) -> str:
    """All of it as Markdown.

    Args:
        families: simulated A/A families of each kind.
        rounds: draws for a row of coverage or power; ``slow_rounds``: where a draw draws itself.
    """
    trained = twins.scores()
    false = [errors.false_claims(spread, n, families) for spread in real_spreads() for n in (3, 5)]
    false += [errors.false_claims(spread.alone(), 3, families) for spread in real_spreads()]
    false += [errors.false_claims_in_steps(20, n, 4, families) for n in (2, 3, 5)]
    false += [errors.false_claims_of_drawn_twins(trained, n, 4, families) for n in (3, 5, 10)]
    false += [errors.false_claims_of_twins(trained)]
    equal = [errors.false_equivalences(trained, n, 4, families) for n in (3, 5, 10)]
    _say("false claims")
    power = [count for n in coverage.SIZES for count in errors.found_effects(trained, n, families)]
    power += [count for n in (3, 5) for count in errors.found_effects(trained, n, families, comparisons=3)]
    _say("planted effects")
    covered = list(coverage.coverage(rounds, slow_rounds))
    _say("coverage")
    return "\n\n".join(
        [
            _table(
                ["no effect: families that claim one (at most 5%)", "families", "share, 95% interval"],
                ([count.what, f"{count.of}", str(count)] for count in false),
            ),
            _table(
                ["effects of delta: families that call one equivalent (at most 5%)", "families", "share, 95% interval"],
                ([count.what, f"{count.of}", str(count)] for count in equal),
            ),
            _table(
                ["effect planted", "found (95% interval)", "planned power"],
                ([count.what, str(count), f"{count.promised:.0%}"] for count in power),
            ),
            _coverage(covered),
        ]
    )


def put(text: str, path: Path = DOCS) -> None:
    """Replace what stands between the marks of a page."""
    page = path.read_text(encoding="utf-8")
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    write_text(path, f"{page[:before]}\n\n{text}\n\n{page[after:]}")


def _coverage(covered: Sequence[coverage.Covered]) -> str:
    """A row a method and shape, a column a number of seeds: the share of intervals that hold the true difference."""
    cells = {(item.method, item.shape, item.n): f"{item.count.share:.1%}" for item in covered}
    columns = [f"n = {n}" for n in coverage.SIZES]
    rows = [
        [method, shape, *(cells[method, shape, n] for n in coverage.SIZES)]
        for method in coverage.METHODS
        for shape in coverage.SHAPES
    ]
    return _table(["95% interval", "spread of the seeds", *columns], rows)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _say(what: str) -> None:
    print(f"[{time.process_time():4.0f} s] {what}", file=sys.stderr, flush=True)


def main() -> int:
    """Count and say."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.calibration",
        description="How often the verdict engine errs, finds what is there, and covers the truth.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--train", type=Path, metavar="DIR", help="train the twins under DIR, and keep their scores")
    parser.add_argument("--docs", action="store_true", help=f"write the tables into {DOCS.relative_to(PROJECT)}")
    parser.add_argument("--quick", action="store_true", help="a minute's look at whether all works")
    asked = parser.parse_args()
    if asked.train is not None:
        twins.train(asked.train)
    text = tables(40, 100, 20) if asked.quick else tables(1000, 2000, 400)
    print(text)
    if asked.docs:
        put(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
