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
from tinylm.report.judgement.wording import signed
from tinylm.report.statistics.difference import over_seeds

FLOOR_FROM = 5  # sizes from which a floor is fitted; three points always find one
SPAN = 1.5  # times the FLOPs of the smallest that the largest size takes at least; below there is no slope to see


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
        compute_S: mean FLOPs of each size, smallest first; loss_NS: by seed and size; seed_N: those seeds.
        floor_N: zeros below five sizes.
    """

    compute_S: np.ndarray
    loss_NS: np.ndarray
    exponent_N: np.ndarray
    intercept_N: np.ndarray
    floor_N: np.ndarray
    seed_N: np.ndarray

    def of(self, seeds: Sequence[int]) -> Law | None:
        """The law of some of its seeds alone; None where it lacks one."""
        places = [list(self.seed_N).index(seed) for seed in seeds if seed in self.seed_N]
        if len(places) < len(seeds):
            return None
        values = (self.loss_NS, self.exponent_N, self.intercept_N, self.floor_N, self.seed_N)
        return Law(self.compute_S, *(value[places] for value in values))

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
        free = len(self.compute_S) - (2 if len(self.compute_S) < FLOOR_FROM else 3)
        if free < 1:
            return None
        slope_N1, start_N1 = self.exponent_N[:, None], self.intercept_N[:, None]
        away_NS = self.loss_NS - self.floor_N[:, None] - np.exp(start_N1 + slope_N1 * np.log(self.compute_S))
        place = int(np.abs(away_NS.mean(0)).argmax())
        low, high = over_seeds(away_NS[:, place], alpha / free) or (None, None)
        return Departure(place, float(away_NS[:, place].mean()), low, high)


def fit_law(compute_S: np.ndarray, loss_NS: np.ndarray, seeds: Sequence[int] | None = None) -> Law | None:
    """Fit each seed: a line in the logarithms (least squares), from five sizes on with a floor below it.

    None where the sizes take about as much compute as one another, or no curve with a floor goes through them.
    """
    if compute_S.max() < SPAN * compute_S.min():
        return None
    try:
        fits = [_fit(compute_S, loss_S) for loss_S in loss_NS]
    except RuntimeError:  # the fit did not converge
        return None
    exponent_N, intercept_N, floor_N = (np.array(column) for column in zip(*fits, strict=True))
    seed_N = np.arange(len(loss_NS)) if seeds is None else np.array(seeds)
    return Law(compute_S, loss_NS, exponent_N, intercept_N, floor_N, seed_N)


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


def laws(runs: pd.DataFrame, claim: Claim) -> dict[str, Law]:
    """Arm over all sizes -> its law, for arms with a loss and FLOPs at every size for some seed, where there is one.

    None where the sizes are not listed by their FLOPs, the smallest first.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    if not claim.sizes or claim.direction != "lower" or not {claim.metric, "cost.flops"} <= set(runs):
        return {}
    done = runs[(runs["stage"] == "compare") & (runs["status"] == "done") & runs["arm"].isin(list(claim.arms))]
    told = done.dropna(subset=[claim.metric, "cost.flops"])[["arm", "seed", claim.metric, "cost.flops"]]
    done = told.astype({claim.metric: float, "cost.flops": float}).assign(
        across=[claim.across(arm) for arm in told["arm"]], size=[claim.arms[arm].size or "" for arm in told["arm"]]
    )
    found: dict[str, Law] = {}
    for arm, own in done.groupby("across", sort=False):
        loss = own.pivot_table(index="seed", columns="size", values=claim.metric).reindex(columns=list(claim.sizes))
        loss = loss.dropna()
        compute = own.groupby("size")["cost.flops"].mean().reindex(list(claim.sizes))
        grows = compute.is_monotonic_increasing and compute.is_unique
        if len(loss) and (loss.to_numpy() > 0).all() and grows:
            law = fit_law(compute.to_numpy(float), loss.to_numpy(float), [int(seed) for seed in loss.index])
            found |= {} if law is None else {str(arm): law}
    return found


def scaling_table(fitted: Mapping[str, Law], labels: Mapping[str, str], claim: Claim) -> pd.DataFrame:
    """A row an arm: exponent of loss against FLOPs with its interval over seeds; the floor, where one is fitted.

    And where the losses lie farthest from the law, which says whether there is one.
    """
    rows, alpha = [], claim.alpha
    for arm, law in fitted.items():
        row = {
            "arm": labels[arm],
            "exponent of loss in FLOPs": _mean(law.exponent_N, alpha),
            "n": f"{len(law.loss_NS)} seeds",
        }
        if len(law.compute_S) >= FLOOR_FROM:
            row["floor"] = _mean(law.floor_N, alpha)
        away = law.departure(alpha)
        row["farthest from its law"] = "–" if away is None else _departed(away, claim)
        rows.append(row)
    return pd.DataFrame(rows)


def _departed(away: Departure, claim: Claim) -> str:
    """A departure in words, such as ``−0.0130 (−0.0150 to −0.0110) at 1m``."""
    interval = "" if away.low is None or away.high is None else f" ({signed(away.low, 4)} to {signed(away.high, 4)})"
    return f"{signed(away.mean, 4)}{interval} at {list(claim.sizes)[away.place]}"


def _mean(values: Sequence[float] | np.ndarray, alpha: float) -> str:
    interval = over_seeds(values, alpha)
    mean = f"{signed(float(np.mean(values)), 4)}"
    return mean if interval is None else f"{mean} ({signed(interval[0], 4)} to {signed(interval[1], 4)})"
