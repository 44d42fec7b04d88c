"""Rows of the benchmark: a number, what it has to reach, and whether it did."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from tinylm.files import write_json


@dataclass(frozen=True)
class Row:
    """One number.

    Fields:
        value: None where it could not be measured; ``note`` says why.
        unit: of ``value`` and ``target``.
        target: what the value has to reach; None where it is only reported.
        side: whether the target is a floor or a ceiling.
        note: what a reader of the number has to know, such as a busy machine.
    """

    name: str
    value: float | None
    unit: str
    target: float | None = None
    side: Literal["at least", "at most"] = "at least"
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """None without a target or without a value."""
        if self.target is None or self.value is None:
            return None
        return self.value >= self.target if self.side == "at least" else self.value <= self.target


def quick(row: Row) -> Row:
    """The row of a short trial, which can neither reach nor miss a target."""
    return replace(row, target=None, note="; ".join(note for note in ("a trial, no measurement", row.note) if note))


def middle(values: Sequence[float], digits: int = 3) -> float:
    """The median, to as many significant digits as repeated measurements agree on."""
    return float(f"{statistics.median(values):.{digits}g}")


def spread(values: Sequence[float]) -> str:
    """How far apart the single measurements lie, for a row's note."""
    return f"{len(values)} measured, {min(values):.3g} to {max(values):.3g}"


def render(rows: Sequence[Row]) -> str:
    """The rows as text, columns aligned, notes below their row."""
    cells = [("measurement", "value", "target", "")]
    for row in rows:
        value = "not measured" if row.value is None else f"{row.value:,.4g} {row.unit}".rstrip()
        if row.value is not None and row.value >= 1000:
            value = f"{row.value:,.0f} {row.unit}"
        target = "" if row.target is None else f"{row.side} {row.target:g} {row.unit}".rstrip()
        cells.append((row.name, value, target, {True: "reached", False: "MISSED", None: ""}[row.passed]))
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    notes = ["", *(row.note for row in rows)]
    lines = []
    for line, note in zip(cells, notes, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if note:
            lines.append(f"    {note}")
    lines.insert(1, "  ".join("-" * width for width in widths).rstrip())
    return "\n".join(lines)


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as JSON: a list of {name, value, unit, target, passed, side, note}."""
    write_json(path, [{**asdict(row), "passed": row.passed} for row in rows])
