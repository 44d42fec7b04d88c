"""Quality against the time a generated token takes, with the front that no other arm beats on both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tinylm.report.figures.style import MANY, MUTED, grid, style
from tinylm.report.wording import unit

# With and without a cache of keys and values; a program measures one of them.
LATENCIES = {"decode_ms_per_token": "", "decode_ms_per_token_uncached": ", without a cache"}


def pareto(
    runs: pd.DataFrame, metric: str, direction: Literal["lower", "higher"], colours: Mapping[str, str]
) -> Figure | None:
    """Every compared run a dot, every arm's mean a diamond, the front of the means a line; None without latencies.

    Args:
        runs: of `tinylm.report.arms.by_arm`.
        metric, direction: the claim's.
    """
    latency = next((name for name in LATENCIES if name in runs), None)
    if latency is None or metric not in runs:
        return None
    done = runs[(runs["stage"] == "compare") & runs[metric].notna() & runs[latency].notna()]
    if done["arm"].nunique() < 2:
        return None
    means = done.groupby("arm", sort=False).agg({latency: "mean", metric: "mean", "label": "first"})
    best = front(means[latency].to_numpy(float), means[metric].to_numpy(float), direction)
    with style():
        figure = Figure(figsize=(5.4, 3.5), layout="constrained")
        axes = figure.add_subplot()
        line = means.iloc[best]
        axes.plot(line[latency], line[metric], color=MUTED, linewidth=1.2, drawstyle="steps-post", zorder=2)
        for arm, own in done.groupby("arm", sort=False):
            axes.scatter(own[latency], own[metric], s=15, color=colours[str(arm)], alpha=0.5, linewidths=0, zorder=3)
        for rank, (name, row) in enumerate(means.iterrows()):
            on = rank in best
            ink = colours[str(name)]
            axes.plot(
                [row[latency]],
                [row[metric]],
                marker="D",
                markersize=6.5,
                color=ink,
                markerfacecolor=ink if on else "white",
                markeredgewidth=1.3,
                zorder=4,
            )
        axes.set_xlabel(f"milliseconds a generated token{LATENCIES[latency]}")
        axes.set_ylabel(unit(metric))
        axes.margins(x=0.16, y=0.12)
        grid(axes, "both")
        below = direction == "lower"
        for rank, (name, row) in enumerate(means.iterrows()):
            if rank not in best and len(means) > MANY:
                continue
            # Names of the front stand on its empty side, where no arm and no line is.
            corner = (-6, -5 if below else 5) if rank in best else (7, 6 if below else -6)
            axes.annotate(
                str(row["label"]),
                xy=(row[latency], row[metric]),
                xytext=corner,
                textcoords="offset points",
                ha="right" if rank in best else "left",
                va="top" if below == (rank in best) else "bottom",
                color=colours[str(name)],
                fontsize=8.5,
                fontweight="bold",
                annotation_clip=False,
            )
    return figure


def front(cost: np.ndarray, score: np.ndarray, direction: Literal["lower", "higher"]) -> list[int]:
    """Which points no other beats on both, by rising cost."""
    sign = 1 if direction == "lower" else -1
    order = np.lexsort((sign * score, cost))
    found: list[int] = []
    for rank in order:
        if not found or sign * score[rank] < sign * score[found[-1]]:
            found.append(int(rank))
    return found
