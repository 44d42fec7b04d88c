"""Choosing a tuned value for an arm: one rule for all arms, on seeds that no verdict sees."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tinylm.errors import UserError


@dataclass(frozen=True)
class Trial:
    """One tuning run: its setting, seed and score; the score is None where the run failed or diverged."""

    params: Mapping[str, Any]
    seed: int
    score: float | None


def choose(trials: Iterable[Trial], direction: Literal["lower", "higher"], arm: str) -> dict[str, Any]:
    """The setting with the best mean score over the tuning seeds; the earlier one on a tie.

    A setting that failed or diverged on any seed is not chosen: its mean would be over its lucky seeds.

    Raises:
        UserError: no setting of ``arm`` ended well on all its seeds.
    """
    scores: dict[str, list[float | None]] = {}
    settings: dict[str, dict[str, Any]] = {}
    for trial in trials:
        name = json.dumps(dict(trial.params), sort_keys=True)
        settings[name] = dict(trial.params)
        scores.setdefault(name, []).append(trial.score)
    most = max(map(len, scores.values()), default=0)
    means = {
        name: math.fsum(whole) / len(whole)
        for name, values in scores.items()
        if len(whole := [value for value in values if value is not None and math.isfinite(value)]) == most
    }
    if not means:
        raise UserError(f"arm {arm!r}: no tuned setting ended well on all tuning seeds; lower or widen its grid")
    sign = 1 if direction == "lower" else -1
    return settings[min(means, key=lambda name: sign * means[name])]


def at_edge(chosen: Mapping[str, Any], grids: Mapping[str, Sequence[Any]]) -> list[str]:
    """Tuned keys whose chosen value is the smallest or largest of its grid: the best may lie outside.

    A grid of one value and a grid of names have no edge.
    """
    found = []
    for key, grid in grids.items():
        numbers = sorted({float(value) for value in grid if type(value) in (int, float)})
        if key not in chosen or len(numbers) < 2 or len(numbers) < len(set(map(str, grid))):
            continue
        if not numbers[0] < float(chosen[key]) < numbers[-1]:
            found.append(key)
    return found


def edges(chosen: Mapping[str, Any], grids: Mapping[str, Sequence[Any]], arm: str) -> list[str]:
    """What to say of chosen values that lie at the edge of their grid; empty where none does."""
    return [
        f"the best {key} of {arm} ({chosen[key]:g}) is at the edge of its grid "
        f"({min(grids[key]):g} to {max(grids[key]):g}); widen the grid"
        for key in at_edge(chosen, grids)
    ]
