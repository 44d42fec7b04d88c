"""What evaluators say of each document or part: the tables beside the records."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tinylm.report.statistics.documents import read_table

NAME = "items.parquet"


def items(runs: pd.DataFrame, evaluator: str) -> pd.DataFrame:
    """The rows of one evaluator in the tables of these runs, with the run's ``key``; empty where no run has any.

    Args:
        runs: of `tinylm.report.records.collect.collect`.
        evaluator: the name of one, as in the column ``evaluator``.

    Raises:
        UserError: a table is not whole.
    """
    parts = []
    for key, root in runs[["key", "root"]].dropna().drop_duplicates("key").itertuples(index=False):
        path = Path(root) / key / NAME
        if path.is_file():
            table = read_table(path)
            table = table[table["evaluator"] == evaluator]
            parts.append(table.dropna(axis="columns", how="all").assign(key=key))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"key": []})
