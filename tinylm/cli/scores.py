"""Scores as lines to read: a name, its value, one standard error where it is known."""

from __future__ import annotations

from collections.abc import Mapping

ERROR = "_stderr"  # behind a score's name: its standard error


def score_lines(scores: Mapping[str, float], errors: Mapping[str, float] | None = None) -> list[str]:
    """A line each, values below one another; standard errors among the scores stand behind what they belong to.

    Args:
        errors: by a score's name, of those whose error is not among the scores.
    """
    known = {**(errors or {}), **{name.removesuffix(ERROR): v for name, v in scores.items() if name.endswith(ERROR)}}
    shown = {name: value for name, value in scores.items() if not name.endswith(ERROR)}
    width = max(map(len, shown), default=0)
    lines = []
    for name, value in shown.items():
        number = f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.4f}"
        lines.append(f"{name:<{width}}  {number}" + (f" ± {known[name]:.4f}" if name in known else ""))
    return lines
