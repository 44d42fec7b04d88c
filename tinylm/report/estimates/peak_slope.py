"""How the most that there is of something grows with a property of the arms, such as bits of facts with parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinylm.report.claims.estimand import Estimand, Interval, Unestimable
from tinylm.report.judgement.wording import unit_of_values
from tinylm.report.statistics.difference import over_seeds
from tinylm.report.statistics.lines import slopes
from tinylm.report.statistics.rank_correlation import numbers

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claims.claim import Claim

FEWEST = 3  # values of x; a line through two has no scatter about it
GROWTH = 0.1  # of the peak that the largest ``over`` may add to the one before and still count as no more


@dataclass(frozen=True, kw_only=True)
class PeakSlope(Estimand):
    """Slope of the least squares line of the largest ``y`` against ``x``.

    For each x and seed the largest y over the arms at that x counts: what is offered (``over``) is swept until the
    model takes no more. Where the largest offer still adds a tenth, the peak is not reached, and nothing is estimated.
    The slope is taken seed by seed and averaged, so that the interval, Student's t over seeds, needs no guess of how
    the scatter grows with x.

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

    def arms_named(self, claim: Claim) -> list[str] | None:
        return self.arms

    def metric_read(self, claim: Claim) -> str:
        return self.y.split(" / ", 1)[0]

    def value_unit(self, claim: Claim) -> str:
        of = unit_of_values(self.y)
        return f"{of} a parameter" if of and self.x.startswith("accounting.parameters.") else ""

    def interval(self, runs: pd.DataFrame, claim: Claim) -> Interval:
        import pandas as pd

        columns = {"x": numbers(runs, self.x), "y": numbers(runs, self.y), "over": numbers(runs, self.over)}
        table = runs[["seed"]].assign(**columns)
        peaks_NX = pd.DataFrame(
            {
                x: {seed: self._peak(of, f"{self.x} {x:g}, seed {seed}") for seed, of in own.groupby("seed")}
                for x, own in table.groupby("x")
            }
        ).dropna()
        if len(peaks_NX.columns) < FEWEST:
            raise Unestimable(f"{len(peaks_NX.columns)} values of {self.x} are too few for a slope; it takes {FEWEST}")
        slope_N = slopes(peaks_NX.columns.to_numpy(float), peaks_NX.to_numpy(float))
        interval = over_seeds(slope_N, claim.alpha)
        if interval is None:
            raise Unestimable(f"{len(slope_N)} seed(s) with a peak at every {self.x} have no spread")
        method = "Student's t over seeds, a least squares slope of the peaks each"
        return Interval(float(slope_N.mean()), *interval, len(slope_N), "seeds", method)

    def _peak(self, own: pd.DataFrame, at: str) -> float:
        found = own.groupby("over")["y"].mean().sort_index().to_numpy(float)
        peak = float(found.max())
        if len(found) < 2 or found[-1] - found[:-1].max() > GROWTH * abs(peak):
            raise Unestimable(f"{at}: {self.y} still grows at the largest {self.over}; sweep it further")
        return peak
