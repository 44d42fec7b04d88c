"""Which runs are there already: in the root of a sweep, or committed in an archive."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinylm.errors import UserError
from tinylm.record import WEIGHTS, RunRecord


def roots(config: Mapping[str, Any]) -> list[Path]:
    """The root that a config writes to, then the archives that it reads (globs, relative to where we stand)."""
    archives = [Path(path) for pattern in config["archives"] for path in sorted(glob.glob(pattern))]
    return [Path(config["root"]), *(path for path in archives if path.is_dir())]


def find(key: str, where: Iterable[Path]) -> RunRecord | None:
    """The record of run ``key`` in the first root that has one."""
    for root in where:
        if (root / key / "record.json").is_file():
            return RunRecord.read(root / key)
    return None


def ended(record: RunRecord | None, config: Mapping[str, Any]) -> bool:
    """Whether there is nothing left to do: done or diverged. A failed run is tried again.

    With ``keep=needed`` a run that is done without its weights is made again, such as one whose record is committed.
    """
    if record is None or record.status not in ("done", "diverged"):
        return False
    kept = config["keep"] != "needed" or (Path(config["root"]) / record.key / WEIGHTS).is_file()
    return kept or record.status == "diverged"


def remember(root: Path, name: str, keys: Iterable[str]) -> None:
    """Note in the records under ``root`` that they belong to sweep ``name``: one run may serve several."""
    for key in keys:
        if (root / key / "record.json").is_file():
            record = RunRecord.read(root / key)
            if name not in record.sweeps:
                record.sweeps = sorted([*record.sweeps, name])
                record.write(root / key)


def locate(key: str, where: Sequence[Path]) -> Path:
    """The folder of the one ended run whose key begins with ``key``; of several copies the first that kept its weights.

    Raises:
        UserError: none or several begin so.
    """
    found: dict[str, Path] = {}
    for root in where:
        for record in root.glob(f"{glob.escape(key)}*/record.json"):
            known = found.setdefault(record.parent.name, record.parent)
            if (record.parent / WEIGHTS).is_file() and not (known / WEIGHTS).is_file():
                found[record.parent.name] = record.parent
    if len(found) == 1:
        return next(iter(found.values()))
    places = ", ".join(map(str, where)) or "runs/ (there is none here; name another with --root)"
    if not found:
        raise UserError(f"no ended run's key begins with {key!r} under {places}; `tinylm list runs` names them")
    raise UserError(f"{len(found)} keys begin with {key!r}: {', '.join(sorted(found)[:5])}; write more of it")
