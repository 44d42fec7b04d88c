"""A sweep's runs as they are: every number as CSV, and what they ran on."""

from __future__ import annotations

import json

import pandas as pd

from tinylm.report.claims.portable import portable


def surroundings(runs: pd.DataFrame) -> dict[str, str]:
    """What the runs ran on and with: each fact's values, several where the runs differ."""
    found = {}
    for column in sorted(map(str, runs.columns)):
        name = column.removeprefix("provenance.")
        if name in ("processor", "gpu", "threads", "precision", "code", "python", "system", "cores") or name.startswith(
            "packages."
        ):
            values = sorted({str(value) for value in runs[column].dropna()})
            if values and column != name:
                told = "tinylm, with a hash of its source" if name == "code" else name.removeprefix("packages.")
                found[told] = ", ".join(values)
    return found


def as_csv(placed: pd.DataFrame) -> str:
    """All numbers of all runs; lists and mappings as JSON; no folder of this machine, since tables are passed on."""
    flat = placed.drop(columns=["config", "root"], errors="ignore")
    for column in flat.select_dtypes(exclude="number").columns:
        flat[column] = [
            json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value
            for value in portable(list(flat[column]))
        ]
    return str(flat.to_csv(index=False))
