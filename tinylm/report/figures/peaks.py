"""What is taken over what is offered, a curve for each value of a property, and how the most taken grows with it."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.estimand import Interval, Unestimable
from tinylm.report.estimates.peak_slope import PeakSlope
from tinylm.report.figures.style import INK, grid, label_ends, style
from tinylm.report.judgement.wording import amount, quantity, unit
from tinylm.report.statistics.rank_correlation import numbers

ROOM = 1.15  # between two numbers on a logarithmic axis, which stand upright


def peaks(placed: pd.DataFrame, claim: Claim) -> Figure | None:
    """Left what is taken, right the most of each seed with the line through them.

    Every seed is a dot, means are joined; the band has the slopes of the interval. None where the claim has no such
    estimate, or no run its numbers.

    Args:
        placed: of `tinylm.report.records.arms.by_arm`.
    """
    slope = next((item for item in claim.estimates.values() if isinstance(item, PeakSlope)), None)
    if slope is None:
        return None
    runs = placed[(placed["stage"] == "compare") & (placed["status"] == "done")]
    runs = runs if slope.arms is None else runs[runs["arm"].isin(slope.arms)]
    if runs.empty or not {slope.x, slope.y, slope.over} <= set(runs.columns):
        return None
    table = pd.DataFrame(
        {name: numbers(runs, column) for name, column in (("x", slope.x), ("y", slope.y), ("over", slope.over))}
    ).assign(seed=runs["seed"])
    sizes = sorted(table["x"].unique())
    tones = mpl.colormaps["viridis"](np.linspace(0.0, 0.82, len(sizes)))  # dark to light: in order, and told apart
    ink = {size: to_hex(tone) for size, tone in zip(sizes, tones, strict=True)}
    what = quantity(slope.x)
    with style():
        figure = Figure(figsize=(8.4, 3.5), layout="constrained")
        axes = figure.add_subplot(1, 2, 1)
        _curves(axes, table, ink)
        axes.set_title(f"each curve's number: {what}")
        axes.set_ylabel(unit(slope.y))
        axes.set_xlabel(quantity(slope.over))
        try:
            fitted = slope.interval(runs, claim)
        except Unestimable:
            return figure
        axes = figure.add_subplot(1, 2, 2, sharey=axes)
        _line(axes, table, fitted, ink)
        half = fitted.high - fitted.value
        each = what.removesuffix("s") if what.endswith("parameters") else f"unit of {what}"
        axes.set_title(f"slope of the most:\n{fitted.value:.2f} ± {half:.2f} {unit(slope.y)} per {each}")
        axes.set_ylabel(f"most {unit(slope.y)}")
        axes.set_xlabel(what)
    return figure


def _curves(axes: Axes, table: pd.DataFrame, ink: dict[float, str]) -> None:
    ends: list[tuple[float, float, str, str]] = []
    for size, own in table.groupby("x"):
        tone = ink[float(str(size))]
        axes.scatter(own["over"], own["y"], s=13, color=tone, alpha=0.55, linewidths=0, zorder=3)
        means = own.groupby("over")["y"].mean()
        axes.plot(means.index, means, color=tone, linewidth=1.6)
        ends.append((float(means.index[-1]), float(means.iloc[-1]), amount(float(str(size))), tone))
    offered = sorted(table["over"].unique())
    named: list[float] = []
    for value in offered:  # those that have room for their number
        if not named or value / named[-1] > ROOM:
            named.append(value)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(offered, [f"{value:,g}" if value in named else "" for value in offered], rotation=90)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.05)
    grid(axes)
    axes.tick_params(axis="x", length=3)
    label_ends(axes, ends)


def _line(axes: Axes, table: pd.DataFrame, fitted: Interval, ink: dict[float, str]) -> None:
    most = table.groupby(["x", "seed", "over"])["y"].mean().groupby(["x", "seed"]).max().reset_index()
    for size, own in most.groupby("x"):
        axes.plot(own["x"], own["y"], "o", color=ink[float(str(size))], markersize=5, alpha=0.8, markeredgewidth=0)
    middle, height = most["x"].mean(), most["y"].mean()
    ends = np.array([most["x"].min(), most["x"].max()])
    axes.plot(ends, height + fitted.value * (ends - middle), color=INK, linewidth=1.4, zorder=1)
    at = np.array([ends[0], middle, ends[1]])
    low, high = (height + slope * (at - middle) for slope in (fitted.low, fitted.high))
    axes.fill_between(at, low, high, color=INK, alpha=0.1, linewidth=0, zorder=0)
    axes.set_xticks(sorted(most["x"].unique()), [amount(size) for size in sorted(most["x"].unique())])
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.03 * high.max()))  # shared, and fixed by the curves
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.1)
    grid(axes, "both")
