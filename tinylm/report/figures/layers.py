"""A number a layer of each run: what skipping it costs, how many dimensions its features fill."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinylm.report.figures.numbered import numbered, trace
from tinylm.report.figures.style import MUTED, grid, label_ends, style


def by_layer(runs: pd.DataFrame, stem: str, title: str, colours: Mapping[str, str]) -> Figure | None:
    """An arm's ``<stem>_00``, ``<stem>_01``, ... over the layers; see `tinylm.report.figures.numbered`.

    Shapes of different depth share the axis by their layers' number. None where no run has such numbers.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`; all stages count.
        stem: the scalars' common name.
        title: what they are, with the unit.
    """
    found = numbered(runs, stem)
    if found is None:
        return None
    drawn, columns = found
    with style():
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.add_subplot()
        ends = trace(axes, drawn, list(columns.values()), np.array(list(columns)), colours)
        if np.nanmin(drawn[list(columns.values())].to_numpy(float)) < 0:
            axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_title(title)
        axes.set_xlabel("layer, from the first (0) on")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.03, y=0.08)
        grid(axes)
        label_ends(axes, ends)
    return figure
