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


def locate(key: str, where: list[Path]) -> Path:
    """The folder of the one ended run whose key begins with ``key``.

    Raises:
        UserError: none or several begin so.
    """
    found = {
        folder.parent.name: folder.parent for root in where for folder in root.glob(f"{glob.escape(key)}*/record.json")
    }
    if len(found) == 1:
        return next(iter(found.values()))
    places = ", ".join(map(str, where)) or "runs/ (there is none here; name another with --root)"
    if not found:
        raise UserError(f"no ended run's key begins with {key!r} under {places}; `tinylm list runs` names them")
    raise UserError(f"{len(found)} keys begin with {key!r}: {', '.join(sorted(found)[:5])}; write more of it")
