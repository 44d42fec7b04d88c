"""A number for each length of text, or of the way back in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tinylm.report.figures.numbered import numbered, trace
from tinylm.report.figures.style import MUTED, grid, label_ends, style


def by_length(
    runs: pd.DataFrame, stem: str, title: str, axis: str, colours: Mapping[str, str], chance: str | None = None
) -> Figure | None:
    """An arm's ``<stem>_0008``, ``<stem>_0016``, ... over the lengths; see `tinylm.report.figures.numbered`.

    Lengths stand evenly, whatever they are, as they mostly double. None where no run has such numbers.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
        stem: the scalars' common name.
        title: what they are, with the unit.
        axis: what a length is.
        chance: column of what guessing would reach, drawn where the runs have one value of it.
    """
    found = numbered(runs, stem)
    if found is None:
        return None
    drawn, columns = found
    at = np.arange(len(columns), dtype=float)
    with style():
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.add_subplot()
        ends = trace(axes, drawn, list(columns.values()), at, colours)
        if chance in drawn and drawn[chance].nunique() == 1:
            level = float(drawn[chance].dropna().iloc[0])
            axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=":")
            axes.annotate("chance", (0, level), xytext=(0, 3), textcoords="offset points", color=MUTED, fontsize=8)
        axes.set_title(title)
        axes.set_xlabel(axis)
        axes.set_xticks(at, [str(length) for length in columns])
        axes.margins(x=0.03, y=0.08)
        grid(axes)
        label_ends(axes, ends)
    return figure
