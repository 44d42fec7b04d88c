"""A lineage as a graph in SVG: sources on the left, scores on the right. Text stays text, so it can be searched."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape

from tinylm.report.figures.style import FAINT, INK, MUTED, PALETTE
from tinylm.report.tables.lineage import Node

_WIDTH, _GAP, _BETWEEN = 210, 46, 14  # of a box, between columns, between boxes of a column; pixels
_LANE = 6
_LINE, _PADDING, _MARGIN = 15, 9, 12
_LETTERS = 31  # in a line of a box
_INKS = {
    "data": PALETTE[2],
    "tokenizer": PALETTE[2],
    "tokens": PALETTE[2],
    "initialisation": PALETTE[3],
    "round": PALETTE[0],
    "run": PALETTE[0],
    "evaluation": PALETTE[1],
}


def graph(nodes: Sequence[Node]) -> str:
    """The lineage of `tinylm.report.tables.lineage` as one SVG; every arrow points from a source to what it made.

    An arrow that passes a column of boxes has a lane of its own between them.
    """
    depth = _depths(nodes)
    lines = {node.name: _lines(node) for node in nodes}
    tall = {name: len(texts) * _LINE + 2 * _PADDING for name, texts in lines.items()}
    columns = _columns(nodes, depth)
    heights = [sum(tall.get(name, _LANE) + _BETWEEN for name, _ in column) - _BETWEEN for column in columns]
    middle: dict[tuple[str, int], float] = {}  # of a box or a lane, by its source and column
    for column, high in zip(columns, heights, strict=True):
        top = _MARGIN + (max(heights) - high) / 2
        for name, level in column:
            room = tall[name] if depth[name] == level else _LANE
            middle[name, level] = top + room / 2
            top += room + _BETWEEN
    wide = 2 * _MARGIN + len(columns) * (_WIDTH + _GAP) - _GAP
    high = 2 * _MARGIN + max(heights)
    arrows = [
        _arrow(
            [(level, middle[source, level]) for level in range(depth[source], depth[node.name])]
            + [(depth[node.name], middle[node.name, depth[node.name]])]
        )
        for node in nodes
        for source in node.sources
    ]
    boxes = [
        _box(node, _left(depth[node.name]), middle[node.name, depth[node.name]], tall[node.name], lines[node.name])
        for node in nodes
    ]
    about = next(node.hash for node in reversed(nodes) if node.kind == "run")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" '
            f'height="{high:g}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="11" role="img">',
            f"<title>Lineage of {escape(about)}</title>",
            f'<rect width="{wide:g}" height="{high:g}" fill="white"/>',
            f'<defs><marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto">'
            f'<path d="M0,0 L6,3 L0,6 z" fill="{MUTED}"/></marker></defs>',
            *arrows,
            *boxes,
            "</svg>\n",
        ]
    )


def _depths(nodes: Sequence[Node]) -> dict[str, int]:
    """Name -> column: as many steps from the end as the longest way there has, so that each stands by what it made."""
    behind: dict[str, int] = {}
    for node in reversed(nodes):
        behind.setdefault(node.name, 0)
        for source in node.sources:
            behind[source] = max(behind.get(source, 0), behind[node.name] + 1)
    longest = max(behind.values())
    return {node.name: longest - behind[node.name] for node in nodes}


def _columns(nodes: Sequence[Node], depth: dict[str, int]) -> list[list[tuple[str, int]]]:
    """What stands in each column, from the top: lanes of what passes it, by their sources, then its own boxes."""
    reach = dict(depth)
    for node in nodes:
        for source in node.sources:
            reach[source] = max(reach[source], depth[node.name] - 1)
    passing = [(name, level) for name in depth for level in range(depth[name] + 1, reach[name] + 1)]
    own = list(depth.items())
    return [[place for place in [*passing, *own] if place[1] == level] for level in range(max(depth.values()) + 1)]


def _lines(node: Node) -> list[str]:
    told = [node.kind, *textwrap.wrap(node.title, _LETTERS, max_lines=4, placeholder=" …"), node.hash]
    return told + textwrap.wrap(node.cost, _LETTERS)


def _box(node: Node, x: float, middle: float, high: float, lines: Sequence[str]) -> str:
    y = middle - high / 2
    ink = _INKS[node.kind.split()[-1]]
    parts = [
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{high:g}" rx="5" fill="white" stroke="{FAINT}"/>',
        f'<rect x="{x:g}" y="{y:g}" width="4" height="{high:g}" rx="2" fill="{ink}"/>',
    ]
    for index, line in enumerate(lines):
        at = y + _PADDING + (index + 0.75) * _LINE
        look = f'fill="{ink}" font-weight="bold"' if index == 0 else f'fill="{INK}"'
        if line == node.hash:
            look = f'fill="{MUTED}" font-family="DejaVu Sans Mono, monospace"'
        parts.append(f'<text x="{x + 13:g}" y="{at:g}" {look}>{escape(line)}</text>')
    return "\n".join(parts)


def _arrow(way: Sequence[tuple[int, float]]) -> str:
    """A line through points at (column, height): straight across a column's lane, bent between columns."""
    (level, y), rest = way[0], way[1:]
    x = _left(level) + _WIDTH
    curve = f"M{x:g},{y:g}"
    for step, (level, v) in enumerate(rest, start=1):
        u = _left(level)
        curve += f" C{(x + u) / 2:g},{y:g} {(x + u) / 2:g},{v:g} {u:g},{v:g}"
        x, y = u + _WIDTH, v
        curve += f" H{x:g}" if step < len(rest) else ""
    return f'<path d="{curve}" fill="none" stroke="{MUTED}" stroke-width="1.1" marker-end="url(#tip)"/>'


def _left(level: int) -> float:
    return _MARGIN + level * (_WIDTH + _GAP)
