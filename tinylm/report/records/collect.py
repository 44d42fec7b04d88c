"""Runs as a table: one row a run."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinylm.errors import UserError
from tinylm.record import RunRecord
from tinylm.report.records.index import Columns, columns, joined, rows

# A key may lie in two roots (its own and an archive): the copy that got further counts, then the earlier root.
_PROGRESS = {"done": 0, "diverged": 1, "failed": 2}
# Parts of a config that tell where a run was started from, not what it is, and are large.
_LEFT_OUT = ("claim", "hydra")


def collect(*roots: str | Path, keys: Collection[str] | None = None) -> pd.DataFrame:
    """One row a run that ended.

    Columns: ``key``, ``status``, ``seed``, ``root``, ``sweeps``, ``warnings``, ``error``, ``reviews`` (the record's
    rounds); ``config`` as a mapping; the chosen options (``model/ffn``, ``rounds``); the config with dotted names
    (``optim.lr``); the metrics by name (``bits_per_byte``); and ``accounting.*``, ``cost.*`` and ``provenance.*`` with
    dotted names. What a run lacks is missing (NaN or None). Lists and mappings are for reading: rows may share them.

    Args:
        roots: folders of runs; those with many are read through an index (`tinylm.report.records.index`).
        keys: read these runs only; None reads all.

    ``frame.attrs["warnings"]`` names the records that could not be read; they are left out.

    Example: ``collect("runs", "analysis/results/depth_width/runs")``

    Raises:
        UserError: a root does not exist.
    """
    warnings: list[str] = []

    def read(folder: Path) -> dict[str, Any] | None:
        try:
            return _row(RunRecord.read(folder))
        except FileNotFoundError:
            return None
        except (UserError, OSError) as error:
            warnings.append(f"left out: {error}")
            return None

    parts: list[tuple[Columns, int]] = []
    for root in roots:
        if keys is None:
            found = rows(Path(root), list(run_folders(root)), read)
        else:
            found = columns([row for folder in named_folders(root, keys) if (row := read(folder)) is not None])
        number = len(found["key"]) if found else 0
        parts.append((found | {"root": columns([{"root": str(root)}] * number)["root"]} if number else {}, number))
    whole = joined(parts)
    if not whole:
        frame = pd.DataFrame(columns=["key", "config", "status", "seed", "root", "sweeps", "warnings", "error"])
    else:
        best = _best(whole["key"].tolist(), whole["status"].tolist())
        frame = pd.DataFrame({name: _series(values[best]) for name, values in whole.items()})
    frame.attrs["warnings"] = warnings
    return frame


def run_folders(root: str | Path) -> Iterator[Path]:
    """The folders of a root that hold an ended run, by name.

    Raises:
        UserError: the root does not exist.
    """
    if not Path(root).is_dir():
        raise _no_root(root)
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    for name in names:
        folder = Path(root) / name
        if (folder / "record.json").is_file():
            yield folder


def named_folders(root: str | Path, keys: Collection[str]) -> Iterator[Path]:
    """As `run_folders`, of these keys alone: the others are not even looked at.

    Raises:
        UserError: the root does not exist.
    """
    if not Path(root).is_dir():
        raise _no_root(root)
    for key in sorted(keys):
        if (Path(root) / key / "record.json").is_file():
            yield Path(root) / key


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted names; lists stay values.

    Example: ``flatten({"a": {"b": 1}}) == {"a.b": 1}``
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _no_root(root: str | Path) -> UserError:
    return UserError(f"{root}: no such folder of runs; name one with --root")


def _series(values: np.ndarray) -> pd.Series:
    """Objects get the type that pandas finds for them, such as text."""
    return pd.Series(values.tolist() if values.dtype == object else values)


def _best(keys: Sequence[str], statuses: Sequence[str]) -> list[int]:
    """The rows to keep: of each key the copy that got furthest, in the order in which keys turn up."""
    kept: dict[str, int] = {}
    for row, (key, status) in enumerate(zip(keys, statuses, strict=True)):
        known = kept.get(key)
        if known is None or _PROGRESS.get(status, 3) < _PROGRESS.get(statuses[known], 3):
            kept[key] = row
    return list(kept.values())


def _row(record: RunRecord) -> dict[str, Any]:
    config = {key: value for key, value in record.config.items() if key not in _LEFT_OUT}
    return {
        "key": record.key,
        "config": config,
        "status": record.status,
        **record.choices,
        **flatten(config),
        **record.metrics,
        **flatten(record.accounting, "accounting."),
        **flatten(record.cost, "cost."),
        **flatten(record.provenance, "provenance."),
        "seed": record.config.get("seed"),
        "sweeps": record.sweeps,
        "warnings": record.warnings,
        "error": record.error,
        "reviews": record.rounds,
    }
