"""How the gain of an arm over its opponent changes with the size of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tinylm.report.claims.estimand import Estimand, Interval, Unestimable
from tinylm.report.judgement.wording import unit_of_values
from tinylm.report.statistics.difference import over_seeds
from tinylm.report.statistics.lines import slopes

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claims.claim import Claim


@dataclass(frozen=True, kw_only=True)
class Trend(Estimand):
    """Change of the gain of ``arm`` over ``against`` for each doubling of the opponent's parameters.

    Positive: the larger the model, the more the difference is in the arm's favour, whether lower or higher of the
    metric is better; so also where it loses at every size and ever less. It is the change that the table of trends
    gives for every effect (`tinylm.report.judgement.trends`), here with a region that says where it is expected.

    Fields:
        arm, against: as the claim's file calls them, without a size.
    """

    arm: str
    against: str

    over_sizes: ClassVar[bool] = True

    def arms_named(self, claim: Claim) -> list[str]:
        return [*claim.at_sizes(self.arm), *claim.at_sizes(self.against)]

    def value_unit(self, claim: Claim) -> str:
        return f"{unit_of_values(claim.metric)} a doubling of parameters".strip()

    def interval(self, runs: pd.DataFrame, claim: Claim) -> Interval:
        variants, opponents = claim.at_sizes(self.arm), claim.at_sizes(self.against)
        scores = runs.pivot(index="seed", columns="arm", values=claim.metric)
        scores = scores.reindex(columns=[*variants, *opponents]).astype(float).dropna()
        if scores.empty:
            raise Unestimable("no seed has a number at every size")
        x_S = np.log2(runs.groupby("arm")["accounting.parameters.total"].mean()[opponents].to_numpy(float))
        if np.ptp(x_S) == 0:
            raise Unestimable(f"{self.against} has as many parameters at every size")
        sign = -1 if claim.direction == "lower" else 1
        gains_NS = sign * (scores[variants].to_numpy() - scores[opponents].to_numpy())
        slope_N = slopes(x_S, gains_NS)
        interval = over_seeds(slope_N, claim.alpha)
        if interval is None:
            raise Unestimable(f"{len(slope_N)} seed(s) with a number at every size have no spread")
        method = "Student's t over seeds, a least squares slope of the gains each"
        return Interval(float(slope_N.mean()), *interval, len(slope_N), "seeds", method)
