"""Learning curves: every seed a thin line, each arm's mean a bold one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tinylm.report.figures.style import MANY, dash, grid, label_right, logarithmic, marker, style
from tinylm.report.judgement.wording import amount
from tinylm.report.records.arms import once, one_vocabulary

_PANELS = (
    ("loss", "training loss, smoothed (nats a token)", 0.04),
    ("tune_bits_per_byte", "bits per byte on the tune split", 0.0),
)
_SKIPPED = 0.2  # the first share of training, whose steep fall would flatten all that follows
_SHOWN = 0.1  # the share of the shortest training at which a logarithmic axis begins


def learning_curves(history: pd.DataFrame, runs: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """Training loss and tune bits per byte over tokens; None where no run has a history.

    Losses of a token stand side by side only where all arms have one vocabulary, scores of the tune split only where
    all curves are of the same documents of it. An arm that is another's runs over again, beside another opponent, is
    drawn once.

    Args:
        history: of `tinylm.report.records.history.history`.
        runs: of `tinylm.report.records.arms.by_arm`; only its ``compare`` stage is drawn.
        colours: arm -> colour.
    """
    lines, panels = _drawn(history, runs)
    if not panels:
        return None
    with style():
        wide = max(4.6, 3.0 + 0.075 * lines["label"].str.len().max())  # inches, a panel with the names beside it
        figure = Figure(figsize=(wide * len(panels), 3.3), layout="constrained")
        for index, (name, title, window) in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), index + 1)
            _panel(axes, lines[lines["name"] == name], colours, window)
            axes.set_title(title)
    return figure


def of_own_text(history: pd.DataFrame, runs: pd.DataFrame) -> bool:
    """Whether the training losses that `learning_curves` draws are of other text in one arm than in another.

    So it is after a first round, whose losses choose what is read next, and where the data of the arms differ.
    """
    lines, panels = _drawn(history, runs)
    if not any(panel[0] == "loss" for panel in panels):
        return False
    told = once(runs)
    told = told[told["key"].isin(lines["key"])]
    data = [name for name in map(str, told) if name == "data" or name.startswith("data.")]
    if lines["round"].nunique() > 1:
        return True
    # Within a seed, for what differs between seeds alone is no difference of arms.
    return any((told[name].astype(str).groupby(told["seed"]).nunique(dropna=False) > 1).any() for name in data)


def _drawn(history: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str, float]]]:
    """The history of compared runs, and which panels of it there are."""
    compared = once(runs)
    lines = history.merge(compared[["key", "arm", "label", "seed"]], on="key").dropna(subset=["tokens"])
    panels = [panel for panel in _PANELS if (lines["name"] == panel[0]).any()]
    if not one_vocabulary(compared):
        panels = [panel for panel in panels if panel[0] != "loss"]
    if lines.loc[lines["name"] == "tune_bytes", "value"].nunique() > 1:  # how many are scored depends on the budget
        panels = [panel for panel in panels if not panel[0].startswith("tune_")]
    return lines, panels


def _panel(axes: Axes, lines: pd.DataFrame, colours: Mapping[str, str], window: float) -> None:
    top, bottom = -np.inf, np.inf
    ends: list[tuple[float, float, str, str]] = []  # tokens, value, name, colour
    bold = 1.3 if lines["arm"].nunique() <= MANY else 0.9
    for arm, own in lines.groupby("arm", sort=False):
        ink = colours[str(arm)]
        curves = [_smooth(run.sort_values("tokens"), window) for _, run in own.groupby("seed")]
        for tokens, values in curves:
            axes.plot(tokens, values, color=ink, linewidth=0.6, alpha=0.45)
        # A run that diverged stops early: the mean goes as far as all seeds do.
        reach = min(tokens[-1] for tokens, _ in curves)
        at = np.linspace(max(tokens[0] for tokens, _ in curves), reach, 200)
        mean = np.mean([np.interp(at, tokens, values) for tokens, values in curves], axis=0)
        # Markers stand evenly along the line; the first arm of a colour has none.
        look: dict[str, Any] = {"linewidth": bold, "alpha": 0.85, "marker": marker(ink, ""), "markersize": 4}
        look["markevery"] = 0.12
        axes.plot(at, mean, dash(ink), color=ink, **look)
        late = np.concatenate([values[tokens >= _SKIPPED * tokens[-1]] for tokens, values in curves])
        top, bottom = max(top, late.max()), min(bottom, late.min())
        ends.append((reach, float(mean[-1]), str(own["label"].iloc[0]), ink))
    margin = 0.04 * (top - bottom) or 0.01
    axes.set_ylim(bottom - margin, top + margin)
    _tokens(axes, lines.groupby("arm")["tokens"].max().to_numpy(float))
    grid(axes)
    for reach, value, _, ink in ends:  # from where a curve ends to its name
        axes.hlines(value, reach, axes.get_xlim()[1], color=ink, linewidth=0.6, linestyle=":")
    label_right(axes, [end[1] for end in ends], [end[2] for end in ends], [end[3] for end in ends])


def _tokens(axes: Axes, longest: np.ndarray) -> None:
    """The axis of tokens, given how far each arm goes."""
    low, high = float(longest.min()), float(longest.max())
    widely = logarithmic(axes, low, high)
    axes.set_xlabel("tokens read" + " (logarithmic)" * widely)
    if widely:
        axes.set_xlim(_SHOWN * low, high)
    else:
        axes.set_xlim(0, high)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))


def _smooth(run: pd.DataFrame, window: float) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and values, the values averaged over a share ``window`` of the points."""
    width = max(1, round(window * len(run)))
    values = run["value"].rolling(width, min_periods=1, center=True).mean()
    return run["tokens"].to_numpy(float), values.to_numpy(float)
