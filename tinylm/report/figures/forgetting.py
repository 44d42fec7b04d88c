"""Forgetting curves: what a round read, by its place in the round, under the model at the round's end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tinylm.report.figures.style import MANY, dash, grid, label_right, marker, style
from tinylm.report.tables.rounds import reviewed


def forgetting(runs: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """A panel a round that was scored, each seed a thin line, an arm's mean a bold one; None where none was scored.

    Places count from 0, what the round read first, to 1; a curve's parts (`tinylm/train/review.py`) stand at their
    middles. A curve that falls is forgetting: what was read first is worse by then.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`; only its ``compare`` stage is drawn.
        colours: arm -> colour.
    """
    told = reviewed(runs)
    if told.empty or told["curve"].isna().all():
        return None
    told = told.dropna(subset=["curve"])
    rounds = sorted(told["round"].unique())
    with style():
        figure = Figure(figsize=(1.4 + 3.6 * len(rounds), 3.3), layout="constrained")
        for index, round in enumerate(rounds):
            axes = figure.add_subplot(1, len(rounds), index + 1)
            there = told[told["round"] == round]
            bold = 1.9 if there["arm"].nunique() <= MANY else 0.9
            ends: list[tuple[float, str, str]] = []
            for arm, own in there.groupby("arm", sort=False):
                ink = colours[str(arm)]
                curves = [np.array(curve, float) for curve in own["curve"]]
                for curve in curves:
                    axes.plot(_places(len(curve)), curve, color=ink, linewidth=0.6, alpha=0.45)
                at = _places(min(map(len, curves)))  # rounds of few units have fewer parts
                mean = np.mean([np.interp(at, _places(len(curve)), curve) for curve in curves], axis=0)
                axes.plot(at, mean, dash(ink), color=ink, linewidth=bold, marker=marker(ink, ""), markersize=4)
                ends.append((float(mean[-1]), str(own["label"].iloc[0]), ink))
            axes.set_title(f"loss of what round {round} read, at its end (nats a token)")
            axes.set_xlabel("place in the round")
            axes.set_xlim(0, 1)
            axes.set_xticks([0, 1], ["first read", "last read"])
            first, last = axes.get_xticklabels()
            first.set_horizontalalignment("left")
            last.set_horizontalalignment("right")
            axes.margins(y=0.08)
            grid(axes)
            label_right(axes, [end[0] for end in ends], [end[1] for end in ends], [end[2] for end in ends])
    return figure


def _places(parts: int) -> np.ndarray:
    return (np.arange(parts) + 0.5) / parts
