"""How a claim differs from the one that was declared before its runs had ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.portable import portable

# What decides no verdict. The claim's own seeds are no part of it either: those added later are marked by themselves.
_WORDS = {"question", "source", "cost", "claim", "label", "reported", "reported_unit"}


def amendments(first: Claim, now: Claim) -> list[str]:
    """What decides verdicts and was declared otherwise, such as ``delta: 0.005 -> 0.02``; empty where nothing was.

    Where its files lie is no part of a claim: an archive leaves their folders out.
    """
    return sorted(_changes("", portable(dataclasses.asdict(first)), portable(dataclasses.asdict(now))))


def _changes(where: str, first: Any, now: Any) -> Iterator[str]:
    if not isinstance(first, Mapping) or not isinstance(now, Mapping):
        if first != now and not _widened(where, first, now):
            yield f"{where}: {_told(first)} -> {_told(now)}"
        return
    for key in dict.fromkeys([*first, *now]):
        inside = f"{where}.{key}" if where else str(key)
        if inside == "seeds" or (key in _WORDS and not where.endswith(("arms", "estimates"))):
            continue
        if key not in now:
            yield f"{inside}: taken out"
        elif key not in first:
            yield f"{inside}: added"
        else:
            yield from _changes(inside, first[key], now[key])


def _widened(where: str, first: Any, now: Any) -> bool:
    """A grid that holds what it held before, and more: what a refusal at its edge asks for, on seeds of its own."""
    return where.startswith("tune.params.") and all(value in now for value in first)


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return "other ones" if value else "none"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_told, value))}]"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
