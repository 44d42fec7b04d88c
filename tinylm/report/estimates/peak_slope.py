"""How the most that there is of something grows with a property of the arms, such as bits of facts with parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from tinylm.report.estimand import Estimand, Interval, Unestimable
from tinylm.report.rank_correlation import numbers

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claim import Claim

FEWEST = 3  # values of x; a line through two has no scatter about it
GROWTH = 0.1  # of the peak that the largest ``over`` may add to the one before and still count as no more


@dataclass(frozen=True, kw_only=True)
class PeakSlope(Estimand):
    """Slope of the least squares line of the largest ``y`` against ``x``.

    For each x and seed the largest y over the arms at that x counts: what is offered (``over``) is swept until the
    model takes no more. Where the largest offer still adds a tenth, the peak is not reached, and nothing is estimated.
    The interval is Student's t from the scatter of the peaks about the line, which has one level for all seeds.

    Fields:
        x: a number of every run: a column of `collect`, or a quotient ``a / b`` of two.
        y: another.
        over: the number that is swept at each x.
        arms: over which arms; None: all.
    """

    x: str
    y: str
    over: str
    arms: list[str] | None = None

    def arms_named(self) -> list[str] | None:
        return self.arms

    def metric_read(self, claim: Claim) -> str:
        return self.y.split(" / ", 1)[0]

    def interval(self, runs: pd.DataFrame, claim: Claim) -> Interval:
        columns = {"x": numbers(runs, self.x), "y": numbers(runs, self.y), "over": numbers(runs, self.over)}
        table = runs[["seed"]].assign(**columns)
        peaks = [
            (float(own["x"].iloc[0]), self._peak(own, f"{self.x} {own['x'].iloc[0]:g}, seed {own['seed'].iloc[0]}"))
            for _, own in table.groupby(["x", "seed"])
        ]
        x, y = np.array(peaks).T
        if len(set(x)) < FEWEST:
            raise Unestimable(f"{len(set(x))} values of {self.x} are too few for a slope; it takes {FEWEST}")
        line = x - x.mean()
        spread = float((line**2).sum())
        slope = float((y * line).sum()) / spread
        scatter = y - y.mean() - slope * line
        df = len(y) - 2
        half = float(stats.t.isf(claim.alpha / 2, df)) * math.sqrt(float((scatter**2).sum()) / df / spread)
        method = f"Student's t from the scatter of {len(y)} peaks about the line, {df} degrees of freedom"
        return Interval(slope, slope - half, slope + half, len(y), "peaks", method)

    def _peak(self, own: pd.DataFrame, at: str) -> float:
        found = own.groupby("over")["y"].mean().sort_index().to_numpy(float)
        peak = float(found.max())
        if len(found) < 2 or found[-1] - found[:-1].max() > GROWTH * abs(peak):
            raise Unestimable(f"{at}: {self.y} still grows at the largest {self.over}; sweep it further")
        return peak
