"""Stopping an arm early, as declared: after some seeds, where a gain worth having is excluded.

Stopping is for futility alone. A stopped arm gets no verdict but keeps its place in the family, and the others are
tested as if nothing had been stopped: no boundary lets a claim through early, so that the family's error stays below
alpha whatever is stopped (the boundary is non-binding, as in group-sequential trials: Jennison and Turnbull 2000,
"Group Sequential Methods"). The rule and its bound are our construction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy import stats

from tinylm.report.claims.claim import Claim, Stop

_ORDERS = 2000  # of seeds, of a past comparison that is replayed


def futile(gains: Sequence[float], delta: float, stop: Stop) -> bool:
    """Whether gains exclude a mean gain of delta: their upper t bound, the risk shared over the looks, is below it.

    An arm that truly gains delta is stopped at any look with a chance of at most ``stop.risk``; one that gains more,
    with less.
    """
    n = len(gains)
    if n < 2:
        return False
    error = float(np.std(gains, ddof=1)) / math.sqrt(n)
    if error == 0:  # as a verdict: gains without spread are no sure ones
        return False
    return float(np.mean(gains)) + float(stats.t.isf(stop.risk / len(stop.after), n - 1)) * error < delta


def stopped(claim: Claim, scores: Mapping[str, Mapping[int, float]], seeds: Sequence[int]) -> list[str]:
    """The arms that a look after ``seeds`` stops: futile ones that no other arm is compared with.

    An arm that is expected to be equivalent or worse is none of them: what it is asked for takes all its seeds.

    Args:
        scores: arm -> seed -> the claim's metric. An arm that lacks one of the seeds goes on.
    """
    if claim.stop is None:
        return []
    sign = -1 if claim.direction == "lower" else 1
    found = []
    for variant, against in claim.comparisons.items():
        pairs = [(scores.get(variant, {}).get(seed), scores.get(against, {}).get(seed)) for seed in seeds]
        gains = [sign * (a - b) for a, b in pairs if a is not None and b is not None]
        goes_on = variant in claim.comparisons.values() or claim.arms[variant].expect in ("equivalent", "worse")
        if not goes_on and len(gains) == len(seeds) and futile(gains, claim.delta, claim.stop):
            found.append(variant)
    return found


def reason(claim: Claim, variant: str, scores: Mapping[str, Mapping[int, float]], planned: Sequence[int]) -> str | None:
    """Why an arm was stopped, from its numbers alone; None where it was not, or not by the rule.

    Args:
        planned: the arm's seeds; fewer than declared where it was stopped.
    """
    if claim.stop is None:
        return None
    for number in claim.stop.after:
        seeds = claim.seeds[:number]
        if set(planned) == set(seeds) and variant in stopped(claim, scores, seeds):
            after = f"stopped after {number} of {len(claim.seeds)} seeds, as declared"
            return f"{after}: a gain of {claim.delta:g} is excluded"
    return None


def replayed(differences: Sequence[Sequence[float]], delta: float, stop: Stop, gain: float | None) -> tuple[int, int]:
    """How often past comparisons would have been stopped, over the orders of their seeds: (stopped, all).

    Over every order of as many seeds as the last look takes, where there are at most 2000; else over 2000 drawn ones.

    Args:
        differences: gains of each past comparison, one a seed; those without a seed beyond the last look are left out.
        gain: the true gain to put in the place of each comparison's mean: with ``delta``, what is stopped is stopped
            falsely; None leaves them as they were.
    """
    hits = total = 0
    for gains in differences:
        values = np.array(gains, float)
        if len(values) <= stop.after[-1]:
            continue
        for first in _orders(len(values), stop.after[-1]):
            looks = [values[list(first[:look])] for look in stop.after]
            if gain is not None:
                looks = [_about(gain, look - values.mean(), len(values)) for look in looks]
            hits += any(futile(list(look), delta, stop) for look in looks)
            total += 1
    return hits, total


def _about(gain: float, deviations: np.ndarray, n: int) -> np.ndarray:
    """Some of n gains' deviations from their mean, put about ``gain`` as new seeds would lie there.

    The mean of k of n values strays from that of all n by sqrt(1 - k / n) of what the mean of k new ones strays from
    the truth (sampling without replacement), so it is moved away by that much. Their spread needs no correction.
    """
    strayed = deviations.mean() / math.sqrt(1 - len(deviations) / n)
    return gain + strayed + deviations - deviations.mean()


def _orders(n: int, first: int) -> Iterable[tuple[int, ...]]:
    if math.perm(n, first) <= _ORDERS:
        return itertools.permutations(range(n), first)
    rng = np.random.default_rng(0)  # the first of all in turn would begin alike
    return (tuple(rng.permutation(n)[:first].tolist()) for _ in range(_ORDERS))
