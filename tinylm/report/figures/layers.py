"""A number a layer of each run: what skipping it costs, how many dimensions its features fill."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinylm.report.figures.style import MUTED, grid, label_right, style


def by_layer(runs: pd.DataFrame, stem: str, title: str, colours: Mapping[str, str]) -> Figure | None:
    """An arm's ``<stem>_00``, ``<stem>_01``, ... over the layers: every seed a thin line, the mean a bold one.

    A run that serves several arms (a baseline) is drawn once, in the colour of the first; parents that are no arm's
    run are grey and dashed. Shapes of different depth share the axis by their layers' number. None where no run has
    such numbers.

    Args:
        runs: of `tinylm.report.arms.by_arm`; all stages count.
        stem: the scalars' common name.
        title: what they are, with the unit.
    """
    found = {int(match[1]): str(name) for name in runs if (match := re.fullmatch(rf"{stem}_(\d+)", str(name)))}
    columns = [found[layer] for layer in sorted(found)]
    if not columns:
        return None
    arms_first = runs.sort_values("stage", key=lambda stage: stage == "parent", kind="stable")
    drawn = arms_first[arms_first[columns].notna().any(axis=1)].drop_duplicates("key")
    if drawn.empty:
        return None
    layers = np.array(sorted(found))
    with style():
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.add_subplot()
        ends: list[tuple[float, str, str]] = []
        for arm, own in drawn.groupby("arm", sort=False):
            elders = bool((own["stage"] == "parent").all())
            ink = MUTED if elders else colours[str(arm)]
            values = own[columns].to_numpy(float)
            for row in values:
                axes.plot(layers, row, color=ink, linewidth=0.7, alpha=0.5, marker="o", markersize=2)
            known = np.isfinite(values).all(axis=0)
            mean = values[:, known].mean(axis=0)
            axes.plot(
                layers[known],
                mean,
                color=ink,
                linewidth=1.9,
                marker="o",
                markersize=4,
                linestyle="--" if elders else "-",
            )
            ends.append((float(mean[-1]), str(own["label"].iloc[0]), ink))
        if np.nanmin(drawn[columns].to_numpy(float)) < 0:
            axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_title(title)
        axes.set_xlabel("layer, from the first (0) on")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.03, y=0.08)
        grid(axes)
        label_right(axes, [end[0] for end in ends], [end[1] for end in ends], [end[2] for end in ends])
    return figure
