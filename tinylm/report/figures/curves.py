"""Learning curves: every seed a thin line, each arm's mean a bold one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tinylm.report.claims.claim import Claim
from tinylm.report.figures.style import MANY, dash, grid, label_right, logarithmic, marker, style
from tinylm.report.judgement.wording import amount
from tinylm.report.records.arms import once, one_vocabulary

_PANELS = (
    ("loss", "training loss, smoothed (nats a token)", 0.04),
    ("tune_bits_per_byte", "bits per byte on the tune split", 0.0),
)
_SKIPPED = 0.2  # the first share of training, whose steep fall would flatten all that follows
_SHOWN = 0.1  # the share of the shortest training at which a logarithmic axis begins


def learning_curves(
    history: pd.DataFrame, runs: pd.DataFrame, colours: Mapping[str, str], claim: Claim | None = None
) -> Figure | None:
    """Training loss and tune bits per byte over tokens; None where no run has a history.

    Losses of a token stand side by side only where all arms have one vocabulary; where they have not, the axis counts
    the bytes of the text read. Scores of the tune split are of the arms that score the same documents of it, the most
    that do. An arm that is another's runs over again, beside another opponent, is drawn once.

    Args:
        history: of `tinylm.report.records.history.history`.
        runs: of `tinylm.report.records.arms.by_arm`; only its ``compare`` stage is drawn.
        colours: arm -> colour.
        claim: where it has several sizes, each size has a row of its own.
    """
    lines, panels = _drawn(history, runs)
    if not panels:
        return None
    read = "tokens" if one_vocabulary(once(runs)) or lines["bytes"].isna().any() else "bytes"
    rows = [("", lines)] if claim is None or not claim.sizes else _by_size(lines, claim)
    with style():
        longest = max(own["label"].str.len().max() for _, own in rows)
        wide = max(4.6, 3.0 + 0.075 * longest)  # inches, a panel with the names beside it
        figure = Figure(figsize=(wide * len(panels), 3.3 * len(rows)), layout="constrained")
        for place, ((size, own), (name, title, window)) in enumerate(itertools.product(rows, panels), start=1):
            told = own[own["name"] == name]
            if told.empty:  # nobody of this size has come so far
                continue
            axes = figure.add_subplot(len(rows), len(panels), place)
            _panel(axes, told, read, colours, window)
            axes.set_title(f"{size}: {title}" if size else title)
    return figure


def _by_size(lines: pd.DataFrame, claim: Claim) -> list[tuple[str, pd.DataFrame]]:
    """The lines of each size that has any, its arms called without their size."""
    size = lines["arm"].map({name: arm.size for name, arm in claim.arms.items()})
    named = lines.assign(label=lines["arm"].map({name: claim.bare_label(name) for name in claim.arms}))
    return [(at, named[size == at]) for at in claim.sizes if (size == at).any()]


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


def not_scored_alike(history: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Labels of the arms whose tune scores `learning_curves` leaves out: of other documents of the split than most."""
    lines, _ = _drawn(history, runs)
    scored = lines.loc[lines["name"] == "tune_bits_per_byte", "arm"]
    return [] if scored.empty else list(lines.loc[~lines["arm"].isin(scored), "label"].unique())


def _drawn(history: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str, float]]]:
    """The history of compared runs with the ``bytes`` read at each point, and which panels of it there are."""
    compared = once(runs)
    lines = history.merge(compared[["key", "arm", "label", "seed"]], on="key").dropna(subset=["tokens"])
    lines["bytes"] = np.nan
    for _, run in lines.groupby("key"):
        told = run[run["name"] == "bytes"].sort_values("tokens")
        if not told.empty:
            lines.loc[run.index, "bytes"] = np.interp(run["tokens"], [0, *told["tokens"]], [0, *told["value"]])
    scored = lines[lines["name"] == "tune_bytes"]
    if scored["value"].nunique() > 1:  # how many documents are scored depends on the budget
        lines = lines[lines["arm"].isin(_scored_alike(scored)) | ~lines["name"].str.startswith("tune_")]
    panels = [panel for panel in _PANELS if (lines["name"] == panel[0]).any()]
    if not one_vocabulary(compared):
        panels = [panel for panel in panels if panel[0] != "loss"]
    return lines, panels


def _scored_alike(scored: pd.DataFrame) -> list[str]:
    """The arms whose runs all score the same part of the tune split, of several such sets the largest; two at least."""
    parts = scored.groupby("arm", sort=False)["value"].agg(["min", "max"])
    whole = parts.loc[parts["min"] == parts["max"], "min"]
    if whole.duplicated().any():
        return list(whole.index[whole == whole.mode()[0]])
    return []


def _panel(axes: Axes, lines: pd.DataFrame, read: str, colours: Mapping[str, str], window: float) -> None:
    """The curves of one metric over the column ``read``."""
    top, bottom = -np.inf, np.inf
    ends: list[tuple[float, float, str, str]] = []  # place, value, name, colour
    bold = 1.3 if lines["arm"].nunique() <= MANY else 0.9
    for arm, own in lines.groupby("arm", sort=False):
        ink = colours[str(arm)]
        curves = [_smooth(run.sort_values(read), read, window) for _, run in own.groupby("seed")]
        for places, values in curves:
            axes.plot(places, values, color=ink, linewidth=0.6, alpha=0.45)
        # A run that diverged stops early: the mean goes as far as all seeds do.
        reach = min(places[-1] for places, _ in curves)
        at = np.linspace(max(places[0] for places, _ in curves), reach, 200)
        mean = np.mean([np.interp(at, places, values) for places, values in curves], axis=0)
        # Markers stand evenly along the line; the first arm of a colour has none.
        look: dict[str, Any] = {"linewidth": bold, "alpha": 0.85, "marker": marker(ink, ""), "markersize": 4}
        look["markevery"] = 0.12
        axes.plot(at, mean, dash(ink), color=ink, **look)
        late = np.concatenate([values[places >= _SKIPPED * places[-1]] for places, values in curves])
        top, bottom = max(top, late.max()), min(bottom, late.min())
        ends.append((reach, float(mean[-1]), str(own["label"].iloc[0]), ink))
    margin = 0.04 * (top - bottom) or 0.01
    axes.set_ylim(bottom - margin, top + margin)
    _reading(axes, read, lines.groupby("arm")[read].max().to_numpy(float))
    grid(axes)
    for reach, value, _, ink in ends:  # from where a curve ends to its name
        axes.hlines(value, reach, axes.get_xlim()[1], color=ink, linewidth=0.6, linestyle=":")
    label_right(axes, [end[1] for end in ends], [end[2] for end in ends], [end[3] for end in ends])


def _reading(axes: Axes, read: str, longest: np.ndarray) -> None:
    """The axis of ``tokens`` or ``bytes``, given how far each arm goes."""
    low, high = float(longest.min()), float(longest.max())
    widely = logarithmic(axes, low, high)
    axes.set_xlabel(f"{read} read" + " (logarithmic)" * widely)
    if widely:
        axes.set_xlim(_SHOWN * low, high)
    else:
        axes.set_xlim(0, high)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))


def _smooth(run: pd.DataFrame, read: str, window: float) -> tuple[np.ndarray, np.ndarray]:
    """Places on the axis and values, the values averaged over a share ``window`` of the points."""
    width = max(1, round(window * len(run)))
    values = run["value"].rolling(width, min_periods=1, center=True).mean()
    return run[read].to_numpy(float), values.to_numpy(float)
