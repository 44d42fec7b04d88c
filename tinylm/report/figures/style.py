"""The look of every figure: colours that colour-blind readers tell apart, direct labels, no display needed.

Palette: Okabe and Ito 2008, "Color universal design". Figures are made as objects, never through pyplot.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

from tinylm.report.claims.claim import Claim

INK, MUTED, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D1F", "#7A5195")
# How a later use of a colour is told from the first: the dash of its lines, its marker, and that marker in a name.
_USES = (("-", "", ""), ("--", "^", "▲ "), ("-.", "s", "■ "))
_LOG_FROM, _DECADES_FROM = 4, 30  # largest over smallest value
_NAME_INCHES = 0.165  # from one name to the next below it
MANY = 14  # names or colours that a reader still tells apart
VERDICT_COLOURS = {
    "better": "#0072B2",
    "worse": "#D55E00",
    "equivalent": "#009E73",
    "inconclusive": "#6b6b6b",
    "refused": "#9a9a9a",
}
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "tinylm",
    "savefig.dpi": 200,
    "figure.dpi": 100,
}


class Ink(str):
    """An arm's colour, as matplotlib takes it, that knows how many arms have had the colour before."""

    use: int

    def __new__(cls, colour: str, use: int = 0) -> Ink:
        made = super().__new__(cls, colour)
        made.use = use
        return made


def dash(ink: str) -> str:
    """The line style of an arm's mean."""
    return _use(ink)[0]


def marker(ink: str, first: str) -> str:
    """The marker of an arm; ``first``: what the figure gives to the first arm of a colour."""
    return _use(ink)[1] or first


def glyph(ink: str) -> str:
    """What stands before an arm's name: the marker of a later use of a colour."""
    return _use(ink)[2]


def _use(ink: str) -> tuple[str, str, str]:
    return _USES[ink.use % len(_USES) if isinstance(ink, Ink) else 0]


@contextmanager
def style() -> Iterator[None]:
    """Within it, figures are drawn in the project's style; draw and save under it."""
    with mpl.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a user's label in another script
        yield


