"""A quantity that a claim is about: what every kind of it declares and gives. The kinds stand in ``estimates/``.

No pandas when it runs, for whoever plans a sweep validates with it.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tinylm.errors import UserError, nearest
from tinylm.report.claims.schema import build

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claims.claim import Claim

KINDS = "tinylm.report.estimates"


class Unestimable(Exception):
    """Why runs give no interval for a quantity, in words for a report."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Fields:
        n, unit: how many of what it rests on, such as 32 ``arms``.
        method: where the interval comes from, in words.
    """

    value: float
    low: float
    high: float
    n: int
    unit: str
    method: str


@dataclass(frozen=True, kw_only=True)
class Estimand(ABC):
    """One quantity that a claim declares before it runs.

    Fields:
        kind: the file's name in ``estimates/``; the class has the same name in capitals and lower case.
        region: where the source leads us to expect it, [low, high]; null for one: open to that side; null for both
            together: it leads us to expect nothing, and there is no verdict.
        claim, source: the expectation in words, and where it comes from.
    """

    kind: str
    region: list[float | None] | None
    claim: str | None = None
    source: str | None = None

    takes_diverged: ClassVar[bool] = False  # whether a run that diverged is no hindrance
    over_sizes: ClassVar[bool] = False  # whether its arms are equal at each of the claim's sizes alone

    @classmethod
    def parse(cls, block: Any, where: str) -> Estimand:
        """The estimand of a block, by its ``kind``.

        Raises:
            UserError: there is no such kind, or its class lacks or refuses a key.
        """
        kind = block.get("kind") if isinstance(block, Mapping) else None
        known = kinds()
        if kind is None:
            raise UserError(f"{where}: the key 'kind' is missing; one of {', '.join(known)}")
        if kind not in known:
            raise UserError(f"{where}.kind: there is no {kind!r}{nearest(str(kind), known)}")
        name = "".join(part.capitalize() for part in kind.split("_"))
        made: Estimand = build(getattr(importlib.import_module(f"{KINDS}.{kind}"), name), block, where)
        _region(made.region, f"{where}.region")
        return made

    @abstractmethod
    def arms_named(self, claim: Claim) -> list[str] | None:
        """The arms that it is over; None: all of the claim's."""

    def stage(self, claim: Claim) -> str:
        """The stage whose runs it is over."""
        return "compare"

    def metric_read(self, claim: Claim) -> str:
        """The column of numbers that each of its runs has to have."""
        return claim.metric

    def value_unit(self, claim: Claim) -> str:
        """The unit of its value; empty where it has none, as a correlation, or none is known."""
        return ""

    @abstractmethod
    def interval(self, runs: pd.DataFrame, claim: Claim) -> Interval:
        """The estimate with its interval at level 1 - ``claim.alpha``.

        Args:
            runs: rows of `tinylm.report.records.arms.by_arm`: its arms, its stage, the seeds that count.

        Raises:
            Unestimable: too few points, no spread, no optimum inside the grid, ...
        """


def kinds() -> list[str]:
    """The kinds that there are, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(KINDS).__path__))


def _region(region: list[float | None] | None, where: str) -> None:
    if region is None:
        return
    if len(region) != 2 or region == [None, None]:
        raise UserError(f"{where}: expected [low, high] with at most one of them null, or null, got {region}")
    low, high = region
    if low is not None and high is not None and not low < high:
        raise UserError(f"{where}: {low:g} is not below {high:g}")
