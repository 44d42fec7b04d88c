"""Histories of runs as one long table."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from tinylm.report.records.collect import named_folders, run_folders

COLUMNS = ["key", "root", "round", "step", "tokens", "name", "value"]
_INDEX = ("round", "step", "tokens")


def history(*roots: str | Path, keys: Collection[str] | None = None) -> pd.DataFrame:
    """One row a number that a run logged: key, root, round, step, tokens, name, value.

    Join it with ``collect`` on ``key`` for everything else about the run. Names are those of the history's lines:
    ``loss`` (nats a token), ``learning_rate``, ``gradient_norm``, ``tune_bits_per_byte``, ``bytes``, ``flops``,
    ``seconds``, ...

    Args:
        roots: folders of runs; a key found in two of them counts once, from the first that has its history.
        keys: read these runs only; None reads all.

    ``frame.attrs["warnings"]`` names the lines that could not be read; they are left out.

    Raises:
        UserError: a root does not exist.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    warnings: list[str] = []
    seen: set[str] = set()
    for root in roots:
        for folder in run_folders(root) if keys is None else named_folders(root, keys):
            path = folder / "history.jsonl"
            if folder.name in seen or not path.is_file():
                continue
            seen.add(folder.name)
            for line in read_history(path, warnings):
                for name, value in line.items():
                    if name in _INDEX or not isinstance(value, int | float) or not math.isfinite(value):
                        continue
                    columns["key"].append(folder.name)
                    columns["root"].append(str(root))
                    columns["round"].append(line.get("round", 0))
                    columns["step"].append(line.get("step"))
                    columns["tokens"].append(line.get("tokens"))
                    columns["name"].append(name)
                    columns["value"].append(float(value))
    frame = pd.DataFrame(columns)
    frame.attrs["warnings"] = warnings
    return frame


def read_history(path: Path, warnings: list[str]) -> list[dict[str, Any]]:
    """The lines of one ``history.jsonl``; those that are not whole are left out and named in ``warnings``."""
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            line = json.loads(text)
            line.get("step")
        except (ValueError, AttributeError):
            warnings.append(f"left out {path}:{number}: the line is not whole")
            continue
        lines.append(line)
    return lines
