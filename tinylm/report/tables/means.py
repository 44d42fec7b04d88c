"""Means of numbers over each arm's ended runs, as a table to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from tinylm.report.records.arms import once

# Number -> its column, and how it is written.
Columns = Mapping[str, tuple[str, Callable[[float], str]]]


def of_column(own: pd.DataFrame, name: str) -> float:
    """The mean of the frame's column of that name; NaN where it has none."""
    return float(pd.to_numeric(own[name]).mean()) if name in own else float("nan")


def means_table(
    runs: pd.DataFrame, columns: Columns, mean: Callable[[pd.DataFrame, str], float] = of_column
) -> pd.DataFrame:
    """A row an arm that has any of the numbers, a column each number that any arm has; empty where no run has one.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
        columns: in the order of the table.
        mean: of an arm's ended runs and a number's name.
    """
    compared = once(runs)
    done = compared[compared["status"] == "done"]
    rows = []
    for _, own in done.groupby("arm", sort=False):
        means = {name: mean(own, name) for name in columns}
        cells = {columns[name][0]: columns[name][1](value) for name, value in means.items() if pd.notna(value)}
        if cells:
            rows.append({"arm": str(own["label"].iloc[0]), **cells})
    order = ["arm", *(title for title, _ in columns.values() if any(title in row for row in rows))]
    return pd.DataFrame(rows, columns=order if rows else None).fillna("–")
