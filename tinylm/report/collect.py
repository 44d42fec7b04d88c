"""Runs as a table: one row a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tinylm.errors import UserError
from tinylm.record import RunRecord

# A key may lie in two roots (its own and an archive): the copy that got further counts, then the earlier root.
_PROGRESS = {"done": 0, "diverged": 1, "failed": 2}
# Parts of a config that tell where a run was started from, not what it is, and are large.
_LEFT_OUT = ("claim", "hydra")


def collect(*roots: str | Path) -> pd.DataFrame:
    """One row a run that ended.

    Columns: ``key``, ``status``, ``seed``, ``root``, ``sweeps``, ``warnings``, ``error``, ``reviews`` (the record's
    rounds); ``config`` as a mapping; the chosen options (``model/ffn``, ``rounds``); the config with dotted names
    (``optim.lr``); the metrics by name (``bits_per_byte``); and ``accounting.*``, ``cost.*`` and ``provenance.*`` with
    dotted names. What a run lacks is missing (NaN or None).

    ``frame.attrs["warnings"]`` names the records that could not be read; they are left out.

    Example: ``collect("runs", "analysis/results/depth_width/runs")``

    Raises:
        UserError: a root does not exist.
    """
    rows: dict[str, dict[str, Any]] = {}
    warnings: list[str] = []
    for root in roots:
        for folder in run_folders(root):
            try:
                record = RunRecord.read(folder)
            except FileNotFoundError:
                continue
            except (UserError, OSError) as error:
                warnings.append(f"left out: {error}")
                continue
            known = rows.get(record.key)
            if known is None or _PROGRESS.get(record.status, 3) < _PROGRESS.get(known["status"], 3):
                rows[record.key] = _row(record, str(root))
    frame = pd.DataFrame(list(rows.values()))
    if frame.empty:
        frame = pd.DataFrame(columns=["key", "config", "status", "seed", "root", "sweeps", "warnings", "error"])
    frame.attrs["warnings"] = warnings
    return frame


def run_folders(root: str | Path) -> Iterator[Path]:
    """The folders of a root that hold an ended run, by name.

    Raises:
        UserError: the root does not exist.
    """
    if not Path(root).is_dir():
        raise UserError(f"{root}: no such folder of runs; name one with --root")
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    for name in names:
        folder = Path(root) / name
        if (folder / "record.json").is_file():
            yield folder


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


def _row(record: RunRecord, root: str) -> dict[str, Any]:
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
        "root": root,
        "sweeps": record.sweeps,
        "warnings": record.warnings,
        "error": record.error,
        "reviews": record.rounds,
    }