def colours(arms: Sequence[str], baseline: str | None) -> dict[str, str]:
    """Arm -> colour: the baseline, if there is one, in black, the others from the palette.

    Where it ends it begins anew, as `Ink` that `dash`, `marker` and `glyph` tell from its first use.
    """
    others = [arm for arm in arms if arm != baseline]
    found: dict[str, str] = {
        arm: Ink(PALETTE[index % len(PALETTE)], index // len(PALETTE)) for index, arm in enumerate(others)
    }
    return found if baseline is None else {baseline: INK} | found


def of_arms(claim: Claim) -> dict[str, str]:
    """Arm -> colour of a claim's arms; those that are the same runs have one."""
    twins = claim.twins
    found = colours(list(dict.fromkeys(twins.values())), claim.baseline)
    return {arm: found[first] for arm, first in twins.items()}


def reused(inks: Iterable[str]) -> bool:
    """Whether a colour is an arm's for a second time."""
    return any(isinstance(ink, Ink) and ink.use for ink in inks)


def shades(values: Mapping[str, float]) -> dict[str, str]:
    """Arm -> colour by a property, dark where it is small: for more arms than a palette has colours."""
    low, high = min(values.values()), max(values.values())
    scale = mpl.colormaps["viridis"]
    return {
        arm: to_hex(scale(0.85 * (value - low) / (high - low) if high > low else 0.0)) for arm, value in values.items()
    }


def spread(positions: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Positions moved apart to at least ``gap``, in the same order, each group about its own middle.

    They stay within ``low`` and ``high`` as long as there is room for all of them.

    Example: ``spread([0.0, 0.0], 1.0) == [-0.5, 0.5]``
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    groups: list[tuple[float, list[int]]] = []  # (middle, members): neighbours that touch become one
    for index in order:
        groups.append(_group(positions, [index], gap, low, high))
        while len(groups) > 1:
            (lower, below), (upper, above) = groups[-2], groups[-1]
            if upper - lower >= gap * (len(below) + len(above)) / 2 - 1e-12:
                break
            members = below + above
            groups[-2:] = [_group(positions, members, gap, low, high)]
    placed = [0.0] * len(positions)
    for middle, members in groups:
        for rank, member in enumerate(members):
            placed[member] = middle + gap * (rank - (len(members) - 1) / 2)
    return placed


def _group(
    positions: Sequence[float], members: list[int], gap: float, low: float, high: float
) -> tuple[float, list[int]]:
    """The middle at which neighbours stand together: the mean of their positions, within the bounds."""
    middle = sum(positions[member] for member in members) / len(members)
    reach = gap * (len(members) - 1) / 2
    if high - low > 2 * reach:
        middle = min(max(middle, low + reach), high - reach)
    return middle, members


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names beside where lines end: on the right edge, or within the axes where other lines go further.

    Call it once the axes have their limits.

    Args:
        ends: of each line the last point (data), its name and its colour.
    """
    if not ends or len(ends) > MANY:
        return
    last = max(end[0] for end in ends)
    for at in sorted({end[0] for end in ends}):
        own = [end for end in ends if end[0] == at]
        heights, texts, inks = [end[1] for end in own], [end[2] for end in own], [end[3] for end in own]
        if at == last:
            label_right(axes, heights, texts, inks)
        else:
            _label_within(axes, at, heights, texts, inks)


def _label_within(axes: Axes, at: float, heights: list[float], texts: list[str], inks: list[str]) -> None:
    """Names right of points at one place, moved apart where they would touch, readable on lines that pass below."""
    low, high = axes.get_ylim()
    gap = _name_height(axes)
    for height, moved, text, ink in zip(heights, spread(heights, gap, low + gap / 3, high), texts, inks, strict=True):
        axes.annotate(
            glyph(ink) + text,
            xy=(at, height),
            xytext=(7, (moved - height) / gap * _NAME_INCHES * 72),
            textcoords="offset points",
            color=ink,
            fontweight="bold",
            fontsize=8.5,
            va="center",
            ha="left",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _name_height(axes: Axes) -> float:
    """What a name takes of the axis of y, in data."""
    low, high = axes.get_ylim()
    tall = axes.get_position().height * axes.figure.get_figure(root=True).get_size_inches()[1]
    return (high - low) * _NAME_INCHES / max(tall, 0.5)


def label_right(axes: Axes, heights: Sequence[float], texts: Sequence[str], colour: Sequence[str]) -> None:
    """Names beside the right edge at the heights (data) of what they name, moved apart where they would touch.

    More than fourteen names would be a wall. Of arms that look alike, as an arm at several sizes does, the last is then
    named alone; where that is no help, none is.
    """
    if len(texts) > MANY:
        last = sorted({(ink, marker(ink, "")): place for place, ink in enumerate(colour)}.values())
        if len(last) > MANY:
            return
        heights, texts, colour = [heights[n] for n in last], [texts[n] for n in last], [colour[n] for n in last]
    low, high = axes.get_ylim()
    gap = _name_height(axes)
    inside = [min(max(height, low), high) for height in heights]
    for height, at, text, ink in zip(inside, spread(inside, gap, low + gap / 3, high), texts, colour, strict=True):
        axes.annotate(
            glyph(ink) + text,
            xy=(1.0, height),
            xytext=(1.045, at),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            color=ink,
            fontweight="bold",
            fontsize=8.5,
            va="center",
            ha="left",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": ink,
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def logarithmic(axes: Axes, low: float, high: float) -> bool:
    """Make the axis of x logarithmic where its values, ``low`` to ``high``, span a factor of 4; whether it is now.

    Over more than a factor of 30 there is room for the numbers of decades alone.
    """
    if not 0 < _LOG_FROM * low <= high:
        return False
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _DECADES_FROM else (1,)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    return True


def grid(axes: Axes, which: str = "y") -> None:
    """Faint lines behind the data."""
    axes.grid(visible=True, axis=which, color=FAINT, linewidth=0.6)  # type: ignore[arg-type]
    axes.tick_params(length=0, pad=4)


def rendered(figure: Figure, kind: str) -> bytes:
    """The figure as ``png`` or ``svg``; equal figures give equal bytes."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with style():
        figure.savefig(buffer, format=kind, metadata=metadata, bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()


def save(figure: Figure, folder: Path, name: str) -> str:
    """Write ``name.png`` and ``name.svg``, each whole or not at all; gives the SVG's text."""
    folder.mkdir(parents=True, exist_ok=True)
    svg = rendered(figure, "svg")
    for kind, data in (("png", rendered(figure, "png")), ("svg", svg)):
        temporary = folder / f".{name}.{os.getpid()}.{kind}"
        temporary.write_bytes(data)
        os.replace(temporary, folder / f"{name}.{kind}")
    return svg.decode()
