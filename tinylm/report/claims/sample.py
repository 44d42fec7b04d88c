"""Arms drawn at random: a claim over many configurations names ranges instead of each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from random import Random
from typing import Literal

from tinylm.errors import UserError

_TRIES = 100  # draws for each arm wanted, before a range counts as too small


@dataclass(frozen=True)
class Range:
    """Where a config key's values are drawn from, both ends included.

    Fields:
        kind: ``int`` (every whole number alike), ``linear``, or ``log`` (every ratio alike).
    """

    low: float
    high: float
    kind: Literal["int", "linear", "log"]


@dataclass(frozen=True)
class Sample:
    """Arms ``s00``, ``s01``, ... with values drawn from ranges, each key on its own.

    A value depends on (seed, key, place) alone: more arms leave the earlier ones as they were.

    Fields:
        number: arms.
        ranges: config key -> range.
        seed: of the draws; it has nothing to do with the runs' seeds.
    """

    number: int
    ranges: dict[str, Range]
    seed: int = 0

    def overrides(
        self, name: str = "sample", distinct: Callable[[list[str]], Hashable] = tuple
    ) -> dict[str, list[str]]:
        """Arm -> its overrides.

        Args:
            distinct: what of an arm's overrides no two arms share: the overrides themselves unless given, such as the
                model that they solve to. A draw that is there already is drawn again.

        Raises:
            UserError: a range is empty, or the ranges hold too few values for so many arms.
        """
        self._check(name)
        found: list[list[str]] = []
        seen: set[Hashable] = set()
        for place in range(self.number * _TRIES):
            drawn = [f"{key}={self._value(key, place)}" for key in self.ranges]
            if (same := distinct(drawn)) not in seen:
                seen.add(same)
                found.append(drawn)
            if len(found) == self.number:
                break
        if len(found) < self.number:
            raise UserError(f"{name}.ranges: hold {len(found)} different arms, not {self.number}; widen them")
        digits = max(2, len(str(self.number - 1)))
        return {f"s{index:0{digits}}": drawn for index, drawn in enumerate(found)}

    def _value(self, key: str, place: int) -> str:
        span = self.ranges[key]
        share = Random(f"{self.seed}/{key}/{place}").random()
        if span.kind == "int":
            return f"{int(span.low) + int(share * (int(span.high) - int(span.low) + 1))}"
        if span.kind == "log":
            return f"{math.exp(math.log(span.low) + share * math.log(span.high / span.low)):.4g}"
        return f"{span.low + share * (span.high - span.low):.4g}"

    def _check(self, name: str) -> None:
        if self.number < 1:
            raise UserError(f"{name}.number: {self.number} arms are nothing to draw")
        if not self.ranges:
            raise UserError(f"{name}.ranges: name at least one config key with its range")
        for key, span in self.ranges.items():
            if not span.low <= span.high:
                raise UserError(f"{name}.ranges.{key}: low {span.low:g} is above high {span.high:g}")
            if span.kind == "log" and span.low <= 0:
                raise UserError(f"{name}.ranges.{key}: a log range lies above 0, and low is {span.low:g}")
            if span.kind == "int" and not (span.low.is_integer() and span.high.is_integer()):
                raise UserError(f"{name}.ranges.{key}: the ends of an int range are whole numbers")
