"""Where the reading commands look for runs."""

from __future__ import annotations

import argparse
import glob
from pathlib import Path

from tinylm.errors import UserError

DEFAULT = ("runs", "analysis/results/*/runs")


def add_roots(parser: argparse.ArgumentParser) -> None:
    """``--root DIR``, which may stand several times; default: runs/ and what is committed in analysis/results/."""
    parser.add_argument("--root", action="append", metavar="DIR", help="where runs lie (may stand several times)")


def roots(options: argparse.Namespace) -> list[Path]:
    """The folders that ``--root`` names.

    Raises:
        UserError: a named folder is not there.
    """
    if options.root:
        missing = [path for path in options.root if not Path(path).is_dir()]
        if missing:
            raise UserError(f"--root {missing[0]}: there is no such folder")
        return [Path(path) for path in options.root]
    return [Path(path) for pattern in DEFAULT for path in sorted(glob.glob(pattern)) if Path(path).is_dir()]
