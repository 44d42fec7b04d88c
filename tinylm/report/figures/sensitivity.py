"""What tuning saw: the tuning metric over each grid, arm by arm, the chosen value ringed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tinylm.report.claim import Claim
from tinylm.report.figures.style import MUTED, grid, label_right, style
from tinylm.report.wording import unit


def sensitivity(runs: pd.DataFrame, claim: Claim, colours: Mapping[str, str]) -> Figure | None:
    """A panel a tuned key; where several are tuned, each value at its best over the others. None without tuning.

    Diverged settings are crosses at the upper edge.
    """
    if claim.tune is None or claim.tune.metric not in runs:
        return None
    tuned = runs[runs["stage"] == "tune"]
    if tuned.empty or tuned[claim.tune.metric].isna().all():
        return None
    keys = list(claim.tune.params)
    with style():
        figure = Figure(figsize=(4.6 * len(keys), 3.2), layout="constrained")
        for index, key in enumerate(keys):
            axes = figure.add_subplot(1, len(keys), index + 1)
            _panel(axes, tuned, key, claim.tune.params[key], claim, colours)
            axes.set_xlabel(key)
            axes.set_title(unit(claim.tune.metric))
    return figure


def _panel(
    axes: Axes, tuned: pd.DataFrame, key: str, values: list[Any], claim: Claim, colours: Mapping[str, str]
) -> None:
    assert claim.tune is not None
    metric, better = claim.tune.metric, "min" if claim.tune.direction == "lower" else "max"
    places = _places(axes, values)
    ends: list[tuple[float, str, str]] = []
    lost: list[tuple[float, str]] = []
    for arm, own in tuned.groupby("arm", sort=False):
        ink = colours[str(arm)]
        own = own.assign(place=[places[str(params.get(key))] for params in own["params"]])
        lost += [(place, ink) for place in own.loc[own["status"] == "diverged", "place"]]
        scored = own.dropna(subset=[metric])
        if scored.empty:
            continue
        axes.scatter(scored["place"], scored[metric], s=13, color=ink, alpha=0.45, linewidths=0, zorder=3)
        settings = scored.assign(setting=[str(params) for params in scored["params"]])
        means = settings.groupby(["place", "setting"])[metric].mean().groupby("place").agg(better)
        axes.plot(means.index, means, color=ink, linewidth=1.6)
        rank = int(means.argmin()) if better == "min" else int(means.argmax())
        axes.plot(
            [float(means.index[rank])],
            [float(means.iloc[rank])],
            "o",
            markersize=9,
            markerfacecolor="none",
            color=ink,
            markeredgewidth=1.6,
        )
        ends.append((float(means.iloc[-1]), str(own["label"].iloc[0]), ink))
    axes.margins(x=0.08, y=0.1)
    for place, ink in lost:
        axes.plot([place], [0.97], "x", color=ink, transform=axes.get_xaxis_transform(), markersize=7)
    if lost:
        axes.annotate(
            "× diverged",
            xy=(0.0, 0.97),
            xycoords="axes fraction",
            xytext=(4, 0),
            color=MUTED,
            fontsize=7.5,
            textcoords="offset points",
            va="center",
        )
    grid(axes)
    label_right(axes, [end[0] for end in ends], [end[1] for end in ends], [end[2] for end in ends])


def _places(axes: Axes, values: list[Any]) -> dict[str, float]:
    """Value -> place on the axis: its number (logarithmic where all are positive), or its rank for names."""
    if all(type(value) in (int, float) for value in values):
        if min(values) > 0:
            axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks([float(value) for value in values], [f"{value:g}" for value in values])
        return {str(value): float(value) for value in values}
    axes.set_xticks(range(len(values)), [str(value) for value in values])
    return {str(value): float(rank) for rank, value in enumerate(values)}
