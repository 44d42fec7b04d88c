"""How strongly a property of the arms goes with their quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinylm.report.claims.estimand import Estimand, Interval
from tinylm.report.statistics.rank_correlation import arm_means, bootstrapped, rank_correlation

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claims.claim import Claim


@dataclass(frozen=True, kw_only=True)
class Spearman(Estimand):
    """Spearman's rho of a property with quality over the arms; positive: the more of it, the better.

    Fields:
        x: the property: a number of every run: any column of `collect`, or a quotient ``a / b`` of two.
        arms: over which arms; None: all.
    """

    x: str
    arms: list[str] | None = None

    def arms_named(self, claim: Claim) -> list[str] | None:
        return self.arms

    def interval(self, runs: pd.DataFrame, claim: Claim) -> Interval:
        table = arm_means(runs, [self.x], claim)
        return bootstrapped(table, lambda t: rank_correlation(t[..., 0, :], t[..., 1, :]), claim.alpha)
