"""Quality against what using a model costs, with the front that no other arm beats on both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinylm.report.figures.style import MANY, MUTED, glyph, grid, marker, style
from tinylm.report.judgement.wording import unit
from tinylm.report.records.arms import once

# What a phone pays, each a panel: column -> its axis. Of several names in a row the first that runs have is drawn:
# records from before there was a cache tell the time without it.
COSTS = (
    {
        "decode_ms_per_token": "milliseconds a generated token",
        "decode_ms_per_token_uncached": "milliseconds a generated token, without a cache",
    },
    {"time_to_first_token_ms": "milliseconds to the first token"},
    {"decode_peak_mib": "MiB at the peak of generation"},
    {"model_mib_int8": "MiB of weights in int8"},
)
ALIKE = 0.03  # arms whose costs differ by less have no front
COLUMNS = 2


def pareto(
    runs: pd.DataFrame, metric: str, direction: Literal["lower", "higher"], colours: Mapping[str, str]
) -> Figure | None:
    """Every compared run a dot, every arm's mean a diamond, the front of the means a line; None without such costs.

    None, too, where the claim is about one of them: nothing is paid for with it.

    A panel for each cost in which arms differ. Weights in int8 are set against bits per byte in int8 where the claim
    is about bits per byte and runs tell them.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
        metric, direction: the claim's.
    """
    if any(metric in names for names in COSTS):  # a claim about such a cost: nothing is paid for with it
        return None
    compared = once(runs)
    panels = []
    for names in COSTS:
        for cost, axis in names.items():
            rounded = cost == "model_mib_int8" and metric == "bits_per_byte" and _told(compared, "int8_bits_per_byte")
            score = "int8_bits_per_byte" if rounded else metric
            done = compared.dropna(subset=[cost, score]) if {cost, score} <= set(compared) else compared[:0]
            if done["arm"].nunique() > 1:
                means = done.groupby("arm", sort=False)[cost].mean()
                if len(names) > 1 or means.max() > (1 + ALIKE) * means.min():
                    panels.append((done, cost, score, axis))
                break
    if not panels:
        return None
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with style():
        size = (5.4, 3.5) if len(panels) == 1 else (4.4 * columns, 3.2 * rows)
        figure = Figure(figsize=size, layout="constrained")
        for place, (done, cost, score, axis) in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, columns, place)
            _panel(axes, done, cost, score, direction, colours)
            axes.set_xlabel(axis)
            axes.set_ylabel(unit(score))
    return figure


def _told(runs: pd.DataFrame, column: str) -> bool:
    return column in runs and runs.loc[runs[column].notna(), "arm"].nunique() > 1


def _panel(
    axes: Axes,
    done: pd.DataFrame,
    cost: str,
    score: str,
    direction: Literal["lower", "higher"],
    colours: Mapping[str, str],
) -> None:
    means = done.groupby("arm", sort=False).agg({cost: "mean", score: "mean", "label": "first"})
    best = front(means[cost].to_numpy(float), means[score].to_numpy(float), direction)
    line = means.iloc[best]
    axes.plot(line[cost], line[score], color=MUTED, linewidth=1.2, drawstyle="steps-post", zorder=2)
    for arm, own in done.groupby("arm", sort=False):
        ink = colours[str(arm)]
        axes.scatter(own[cost], own[score], s=15, color=ink, marker=marker(ink, "o"), alpha=0.5, linewidths=0, zorder=3)
    for rank, (name, row) in enumerate(means.iterrows()):
        ink = colours[str(name)]
        shape = marker(ink, "D")
        axes.plot(
            [row[cost]],
            [row[score]],
            marker=shape,
            markersize=6.5 if shape == "D" else 8,
            color=ink,
            markerfacecolor=ink if rank in best else "white",
            markeredgewidth=1.3,
            zorder=4,
        )
    axes.margins(x=0.26, y=0.12)
    grid(axes, "both")
    below = direction == "lower"
    for rank, (name, row) in enumerate(means.iterrows()):
        if rank not in best and len(means) > MANY:
            continue
        # Names of the front stand on its empty side, where no arm and no line is.
        corner = (-6, -5 if below else 5) if rank in best else (7, 6 if below else -6)
        axes.annotate(
            glyph(colours[str(name)]) + str(row["label"]),
            xy=(row[cost], row[score]),
            xytext=corner,
            textcoords="offset points",
            ha="right" if rank in best else "left",
            va="top" if below == (rank in best) else "bottom",
            color=colours[str(name)],
            fontsize=8.5,
            fontweight="bold",
            annotation_clip=False,
        )


def front(cost: np.ndarray, score: np.ndarray, direction: Literal["lower", "higher"]) -> list[int]:
    """Which points no other beats on both, by rising cost."""
    sign = 1 if direction == "lower" else -1
    order = np.lexsort((sign * score, cost))
    found: list[int] = []
    for rank in order:
        if not found or sign * score[rank] < sign * score[found[-1]]:
            found.append(int(rank))
    return found
