"""Numbers of a run whose names end in a number, over that number: a thin line a run, a bold one for an arm's mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tinylm.report.figures.style import MUTED, dash, marker


def numbered(runs: pd.DataFrame, stem: str) -> tuple[pd.DataFrame, dict[int, str]] | None:
    """The runs that have any ``<stem>_<number>``, each once, and the columns by their numbers; None where none has.

    A run that serves several arms (a baseline) counts for the first; parents come last.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    found = {int(match[1]): str(name) for name in runs if (match := re.fullmatch(rf"{stem}_(\d+)", str(name)))}
    columns = {number: found[number] for number in sorted(found)}
    if not columns:
        return None
    arms_first = runs.sort_values("stage", key=lambda stage: stage == "parent", kind="stable")
    drawn = arms_first[arms_first[list(columns.values())].notna().any(axis=1)].drop_duplicates("key")
    return None if drawn.empty else (drawn, columns)


def trace(
    axes: Axes, runs: pd.DataFrame, columns: Sequence[str], at: np.ndarray, colours: Mapping[str, str]
) -> list[tuple[float, float, str, str]]:
    """Draw the columns over the places ``at``; of each arm's mean the last point, the label and the colour.

    Parents that are no arm's run are grey and dashed. A mean is drawn where all runs of the arm have the number.
    """
    ends: list[tuple[float, float, str, str]] = []
    for arm, own in runs.groupby("arm", sort=False):
        elders = bool((own["stage"] == "parent").all())
        ink = MUTED if elders else colours[str(arm)]
        values = own[list(columns)].to_numpy(float)
        for row in values:
            axes.plot(at, row, color=ink, linewidth=0.7, alpha=0.5, marker=marker(ink, "o"), markersize=2)
        known = np.isfinite(values).all(axis=0)
        mean = values[:, known].mean(axis=0)
        line = "--" if elders else dash(ink)
        axes.plot(at[known], mean, line, color=ink, linewidth=1.9, marker=marker(ink, "o"), markersize=4)
        if known.any():
            ends.append((float(at[known][-1]), float(mean[-1]), str(own["label"].iloc[0]), ink))
    return ends
