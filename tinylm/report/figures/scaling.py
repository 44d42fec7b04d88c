"""A claim over its sizes: each effect's gain against parameters, each arm's loss against compute."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from tinylm.report.claims.claim import Claim
from tinylm.report.figures.style import FAINT, MUTED, colours, dash, grid, label_right, marker, style
from tinylm.report.judgement.scaling import Law
from tinylm.report.judgement.trends import label
from tinylm.report.judgement.verdicts import Comparison, Verdicts
from tinylm.report.judgement.wording import amount, unit

_PARAMETERS = "accounting.parameters.total"
_APART = 0.05  # of the span of log parameters: effects at one size stand side by side


def across_sizes(claim: Claim) -> dict[str, str]:
    """Arm at a size, and arm over all sizes -> colour, one for all its sizes; what is compared with nothing in ink."""
    names = list(dict.fromkeys(claim.across(arm) for arm in claim.arms))
    plain = [claim.across(arm) for arm in claim.arms if arm not in claim.comparisons]
    found = colours(names, plain[0] if plain else None)
    return found | {arm: found[claim.across(arm)] for arm in claim.arms}


def gains_over_sizes(verdicts: Verdicts, runs: pd.DataFrame, claim: Claim) -> Figure | None:
    """Gain of every effect against the opponent's parameters; None without sizes or differences.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    told = [item for item in verdicts.comparisons if claim.arms[item.variant].size and item.delta is not None]
    if not told or _PARAMETERS not in runs:
        return None
    ink, sign = across_sizes(claim), -1 if claim.direction == "lower" else 1
    parameters = runs.groupby("arm")[_PARAMETERS].mean()
    at = {item.variant: float(np.log(float(parameters[item.against]))) for item in told}
    span = max(at.values()) - min(at.values()) or 1.0
    effects = list(dict.fromkeys(claim.across(item.variant) for item in told))
    with style():
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        axes.axhspan(-claim.delta, claim.delta, color=FAINT, alpha=0.55, linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        ends = []
        for place, effect in enumerate(effects):
            own = [item for item in told if claim.across(item.variant) == effect]
            shift = span * _APART * (place - (len(effects) - 1) / 2)
            x = np.exp([at[item.variant] + shift for item in own])
            gains = [sign * (item.delta or 0.0) for item in own]
            axes.plot(x, gains, dash(ink[effect]), color=ink[effect], linewidth=1.2, zorder=3)
            for position, item in zip(x, own, strict=True):
                dots = float(position) * float(np.exp(-span * _APART / 3))
                _gain(axes, float(position), dots, item, sign, ink[effect])
            ends.append((sign * (own[-1].delta or 0.0), label(claim, effect), ink[effect]))
        axes.set_xscale("log")
        sizes = sorted({round(float(np.exp(value))) for value in at.values()})
        _ticks(axes, {size: amount(float(size)) for size in sizes})
        axes.set_xlabel("parameters of the opponent (logarithmic)")
        axes.set_ylabel(f"gain in {unit(verdicts.metric)}")
        axes.set_title(f"positive: better; shaded: ±{claim.delta:g}, too small to matter")
        grid(axes)
        label_right(axes, [end[0] for end in ends], [end[1] for end in ends], [end[2] for end in ends])
    return figure


def _gain(axes: Axes, x: float, dots: float, item: Comparison, sign: int, ink: str) -> None:
    """Mean and interval at ``x``, the seeds beside them at ``dots``: on the bar they would hide."""
    gains = [sign * value for value in item.differences.values()]
    axes.scatter(
        [dots] * len(gains), gains, s=11, color=ink, marker=marker(ink, "o"), alpha=0.6, linewidths=0, zorder=4
    )
    if item.ci_low is not None and item.ci_high is not None:
        axes.plot([x, x], [sign * item.ci_low, sign * item.ci_high], color=ink, linewidth=1.6, zorder=4)
    fill = "white" if item.ci_low is None else ink
    mean = sign * (item.delta or 0.0)
    axes.plot([x], [mean], marker(ink, "D"), markersize=5, color=ink, markerfacecolor=fill, zorder=5)


def loss_over_compute(fitted: Mapping[str, Law], claim: Claim) -> Figure | None:
    """Every arm's power law with its band over seeds; None without one."""
    if not fitted:
        return None
    ink = across_sizes(claim)
    with style():
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        ends = []
        for arm, law in fitted.items():
            curve = law.curve
            compute = np.geomspace(curve.compute_S[0], curve.compute_S[-1], 60)
            mean, low, high = law.band(compute, claim.alpha)
            axes.plot(compute, mean, dash(ink[arm]), color=ink[arm], linewidth=1.4, zorder=3)
            axes.fill_between(compute, low, high, color=ink[arm], alpha=0.12, linewidth=0)
            for compute_S, loss_S in zip(curve.compute_NS, curve.loss_NS, strict=True):
                own = marker(ink[arm], "o")
                axes.scatter(compute_S, loss_S, s=12, color=ink[arm], marker=own, alpha=0.6, linewidths=0, zorder=4)
            ends.append((float(mean[-1]), label(claim, arm), ink[arm]))
        axes.set_xscale("log")
        axes.set_yscale("log")
        losses = np.concatenate([law.curve.loss_NS.ravel() for law in fitted.values()])
        axes.set_ylim(losses.min() * 0.985, losses.max() * 1.015)
        steps = np.linspace(losses.min(), losses.max(), 4)
        axes.set_yticks(steps, [f"{step:.2f}" for step in steps])
        axes.yaxis.set_minor_locator(NullLocator())
        _ticks(axes, {float(c): amount(float(c)) for c in next(iter(fitted.values())).curve.compute_S})
        axes.set_xlabel("training FLOPs (logarithmic)")
        axes.set_ylabel(f"{unit(claim.metric)} (logarithmic)")
        grid(axes, "both")
        label_right(axes, [end[0] for end in ends], [end[1] for end in ends], [end[2] for end in ends])
    return figure


def _ticks(axes: Axes, names: Mapping[float, str]) -> None:
    axes.set_xticks(list(names))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: names.get(value, "")))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
