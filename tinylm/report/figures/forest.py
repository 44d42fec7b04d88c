"""Paired differences: every seed a point, the mean with its interval, the band that counts as equivalent."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinylm.report.figures.style import FAINT, INK, MUTED, VERDICT_COLOURS, grid, style
from tinylm.report.judgement.verdicts import Comparison, Verdicts
from tinylm.report.judgement.wording import difference, unit

_REACH = 1.5  # how far beyond the points, in their span, an interval is shown


def differences(verdicts: Verdicts) -> Figure | None:
    """A row a comparison, in the claim's order; None where no comparison has a pair."""
    if all(item.delta is None for item in verdicts.comparisons):
        return None
    rows = len(verdicts.comparisons)
    with style():
        figure = Figure(figsize=(7.2, 1.15 + 0.52 * rows), layout="constrained")
        axes = figure.add_subplot()
        axes.axvspan(-verdicts.smallest_effect, verdicts.smallest_effect, color=FAINT, alpha=0.55, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for row, item in enumerate(verdicts.comparisons):
            _row(axes, rows - 1 - row, item)
        axes.set_ylim(-0.6, rows - 0.4)
        axes.set_yticks(
            range(rows),
            [f"{item.variant_label} − {item.against_label}" for item in reversed(verdicts.comparisons)],
        )
        axes.spines["left"].set_visible(False)
        _limits(axes, verdicts)
        axes.xaxis.set_major_locator(MaxNLocator(4))  # long labels beside it leave little room for more
        grid(axes, "x")
        sides = ("better", "worse") if verdicts.direction == "lower" else ("worse", "better")
        axes.set_xlabel(f"difference in {unit(verdicts.metric)}", labelpad=16)
        for text, shift, side in ((f"← {sides[0]}", -8, "right"), (f"{sides[1]} →", 8, "left")):
            axes.annotate(  # on their sides of zero, wherever it stands
                text,
                xy=(0, 0),
                xytext=(shift, -18),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha=side,
                va="top",
            )
        axes.annotate(
            f"shaded: ±{verdicts.smallest_effect:g}, too small to matter",
            xy=(0, 1),
            xytext=(0, 3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            color=MUTED,
            fontsize=7.5,
        )
    return figure


def _row(axes: Axes, y: int, item: Comparison) -> None:
    ink = VERDICT_COLOURS[item.verdict]
    if item.delta is not None:
        axes.scatter(
            list(item.differences.values()),
            [y - 0.2] * len(item.differences),
            s=13,
            color=ink,
            alpha=0.55,
            linewidths=0,
            zorder=3,
        )
        if item.ci_low is not None and item.ci_high is not None:
            axes.plot([item.ci_low, item.ci_high], [y, y], color=ink, linewidth=2.2, solid_capstyle="butt", zorder=4)
        fill = "white" if item.ci_low is None else ink
        axes.plot([item.delta], [y], marker="D", markersize=6, color=ink, markerfacecolor=fill, zorder=5)
    outcome = f", {item.outcome}" if item.outcome else ""
    axes.annotate(
        f"{difference(item)}\n",
        xy=(1.02, y),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        color=INK,
        fontsize=8.5,
        annotation_clip=False,
    )
    axes.annotate(
        f"\n{item.verdict}{outcome}",
        xy=(1.02, y),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        color=ink,
        fontsize=8,
        fontweight="bold",
        annotation_clip=False,
    )


def _limits(axes: Axes, verdicts: Verdicts) -> None:
    """Room for every point, for zero and the band; an interval that would dwarf them ends in an arrow."""
    points = [-verdicts.smallest_effect, verdicts.smallest_effect]
    for item in verdicts.comparisons:
        points += [value for value in (item.delta, *item.differences.values()) if value is not None]
    low, high = min(points), max(points)
    reach = _REACH * (high - low)
    ends = [value for item in verdicts.comparisons for value in (item.ci_low, item.ci_high) if value is not None]
    low, high = max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)
    margin = 0.06 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    for row, item in enumerate(reversed(verdicts.comparisons)):
        for end, edge, marker in ((item.ci_low, low - margin, "<"), (item.ci_high, high + margin, ">")):
            if end is not None and not low - margin <= end <= high + margin:
                axes.plot([edge], [row], marker, color=VERDICT_COLOURS[item.verdict], markersize=6, clip_on=False)
