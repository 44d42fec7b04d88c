"""The mean of a metric over the seeds of an arm, or of the parents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from tinylm.report.claims.estimand import Estimand, Interval, Unestimable
from tinylm.report.judgement.wording import unit_of_values

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claims.claim import Claim


@dataclass(frozen=True, kw_only=True)
class Mean(Estimand):
    """Mean over seeds with Student's t interval.

    Fields:
        metric: any number of a run: a column of `collect`.
        arm: whose runs; null: the parents' of the sweep.
    """

    metric: str
    arm: str | None

    def arms_named(self, claim: Claim) -> list[str] | None:
        return None if self.arm is None else [self.arm]

    def stage(self, claim: Claim) -> str:
        return "parent" if self.arm is None else "compare"

    def metric_read(self, claim: Claim) -> str:
        return self.metric

    def value_unit(self, claim: Claim) -> str:
        return unit_of_values(self.metric)

    def interval(self, runs: pd.DataFrame, claim: Claim) -> Interval:
        values = runs[self.metric].to_numpy(float)
        n = len(values)
        if n < 2:
            raise Unestimable(f"{n} seed(s) have no spread; declare more")
        error = float(values.std(ddof=1)) / math.sqrt(n)
        if error <= 1e-12 * float(np.abs(values).max()):
            raise Unestimable("no run changed with its seed, so the seeds are one run and not several")
        half = float(stats.t.isf(claim.alpha / 2, n - 1)) * error
        mean = float(values.mean())
        return Interval(mean, mean - half, mean + half, n, "seeds", "Student's t over seeds")
