"""Which runs are there already: in the root of a sweep, or committed in an archive."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tinylm.record import RunRecord


def roots(config: dict[str, Any]) -> list[Path]:
    """The root that a config writes to, then the archives that it reads (globs, relative to where we stand)."""
    archives = [Path(path) for pattern in config["archives"] for path in sorted(glob.glob(pattern))]
    return [Path(config["root"]), *(path for path in archives if path.is_dir())]


def find(key: str, where: Iterable[Path]) -> RunRecord | None:
    """The record of run ``key`` in the first root that has one."""
    for root in where:
        if (root / key / "record.json").is_file():
            return RunRecord.read(root / key)
    return None


def ended(record: RunRecord | None) -> bool:
    """Whether there is nothing left to do: done or diverged. A failed run is tried again."""
    return record is not None and record.status in ("done", "diverged")


def remember(root: Path, name: str, keys: Iterable[str]) -> None:
    """Note in the records under ``root`` that they belong to sweep ``name``: one run may serve several."""
    for key in keys:
        if (root / key / "record.json").is_file():
            record = RunRecord.read(root / key)
            if name not in record.sweeps:
                record.sweeps = sorted([*record.sweeps, name])
                record.write(root / key)
