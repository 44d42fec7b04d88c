"""The mean difference of a metric between two arms, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinylm.report.claims.estimand import Estimand, Interval, Unestimable
from tinylm.report.judgement.wording import unit_of_values
from tinylm.report.statistics.difference import paired

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claims.claim import Claim


@dataclass(frozen=True, kw_only=True)
class Difference(Estimand):
    """``arm`` minus ``against`` in a metric that is not the claim's, over the seeds that both have.

    Fields:
        metric: any number of a run: a column of `collect`.
        arm, against: whose runs.
    """

    metric: str
    arm: str
    against: str

    def arms_named(self, claim: Claim) -> list[str]:
        return [self.arm, self.against]

    def metric_read(self, claim: Claim) -> str:
        return self.metric

    def value_unit(self, claim: Claim) -> str:
        return unit_of_values(self.metric)

    def interval(self, runs: pd.DataFrame, claim: Claim) -> Interval:
        of_arm = {
            arm: dict(zip(own["seed"].astype(int), own[self.metric].astype(float), strict=True))
            for arm, own in runs.groupby("arm")
        }
        found = paired(of_arm.get(self.arm, {}), of_arm.get(self.against, {}))
        if found is None:
            raise Unestimable(f"{self.arm} and {self.against} share no seed")
        bounds = found.interval(claim.alpha)
        if bounds is None:
            raise Unestimable(
                f"{found.n} pair(s) have no spread; declare more seeds"
                if found.n < 2
                else "no run changed with its seed, so the seeds are one run and not several"
            )
        return Interval(found.mean, *bounds, found.n, "pairs", "paired t over seeds")
