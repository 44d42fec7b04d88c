"""The difference of two arms, its spread and its tests. Source of the formulas: Student's and Welch's t."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

Method = Literal["paired t", "Welch t"]

BOOTSTRAP_FROM = 20  # pairs; at 10 a 95% interval covers but 84 to 91% (docs/evidence.md)
_EXACT = 1e-12  # spreads below this share of the values are rounding, not spread


@dataclass(frozen=True)
class Difference:
    """Variant minus opponent.

    Fields:
        method: ``paired t``, or ``Welch t`` where the arms share no seed.
        n: pairs; for Welch the smaller arm's runs.
        mean: the mean difference.
        sd: standard deviation of the paired differences (for Welch, of the difference of two single runs).
        error: standard error of the mean difference.
        df: degrees of freedom.
        values: the paired differences; empty for Welch.
        correlation: between the arms over the pairs; None where it is not defined.
        replicates: False where no run's seed changed anything, so that n runs are one run.

    Differences that are all the same number have no spread, and a spread is what tests weigh a mean by: with few seeds,
    or a metric that moves in steps, they come about by chance far more often than a p of 0 says. So nothing is tested.
    """

    method: Method
    n: int
    mean: float
    sd: float
    error: float
    df: float
    values: tuple[float, ...]
    correlation: float | None
    replicates: bool

    @property
    def testable(self) -> bool:
        """Whether there are degrees of freedom, the runs are replicates, and their differences have a spread."""
        return self.df > 0 and self.replicates and self.error > 0

    @property
    def p_value(self) -> float:
        """Two-sided p of no difference; 1 where nothing can be tested."""
        if not self.testable:
            return 1.0
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.df))

    def p_equivalence(self, delta: float) -> float:
        """p of the two one-sided tests (Schuirmann 1987) that the difference is within ±delta; 1 if untestable."""
        if not self.testable:
            return 1.0
        room = delta - abs(self.mean)
        return float(stats.t.sf(room / self.error, self.df))

    def interval(self, alpha: float) -> tuple[float, float] | None:
        """The confidence interval at level 1 - alpha; None where nothing can be tested."""
        if not self.testable:
            return None
        half = float(stats.t.isf(alpha / 2, self.df)) * self.error
        return self.mean - half, self.mean + half

    def bootstrap(self, alpha: float) -> tuple[float, float] | None:
        """The bias-corrected bootstrap interval (Efron 1987), from 20 pairs on; else None."""
        if self.n < BOOTSTRAP_FROM or self.error == 0 or not self.values:
            return None
        found = stats.bootstrap(
            (np.array(self.values),), np.mean, confidence_level=1 - alpha, rng=np.random.default_rng(0)
        )
        return float(found.confidence_interval.low), float(found.confidence_interval.high)

    def sign_flip(self, alpha: float) -> float | None:
        """p of the sign-flip test, where its smallest p, 2^(1 - n), can reach ``alpha``; else None."""
        if not self.values or not self.replicates or 2.0 ** (1 - self.n) > alpha:
            return None
        found = stats.permutation_test(
            (np.array(self.values),),
            np.mean,
            permutation_type="samples",
            n_resamples=2**14,  # exact up to 14 pairs
            rng=np.random.default_rng(0),
        )
        return float(found.pvalue)


def paired(variant: Mapping[int, float], against: Mapping[int, float]) -> Difference | None:
    """The difference over the seeds that both arms have; None where they share none."""
    seeds = sorted(set(variant) & set(against))
    if not seeds:
        return None
    a, b = np.array([variant[seed] for seed in seeds]), np.array([against[seed] for seed in seeds])
    values = a - b
    n = len(seeds)
    sd = _sd(values, a, b) if n > 1 else 0.0
    spread_a, spread_b = (_sd(a, a), _sd(b, b)) if n > 1 else (0.0, 0.0)
    correlation = float(np.corrcoef(a, b)[0, 1]) if n > 2 and spread_a > 0 and spread_b > 0 else None
    return Difference(
        method="paired t",
        n=n,
        mean=float(values.mean()),
        sd=sd,
        error=sd / math.sqrt(n),
        df=n - 1,
        values=tuple(map(float, values)),
        correlation=correlation,
        replicates=n == 1 or spread_a > 0 or spread_b > 0,
    )


def unpaired(variant: Sequence[float], against: Sequence[float]) -> Difference | None:
    """The difference of two arms that share no seed (Welch 1947); None where an arm is empty."""
    if not variant or not against:
        return None
    a, b = np.array(variant), np.array(against)
    spread_a, spread_b = (_sd(a, a) if len(a) > 1 else 0.0), (_sd(b, b) if len(b) > 1 else 0.0)
    share_a, share_b = spread_a**2 / len(a), spread_b**2 / len(b)
    error = math.sqrt(share_a + share_b)
    df = 0.0
    if min(len(a), len(b)) > 1:
        df = float(len(a) + len(b) - 2)
        if error > 0:
            df = error**4 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1))
    return Difference(
        method="Welch t",
        n=min(len(a), len(b)),
        mean=float(a.mean() - b.mean()),
        sd=math.sqrt(spread_a**2 + spread_b**2),
        error=error,
        df=df,
        values=(),
        correlation=None,
        replicates=error > 0 or df == 0,
    )


def outliers(values: Mapping[int, float], alpha: float = 0.05) -> list[int]:
    """Seeds whose value stands apart in their arm (Grubbs 1969, two-sided): for telling, not for dropping."""
    n = len(values)
    x = np.array(list(values.values()))
    if n < 4 or (sd := _sd(x, x)) == 0:
        return []
    t = stats.t.isf(alpha / (2 * n), n - 2)
    critical = (n - 1) / math.sqrt(n) * math.sqrt(t**2 / (n - 2 + t**2))
    return [seed for seed, value in values.items() if abs(value - x.mean()) / sd > critical]


def _sd(x: np.ndarray, *of: np.ndarray) -> float:
    """Standard deviation, with spreads that are rounding of the arrays ``of`` taken as none."""
    sd = float(x.std(ddof=1))
    return 0.0 if sd <= _EXACT * max(float(np.abs(array).max()) for array in of) else sd


def over_seeds(values: Sequence[float] | np.ndarray, alpha: float) -> tuple[float, float] | None:
    """Student's t interval of the mean of a value a seed; None for one seed, or seeds that change nothing."""
    found = paired(dict(enumerate(map(float, values))), dict.fromkeys(range(len(values)), 0.0))
    return None if found is None else found.interval(alpha)
