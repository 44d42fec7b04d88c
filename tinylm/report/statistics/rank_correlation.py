"""Spearman's rank correlation of an arm's properties with its quality, and bootstrap intervals over the arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from tinylm.errors import nearest
from tinylm.report.claims.estimand import Interval, Unestimable

if TYPE_CHECKING:
    import pandas as pd

    from tinylm.report.claims.claim import Claim

FEWEST = 8  # arms; below, an interval of a rank correlation spans nearly everything
DRAWS = 2000


def numbers(runs: pd.DataFrame, column: str) -> pd.Series[float]:
    """A column of `collect`, or the quotient of two, written ``a / b``.

    Raises:
        Unestimable: there is no such column, or it holds something else than numbers.
    """
    parts = []
    for name in column.split(" / ", 1):
        if name not in runs:
            raise Unestimable(f"no run has {name}{nearest(name, [str(known) for known in runs.columns])}")
        try:
            parts.append(runs[name].astype(float))
        except (TypeError, ValueError) as error:
            raise Unestimable(f"{name} is no number") from error
    return parts[0] if len(parts) == 1 else parts[0] / parts[1]


def arm_means(runs: pd.DataFrame, columns: Sequence[str], claim: Claim) -> np.ndarray:
    """A row an arm: the columns, then quality, each the mean over the arm's seeds.

    Quality is the claim's metric with the sign that makes better larger. An arm is one point, whatever its seeds: what
    is drawn at random are the arms, and the seeds' noise is within their scatter.

    Raises:
        Unestimable: fewer than 8 arms; a column that there is not, that is no number or that does not differ.
    """
    table = runs[["arm"]].copy()
    for column in columns:
        table[column] = numbers(runs, column)
        if table[column].isna().any():
            raise Unestimable(f"{table.loc[table[column].isna(), 'arm'].iloc[0]} has no {column}")
    table["quality"] = runs[claim.metric].astype(float) * (-1 if claim.direction == "lower" else 1)
    means = table.groupby("arm", sort=False).mean()
    if len(means) < FEWEST:
        raise Unestimable(f"{len(means)} arms are too few for a rank correlation; it takes {FEWEST}")
    for column in (*columns, "quality"):
        if means[column].nunique() < 2:
            raise Unestimable(f"{column} does not differ between the arms")
    return means.to_numpy(float)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rho along the last axis, ties at their mean rank; NaN where one side does not differ.

    Source: Spearman 1904, "The proof and measurement of association between two things".
    """
    a, b = stats.rankdata(x, axis=-1), stats.rankdata(y, axis=-1)
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    scale = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.divide((a * b).sum(-1), scale, out=np.full_like(scale, np.nan), where=scale > 0)


def bootstrapped(table: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], alpha: float) -> Interval:
    """A statistic of the arms with the percentile bootstrap's interval (Efron 1979), the arms redrawn.

    In simulations of 8 to 32 arms it covers a correlation as often as it says, which the bias-corrected one does no
    better; the gap of two magnitudes less often (see `estimates.spearman_gap`).

    Args:
        table: arms x columns.
        statistic: (..., columns, arms) -> (...).
    """
    arms = len(table)
    drawn = np.random.default_rng(0).integers(0, arms, (DRAWS, arms))
    values = statistic(np.moveaxis(table[drawn], -1, -2))
    low, high = np.quantile(values[np.isfinite(values)], [alpha / 2, 1 - alpha / 2])
    value = float(statistic(table.T))
    return Interval(value, float(low), float(high), arms, "arms", f"percentile bootstrap over arms, {DRAWS} draws")
