"""Scores per document, as a parquet table beside the record."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

NAME = "items.parquet"


def write_items(folder: Path, tables: Mapping[str, Mapping[str, list[Any]]]) -> str | None:
    """Write what the evaluators say of each document, atomically; the file's name, or None where they say nothing.

    Args:
        tables: evaluator -> column -> a value a document. The column ``evaluator`` tells them apart.
    """
    if not tables:
        return None
    parts = [
        pyarrow.table({"evaluator": [name] * len(next(iter(columns.values()), [])), **columns})
        for name, columns in tables.items()
    ]
    unfinished = folder / f".{NAME}"
    parquet.write_table(pyarrow.concat_tables(parts, promote_options="default"), unfinished)
    os.replace(unfinished, folder / NAME)
    return NAME
