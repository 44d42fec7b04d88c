"""The metric over a tuned key, a valley for each value of another, and the power law through their lowest points."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.estimand import Unestimable
from tinylm.report.estimates.power_law_optimum import PowerLawOptimum
from tinylm.report.figures.style import INK, MUTED, grid, label_right, style
from tinylm.report.judgement.wording import unit


def valley(placed: pd.DataFrame, claim: Claim) -> Figure | None:
    """Left the valleys, right the best values with the law; None where the claim has no exponent or no run of it.

    Every seed is a dot, means are joined; runs that diverged are crosses at the upper edge.

    Args:
        placed: of `tinylm.report.records.arms.by_arm`.
    """
    law = next((item for item in claim.estimates.values() if isinstance(item, PowerLawOptimum)), None)
    if law is None or not {law.x, law.tuned, law.metric_read(claim)} <= set(placed.columns):
        return None
    metric = law.metric_read(claim)
    runs = placed[(placed["stage"] == law.stage(claim)) & placed["status"].isin(["done", "diverged"])]
    if law.arms is not None:
        runs = runs[runs["arm"].isin(law.arms)]
    if runs[metric].isna().all():
        return None
    sizes = sorted(runs[law.x].astype(float).unique())
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.82, len(sizes)))  # dark to light: in order, and told apart
    ink = {size: to_hex(shade) for size, shade in zip(sizes, shades, strict=True)}
    rates = sorted(runs[law.tuned].astype(float).unique())
    with style():
        figure = Figure(figsize=(8.4, 3.5), layout="constrained")
        _valleys(figure.add_subplot(1, 2, 1), runs, law, metric, ink)
        axes = figure.axes[0]
        axes.set_title(unit(metric))
        try:
            optima = law.optima(runs, claim)
            fitted = law.interval(runs, claim)
        except Unestimable:
            return figure
        _law(figure.add_subplot(1, 2, 2), optima, fitted.value, fitted.high - fitted.value, law, rates, ink)
    return figure


def _valleys(axes: Axes, runs: pd.DataFrame, law: PowerLawOptimum, metric: str, ink: dict[float, str]) -> None:
    ends: list[tuple[float, str, str]] = []
    for size, own in runs.groupby(law.x):
        shade = ink[float(str(size))]
        scored = own[own[metric].notna()]
        axes.scatter(scored[law.tuned], scored[metric], s=13, color=shade, alpha=0.55, linewidths=0, zorder=3)
        means = scored.groupby(law.tuned)[metric].mean()
        axes.plot(means.index, means, color=shade, linewidth=1.6)
        for rate in own.loc[own[metric].isna(), law.tuned].unique():
            axes.plot([rate], [0.97], "x", color=shade, transform=axes.get_xaxis_transform(), markersize=6)
        if len(means):
            ends.append((float(means.iloc[-1]), f"{float(str(size)):g}", shade))
    rates = sorted(runs[law.tuned].astype(float).unique())
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates], rotation=35 if len(rates) > 5 else 0)
    axes.set_xlabel(law.tuned)
    axes.margins(x=0.05, y=0.1)
    grid(axes)
    if runs[metric].isna().any():
        axes.annotate("× diverged", (0.02, 0.97), xycoords="axes fraction", color=MUTED, fontsize=7.5, va="center")
    label_right(axes, [end[0] for end in ends], [end[1] for end in ends], [end[2] for end in ends])
    axes.annotate(
        law.x, (1.045, 1.03), xycoords="axes fraction", color=MUTED, fontsize=8, va="bottom", annotation_clip=False
    )


def _law(
    axes: Axes,
    optima: dict[tuple[float, int], float],
    slope: float,
    half: float,
    law: PowerLawOptimum,
    rates: list[float],
    ink: dict[float, str],
) -> None:
    sizes = sorted({size for size, _ in optima})
    for (size, _), optimum in optima.items():
        axes.plot([size], [np.exp(optimum)], "o", color=ink[size], markersize=5, alpha=0.8, markeredgewidth=0)
    middle = float(np.mean(list(optima.values())))
    centre = float(np.mean([np.log(size) for size, _ in optima]))
    ends = np.array([sizes[0], sizes[-1]], float)
    axes.plot(ends, np.exp(middle + slope * (np.log(ends) - centre)), color=INK, linewidth=1.4, zorder=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    low, high = min(optima.values()) - 0.5, max(optima.values()) + 0.5
    ticks = [rate for rate in rates if low <= np.log(rate) <= high]
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, [f"{rate:g}" for rate in ticks])
    axes.set_ylim(np.exp(low), np.exp(high))
    axes.set_xlabel(law.x)
    axes.set_title(f"best {law.tuned}: exponent {slope:.2f} ± {half:.2f}")
    axes.margins(x=0.1)
    grid(axes, "both")
