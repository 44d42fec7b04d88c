"""The exponent of a power law that the best value of a tuned key follows, such as lr ∝ (batch size)^r."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import stats

from tinylm.errors import nearest
from tinylm.report.claims.estimand import Estimand, Interval, Unestimable

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claims.claim import Claim

FEWEST = 3  # values of x; a line through two has no scatter about it
REACH = 2  # grid points to either side of the best that its quadratic goes through


@dataclass(frozen=True, kw_only=True)
class PowerLawOptimum(Estimand):
    """Slope of log(best value of ``tuned``) against log(``x``).

    For each x and seed the best value is the vertex of a quadratic in log(tuned), through the best grid point and as
    many on either side (two at most). The slope is that of least squares through each x's mean over seeds, its interval
    Student's t from the scatter of these means about the line: seeds read one text, so where an optimum strays from
    the law it strays in all of them, and more seeds do not make it known better. (A bootstrap over the three or so
    seeds of a sweep would be far too narrow.)

    The runs are those of stage tune, judged by what tuning is judged by, where the claim tunes ``tuned``; else the
    compared ones, whose arms then make up the grid.

    Fields:
        x: a positive number of every run, such as ``batch.size``.
        tuned: another, such as ``optim.lr``.
        arms: over which arms; None: all.
    """

    x: str
    tuned: str
    arms: list[str] | None = None

    takes_diverged: ClassVar[bool] = True

    def arms_named(self, claim: Claim) -> list[str] | None:
        return self.arms

    def stage(self, claim: Claim) -> str:
        return "tune" if claim.tune is not None and self.tuned in claim.tune.params else "compare"

    def metric_read(self, claim: Claim) -> str:
        return claim.tune.metric if claim.tune is not None and self.stage(claim) == "tune" else claim.metric

    def _direction(self, claim: Claim) -> str:
        return claim.tune.direction if claim.tune is not None and self.stage(claim) == "tune" else claim.direction

    def interval(self, runs: pd.DataFrame, claim: Claim) -> Interval:
        optima = self.optima(runs, claim)
        values = sorted({x for x, _ in optima})
        if len(values) < FEWEST:
            raise Unestimable(f"{len(values)} values of {self.x} are too few for an exponent; it takes {FEWEST}")
        seeds = sorted({seed for _, seed in optima})
        if len(optima) < len(values) * len(seeds):
            raise Unestimable(f"not every seed has every {self.x}")
        means = [np.mean([optima[x, seed] for seed in seeds]) for x in values]
        line = stats.linregress(np.log(values), means)
        df = len(values) - 2
        half = float(stats.t.isf(claim.alpha / 2, df) * line.stderr)
        method = f"Student's t from the scatter of {len(values)} mean optima about the line, {df} degrees of freedom"
        return Interval(
            float(line.slope), float(line.slope) - half, float(line.slope) + half, len(optima), "optima", method
        )

    def optima(self, runs: pd.DataFrame, claim: Claim) -> dict[tuple[float, int], float]:
        """(x, seed) -> log of the best value of ``tuned``.

        Raises:
            Unestimable: a best value at the edge of its grid, or without a quadratic that opens to the right side.
        """
        for column in (self.x, self.tuned):
            if column not in runs:
                raise Unestimable(f"no run has {column}{nearest(column, [str(name) for name in runs.columns])}")
            if not (runs[column].astype(float) > 0).all():
                raise Unestimable(f"{column} is not above zero in every run, so it has no logarithm")
        metric = self.metric_read(claim)
        losses = runs[metric].astype(float) * (1 if self._direction(claim) == "lower" else -1)
        points = {"x": runs[self.x].astype(float), "seed": runs["seed"], "tuned": runs[self.tuned].astype(float)}
        frame = runs[[]].assign(**points, loss=losses)
        found = {}
        for x in sorted(frame["x"].unique()):
            for seed, own in frame[frame["x"] == x].groupby("seed"):
                grid = own.groupby("tuned")["loss"].min()  # of several settings at one value the best
                found[float(x), int(str(seed))] = self._vertex(grid, f"{self.x} {x:g}, seed {seed}")
        return found

    def _vertex(self, grid: pd.Series, at: str) -> float:
        rates, losses = np.log(grid.index.to_numpy(float)), grid.to_numpy(float)
        if len(rates) < FEWEST or not np.isfinite(losses).any():
            raise Unestimable(f"{at}: {int(np.isfinite(losses).sum())} values of {self.tuned} ended with a number")
        best = int(np.nanargmin(losses))
        reach = min(REACH, best, len(rates) - 1 - best)
        if reach == 0:
            raise Unestimable(
                f"{at}: the best {self.tuned} ({math.exp(rates[best]):g}) is at the edge of its grid; widen it"
            )
        while reach > 1 and not np.isfinite(losses[best - reach : best + reach + 1]).all():
            reach -= 1
        near = slice(best - reach, best + reach + 1)
        if not np.isfinite(losses[near]).all():
            raise Unestimable(f"{at}: the run beside the best {self.tuned} diverged; take a finer grid")
        curve, tilt, _ = np.polyfit(rates[near] - rates[best], losses[near], 2)
        vertex = -tilt / (2 * curve) if curve > 0 else math.inf
        if not rates[near][0] <= rates[best] + vertex <= rates[near][-1]:
            raise Unestimable(f"{at}: the valley over {self.tuned} is too flat or too ragged for a quadratic")
        return float(rates[best] + vertex)
