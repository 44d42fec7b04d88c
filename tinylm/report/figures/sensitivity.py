"""What tuning saw: the tuning metric over each grid, arm by arm, the chosen value ringed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim
from tinylm.report.figures.style import MUTED, dash, grid, label_right, marker, style
from tinylm.report.judgement.tuning import Trial, choose
from tinylm.report.judgement.wording import unit


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
    chosen = _chosen(runs, claim)
    with style():
        figure = Figure(figsize=(4.6 * len(keys), 3.2), layout="constrained")
        for index, key in enumerate(keys):
            axes = figure.add_subplot(1, len(keys), index + 1)
            _panel(axes, tuned, key, claim.tune.params[key], claim, colours, chosen)
            axes.set_xlabel(key)
            axes.set_title(unit(claim.tune.metric))
    return figure


def _chosen(runs: pd.DataFrame, claim: Claim) -> dict[str, dict[str, Any]]:
    """Arm -> what its compared runs use, else what tuning chooses; arms that have neither are left out."""
    assert claim.tune is not None
    found = {}
    for arm, own in runs.groupby("arm", sort=False):
        used = [dict(params) for params in own.loc[own["stage"] == "compare", "params"]]
        if used and used[0] and all(params == used[0] for params in used):
            found[str(arm)] = used[0]
            continue
        trials = [
            Trial(row["params"], row["seed"], row[claim.tune.metric] if row["status"] == "done" else None)
            for row in own[own["stage"] == "tune"].to_dict("records")
        ]
        with contextlib.suppress(UserError):  # no setting ended well on all seeds
            found[str(arm)] = choose(trials, claim.tune.direction, str(arm))
    return found


def _panel(
    axes: Axes,
    tuned: pd.DataFrame,
    key: str,
    values: list[Any],
    claim: Claim,
    colours: Mapping[str, str],
    chosen: Mapping[str, Mapping[str, Any]],
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
        own_marker = marker(ink, "o")
        axes.scatter(
            scored["place"], scored[metric], s=13, color=ink, marker=own_marker, alpha=0.45, linewidths=0, zorder=3
        )
        settings = scored.assign(setting=[str(params) for params in scored["params"]])
        means = settings.groupby(["place", "setting"])[metric].mean().groupby("place").agg(better)
        axes.plot(means.index, means, dash(ink), color=ink, linewidth=1.6)
        ringed = settings[[params == chosen.get(str(arm)) for params in settings["params"]]]
        if not ringed.empty:
            axes.plot(
                [float(ringed["place"].iloc[0])],
                [float(ringed[metric].mean())],
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
