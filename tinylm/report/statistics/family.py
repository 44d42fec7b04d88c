"""One error rate for all comparisons of a claim: each one's adjusted p, and the level of the interval that fits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tinylm.report.claims.claim import Errors


@dataclass(frozen=True)
class Step:
    """One comparison's place in its family.

    Fields:
        p_adjusted: below alpha exactly when the comparison is decided.
        alpha: the level of its interval; at 1 - alpha it excludes zero exactly when the comparison is decided.
    """

    p_adjusted: float
    alpha: float


def steps(p_values: Sequence[float], alpha: float, errors: Errors) -> list[Step]:
    """The steps of the procedure that controls the declared kind of error."""
    return {"family": holm, "discoveries": benjamini_hochberg}[errors](p_values, alpha)


def holm(p_values: Sequence[float], alpha: float) -> list[Step]:
    """Holm's step-down procedure (Holm 1979) over a family, in the order given.

    The i-th smallest p is held against alpha / (m - i + 1). The first that fails ends the steps, so all from it on
    share its level: an interval at its own, wider step would exclude zero for a comparison that Holm never reached.

    Args:
        p_values: one a comparison; 1 for one that cannot be tested (it keeps its place in the family).
    """
    if not len(p_values):
        return []
    # Not statsmodels' multipletests: it collects garbage on every call, which takes longer than all else here.
    order = np.argsort(p_values, kind="stable")
    ladder = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(ladder), 1.0)
    decided = int((adjusted < alpha).sum())
    levels = np.empty(len(order))
    for rank, index in enumerate(order):
        levels[index] = alpha / (len(order) - min(rank, decided))
    return [Step(float(p), float(level)) for p, level in zip(adjusted, levels, strict=True)]


def benjamini_hochberg(p_values: Sequence[float], alpha: float) -> list[Step]:
    """Benjamini and Hochberg's step-up procedure (1995): of the effects claimed, a share of alpha is false.

    All intervals share the level alpha x decided / family (Benjamini and Yekutieli 2005), so that of those that exclude
    zero a share of alpha misses its true difference; where none is decided, the first step's.

    Args: as of `holm`.
    """
    if not len(p_values):
        return []
    adjusted = stats.false_discovery_control(p_values, method="bh")
    level = alpha * max(1, int((adjusted < alpha).sum())) / len(adjusted)
    return [Step(float(p), level) for p in adjusted]
