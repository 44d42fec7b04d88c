"""What evaluators say of each document or part: the tables beside the records."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tinylm.errors import UserError
from tinylm.report.statistics.documents import ITEMS, read_table


def items(runs: pd.DataFrame, evaluator: str) -> pd.DataFrame:
    """The rows of one evaluator in the tables of these runs, with the run's ``key``; empty where no run has any.

    A table that is not whole is left out.

    Args:
        runs: of `tinylm.report.records.collect.collect`.
        evaluator: the name of one, as in the column ``evaluator``.
    """
    parts = []
    for key, root in runs[["key", "root"]].dropna().drop_duplicates("key").itertuples(index=False):
        path = Path(root) / key / ITEMS
        if path.is_file():
            try:
                table = read_table(path, evaluator)
            except UserError:
                continue  # the report's warnings name it
            parts.append(table.dropna(axis="columns", how="all").assign(key=key))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"key": []})
