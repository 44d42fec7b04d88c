"""Loss against compute over sizes: a power law for each seed, its exponent and its floor.

Everything is fitted seed by seed and then averaged, so that intervals are Student's t over seeds: they need no guess
of how noise changes with size. They are given the sizes and that a power law holds between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.curves import Curve, told
from tinylm.report.judgement.wording import signed
from tinylm.report.statistics.difference import over_seeds

FLOOR_FROM = 5  # sizes from which a floor is fitted; three points always find one


@dataclass(frozen=True)
class Departure:
    """Where an arm's mean loss lies farthest from its law.

    Fields:
        place: of the size, in the law's order.
        mean, low, high: loss less what the law says there, with its interval over seeds; it is None where the seeds
            have no spread.
    """

    place: int
    mean: float
    low: float | None
    high: float | None

    @property
    def sure(self) -> bool:
        """Whether the losses bend away from the law, and do not scatter about it."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Law:
    """``loss = floor + exp(intercept) x compute ** exponent`` of one arm, a value a seed.

    Fields:
        floor_N: zeros below five sizes.
    """

    curve: Curve
    exponent_N: np.ndarray
    intercept_N: np.ndarray
    floor_N: np.ndarray

    def band(self, compute: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean law at some FLOPs and its pointwise interval over seeds; the interval is NaN for one seed."""
        floor_N1, slope_N1, start_N1 = self.floor_N[:, None], self.exponent_N[:, None], self.intercept_N[:, None]
        values_NC = floor_N1 + np.exp(start_N1 + slope_N1 * np.log(compute))
        n = len(values_NC)
        half = np.full(len(compute), np.nan)
        if n > 1:
            half = stats.t.isf(alpha / 2, n - 1) * values_NC.std(0, ddof=1) / math.sqrt(n)
        mean = values_NC.mean(0)
        return mean, mean - half, mean + half

    def departure(self, alpha: float) -> Departure | None:
        """Where the mean loss lies farthest from the law; None where no fewer parameters than sizes were fitted.

        The interval is at ``1 - alpha`` shared by the sizes that the parameters leave free. With three sizes and a
        line that is one: the distances at all three are the same number but for its sign and scale.
        """
        sizes = self.curve.loss_NS.shape[1]
        free = sizes - (2 if sizes < FLOOR_FROM else 3)
        if free < 1:
            return None
        slope_N1, start_N1 = self.exponent_N[:, None], self.intercept_N[:, None]
        law_NS = self.floor_N[:, None] + np.exp(start_N1 + slope_N1 * np.log(self.curve.compute_NS))
        away_NS = self.curve.loss_NS - law_NS
        place = int(np.abs(away_NS.mean(0)).argmax())
        low, high = over_seeds(away_NS[:, place], alpha / free) or (None, None)
        return Departure(place, float(away_NS[:, place].mean()), low, high)


def fit_law(curve: Curve) -> Law | None:
    """Fit each seed: a line in the logarithms (least squares), from five sizes on with a floor below it.

    None where the sizes take about as much compute as one another, are not listed with the smallest first, or no
    curve with a floor goes through them.
    """
    if not curve.grows or not curve.spans:
        return None
    try:
        fits = [_fit(compute_S, loss_S) for compute_S, loss_S in zip(curve.compute_NS, curve.loss_NS, strict=True)]
    except RuntimeError:  # the fit did not converge
        return None
    exponent_N, intercept_N, floor_N = (np.array(column) for column in zip(*fits, strict=True))
    return Law(curve, exponent_N, intercept_N, floor_N)


def _fit(compute_S: np.ndarray, loss_S: np.ndarray) -> tuple[float, float, float]:
    x = np.log(compute_S)
    line = stats.linregress(x, np.log(loss_S))
    if len(compute_S) < FLOOR_FROM:
        return float(line.slope), float(line.intercept), 0.0
    middle = x.mean()  # about which exponent and height hardly depend on one another

    def law(at: np.ndarray, slope: float, height: float, floor: float) -> np.ndarray:
        return floor + np.exp(height + slope * (at - middle))

    half = 0.5 * float(loss_S.min())
    guess = (max(-2.9, 1.5 * min(float(line.slope), -0.01)), math.log(float(loss_S.mean()) - half), half)
    bounds = ([-3.0, -np.inf, 0.0], [0.0, np.inf, float(loss_S.min())])
    (slope, height, floor), _ = optimize.curve_fit(law, x, loss_S, p0=guess, bounds=bounds, max_nfev=20_000)
    return float(slope), float(height - slope * middle), float(floor)


def laws(curves: Mapping[str, Curve]) -> dict[str, Law]:
    """Arm -> its law, for those that have one."""
    return {arm: law for arm, curve in curves.items() if (law := fit_law(curve)) is not None}


def scaling_table(fitted: Mapping[str, Law], labels: Mapping[str, str], claim: Claim) -> pd.DataFrame:
    """A row an arm: exponent of loss against FLOPs with its interval over seeds; the floor, where one is fitted.

    And where the losses lie farthest from the law, which says whether there is one.
    """
    rows, alpha = [], claim.alpha
    for arm, law in fitted.items():
        row = {
            "arm": labels[arm],
            "exponent of loss in FLOPs": _mean(law.exponent_N, alpha),
            "n": told(law.curve.seeds, claim),
        }
        if law.curve.loss_NS.shape[1] >= FLOOR_FROM:
            row["floor"] = _floor(law, alpha)
        away = law.departure(alpha)
        row["farthest from its law"] = "–" if away is None else _departed(away, claim)
        rows.append(row)
    return pd.DataFrame(rows)


def _departed(away: Departure, claim: Claim) -> str:
    """A departure in words, such as ``−0.0130 (−0.0150 to −0.0110) at 1m``."""
    interval = "" if away.low is None or away.high is None else f" ({signed(away.low, 4)} to {signed(away.high, 4)})"
    return f"{signed(away.mean, 4)}{interval} at {list(claim.sizes)[away.place]}"


def _floor(law: Law, alpha: float) -> str:
    """The floor with its interval, which ends at zero; without one where a seed's fit ended at a bound of its floor."""
    low, high = 1e-4 * law.curve.loss_NS.min(1), (1 - 1e-4) * law.curve.loss_NS.min(1)
    stuck = int(((law.floor_N <= low) | (law.floor_N >= high)).sum())
    mean, interval = float(law.floor_N.mean()), over_seeds(law.floor_N, alpha)
    if stuck:
        return f"{mean:.4f}, {stuck} of {len(law.floor_N)} seeds at the fit's bound"
    return f"{mean:.4f}" if interval is None else f"{mean:.4f} ({max(interval[0], 0.0):.4f} to {interval[1]:.4f})"


def _mean(values: Sequence[float] | np.ndarray, alpha: float) -> str:
    interval = over_seeds(values, alpha)
    mean = f"{signed(float(np.mean(values)), 4)}"
    return mean if interval is None else f"{mean} ({signed(interval[0], 4)} to {signed(interval[1], 4)})"
