"""How the properties of drawn arms go with quality, and with one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinylm.report.figures.style import FAINT, INK, MUTED, PALETTE, grid, style
from tinylm.report.judgement.wording import signed, unit


def properties(arms: pd.DataFrame, names: Sequence[str], metric: str) -> Figure | None:
    """The metric over each property, an arm a point; None without properties.

    Args:
        arms: a row an arm: the properties, then the metric.
        names: how readers call the properties, in the columns' order.
    """
    if not names:
        return None
    with style():
        figure = Figure(figsize=(0.9 + 2.5 * len(names), 2.9), layout="constrained")
        first: Axes | None = None
        for index, name in enumerate(names):
            axes = figure.add_subplot(1, len(names), index + 1, sharey=first)
            first = first or axes
            x, y = arms.iloc[:, index].to_numpy(float), arms[metric].to_numpy(float)
            axes.scatter(x, y, s=26, color=PALETTE[0], alpha=0.7, linewidths=0, zorder=3)
            axes.set_xlabel(name)
            axes.tick_params(labelleft=index == 0)
            axes.margins(x=0.08, y=0.08)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=bool((x == np.round(x)).all())))
            grid(axes, "both")
        assert first is not None
        first.set_ylabel(unit(metric))
    return figure


def correlations(matrix: pd.DataFrame) -> Figure | None:
    """Rank correlations of the arms' properties and their quality, each cell with its number; None below two."""
    size = len(matrix)
    if size < 2:
        return None
    names = [str(name) for name in matrix.columns]
    with style():
        figure = Figure(figsize=(2.0 + 0.85 * size, 1.1 + 0.62 * size), layout="constrained")
        axes = figure.add_subplot()
        values = matrix.to_numpy(float)
        # Orange to blue through white: told apart by colour-blind readers, and the number says the rest.
        for row in range(size):
            for column in range(size):
                value = values[row, column]
                ink = FAINT if row == column else PALETTE[0] if value > 0 else PALETTE[1]
                strength = 0.35 if row == column else min(1.0, abs(value)) * 0.85
                axes.fill_between([column, column + 1], size - 1 - row, size - row, color=ink, alpha=strength, lw=0)
                axes.annotate(
                    "1" if row == column else signed(value, 2),
                    xy=(column + 0.5, size - row - 0.5),
                    ha="center",
                    va="center",
                    color=MUTED if row == column else "white" if abs(value) > 0.65 else INK,
                    fontweight="normal" if row == column else "bold",
                )
        axes.set_xlim(0, size)
        axes.set_ylim(0, size)
        axes.set_xticks(np.arange(size) + 0.5, names)
        axes.set_yticks(np.arange(size) + 0.5, names[::-1])
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=5)
        for side in axes.spines.values():
            side.set_visible(False)
    return figure
