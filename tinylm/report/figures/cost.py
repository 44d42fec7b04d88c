"""Quality against what it cost: parameters, FLOPs and seconds; every seed a point, their mean hollow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tinylm.report.figures.style import grid, label_right, logarithmic, marker, style
from tinylm.report.judgement.wording import amount, unit
from tinylm.report.records.arms import once

_PANELS = (
    ("accounting.parameters.total", "parameters"),
    ("cost.flops", "training FLOPs"),
    ("cost.seconds", "seconds of training"),
)
_EQUAL_WITHIN = 0.02  # arms whose cost differs by less stand side by side, for their points would hide one another


def quality(runs: pd.DataFrame, metric: str, colours: Mapping[str, str]) -> Figure | None:
    """A panel a cost, the metric on a shared axis; None where no compared run has a number.

    Args: as in `learning_curves`; ``metric`` is the claim's.
    """
    if metric not in runs:
        return None
    done = once(runs)
    done = done[done[metric].notna()]
    panels = [panel for panel in _PANELS if panel[0] in done and done[panel[0]].notna().any()]
    if done.empty or not panels:
        return None
    with style():
        figure = Figure(figsize=(1.0 + 2.7 * len(panels), 3.1), layout="constrained")
        first: Axes | None = None
        for index, (column, title) in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), index + 1, sharey=first)
            first = first or axes
            spent = done.dropna(subset=[column])
            values = spent[column].to_numpy(float)
            alike = bool(values.max() - values.min() <= _EQUAL_WITHIN * values.max())
            for place, (arm, own) in enumerate(spent.groupby("arm", sort=False)):
                at = np.full(len(own), float(place)) if alike else own[column].to_numpy(float)
                _points(axes, at, own[metric].to_numpy(float), colours[str(arm)])
            if alike:
                axes.set_xticks([])
                axes.margins(x=0.15)
                about = "about " if values.min() < values.max() else ""
                axes.set_xlabel(f"{title}:\n{about}{amount(float(values.mean()))} in every arm")
            else:
                axes.set_xlabel(title + " (logarithmic)" * _scale(axes, values))
            grid(axes, "both")
            axes.tick_params(labelleft=index == 0)
        assert first is not None
        first.set_ylabel(unit(metric))
        first.margins(y=0.1)
        means = done.groupby("arm", sort=False).agg({metric: "mean", "label": "first"})
        label_right(
            figure.axes[-1],
            means[metric].tolist(),
            means["label"].tolist(),
            [colours[str(arm)] for arm in means.index],
        )
    return figure


def _points(axes: Axes, cost: np.ndarray, scores: np.ndarray, ink: str) -> None:
    shape = marker(ink, "D")
    axes.scatter(cost, scores, s=16, color=ink, marker=marker(ink, "o"), alpha=0.5, linewidths=0, zorder=3)
    axes.plot(
        [cost.mean()],
        [scores.mean()],
        marker=shape,
        markersize=7 if shape == "D" else 9,  # a diamond stands on its corner
        color=ink,
        markerfacecolor="none",  # the seeds behind a mean show through it
        markeredgewidth=1.4,
        zorder=4,
    )


def _scale(axes: Axes, values: np.ndarray) -> bool:
    """Fit the axis of x to a cost; whether it is logarithmic now."""
    low, high = float(values.min()), float(values.max())
    widely = logarithmic(axes, low, high)
    if not widely:
        room = (high - low) * 0.15
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))
    return widely
