"""One claim at several sizes: how each effect goes with size, and how much compute it saves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.curves import Curve, curves_of
from tinylm.report.judgement.multiplier import multiplier
from tinylm.report.judgement.verdicts import GIVEN, Comparison, Trend, Verdicts, Word
from tinylm.report.judgement.wording import decimals, marks, signed
from tinylm.report.statistics.difference import over_seeds
from tinylm.report.statistics.lines import slopes

_PARAMETERS = "accounting.parameters.total"


def trends(comparisons: Sequence[Comparison], runs: pd.DataFrame, claim: Claim) -> list[Trend]:
    """The trend of every effect over the claim's sizes, in the claim's order; none where there are no sizes.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    groups: dict[tuple[str, str], dict[str, Comparison]] = {}
    for item in comparisons:
        size = claim.arms[item.variant].size
        if size is not None:
            groups.setdefault((claim.across(item.variant), claim.across(item.against)), {})[size] = item
    known = curves_of(runs, claim)
    return [_trend(pair, by_size, runs, claim, known) for pair, by_size in groups.items()]


def _trend(
    pair: tuple[str, str],
    by_size: Mapping[str, Comparison],
    runs: pd.DataFrame,
    claim: Claim,
    known: Mapping[str, Curve],
) -> Trend:
    sign = -1 if claim.direction == "lower" else 1
    told = Trend(
        variant=pair[0],
        against=pair[1],
        variant_label=label(claim, pair[0]),
        against_label=label(claim, pair[1]),
        gains={size: sign * item.delta for size, item in by_size.items() if item.delta is not None},
        n=0,
        extended=any(item.extended for item in by_size.values()),
        given=any((item.method or "").endswith(GIVEN) for item in by_size.values()),
    )
    whole = {size for size, item in by_size.items() if item.verdict != "refused" and item.n >= item.declared}
    if whole != set(claim.sizes):  # a run that diverged is an outcome, and its arm's mean over the others is none
        lacking = [size for size in claim.sizes if size not in whole]
        return dataclasses.replace(told, reason=f"no difference that counts at {', '.join(lacking)}")
    seeds = sorted(set.intersection(*(set(item.differences) for item in by_size.values())))
    told = dataclasses.replace(told, n=len(seeds))
    if len(seeds) < 2:
        return dataclasses.replace(told, reason=f"{len(seeds)} seed(s) with a number at every size have no spread")
    variant, against = (known[arm].of(seeds) if arm in known else None for arm in pair)
    needed = multiplier(variant, against, claim.alpha)
    told = dataclasses.replace(
        told, multiplier=needed.value, multiplier_low=needed.low, multiplier_high=needed.high, limits=needed.reason
    )
    gains_NS = sign * np.array([[by_size[size].differences[seed] for size in claim.sizes] for seed in seeds])
    parameters = runs[runs["status"] == "done"].groupby("arm")[_PARAMETERS].mean()
    return _sloped(told, gains_NS, np.log2([float(parameters[by_size[size].against]) for size in claim.sizes]), claim)


def _sloped(told: Trend, gains_NS: np.ndarray, x_S: np.ndarray, claim: Claim) -> Trend:
    """With the gain's change for each doubling of the parameters, of which ``x_S`` are the logarithms."""
    same = math.log2(1 + claim.tolerance)
    if np.ptp(x_S) <= same:
        return dataclasses.replace(told, reason="the opponent has as many parameters at every size")
    if (np.diff(x_S) < -same).any():
        return dataclasses.replace(told, reason="the sizes are not listed with the smallest first (claim.sizes)")
    slope_N = slopes(x_S, gains_NS)
    ends = [gains_NS.mean(1) + slope_N * (x_S[place] - x_S.mean()) for place in (0, -1)]
    interval = over_seeds(slope_N, claim.alpha)
    told = dataclasses.replace(told, change=float(slope_N.mean()))
    if interval is None:
        return dataclasses.replace(told, reason="every seed has the same trend, so there is no spread to weigh it by")
    return dataclasses.replace(
        told,
        ci_low=interval[0],
        ci_high=interval[1],
        word=_word(interval, float(np.ptp(x_S)), ends, claim),
    )


def _word(interval: tuple[float, float], doublings: float, ends: Sequence[np.ndarray], claim: Claim) -> Word:
    """What the interval of a gain's change for each doubling says of the effect.

    Args:
        ends: what each seed's line says of the gain at the smallest and at the largest size.
    """
    if max(map(abs, interval)) * doublings < claim.delta:
        return "holds"
    if interval[0] <= 0 <= interval[1]:
        return "undecided"
    sides = [_side(over_seeds(end, claim.alpha)) for end in ends]
    if sides[0] * sides[1] < 0:
        return "turns"
    first, last = (float(end.mean()) for end in ends)
    return "grows" if abs(last) > abs(first) else "fades"


def _side(interval: tuple[float, float] | None) -> int:
    """On which side of zero an interval lies, 0 where it does not."""
    return 0 if interval is None or interval[0] <= 0 <= interval[1] else int(math.copysign(1, interval[0]))


def label(claim: Claim, across: str) -> str:
    """How readers call an arm over all sizes."""
    return claim.bare_label(next(arm for arm in claim.arms if claim.across(arm) == across))


def trend_table(verdicts: Verdicts, comparisons: Mapping[str, Comparison]) -> pd.DataFrame:
    """A row an effect: its gain at each size, its change for each doubling, the word, the compute multiplier (a star:
    `trend_notes` says why).

    Args:
        comparisons: by variant; their intervals say how many digits a gain has.
    """
    rows = []
    for item in verdicts.trends:
        known = [found for name, found in comparisons.items() if name.startswith(f"{item.variant}@")]
        digits = max(map(decimals, known), default=4)
        row = {"effect": _effect(item)}
        row |= {f"gain at {size}": signed(gain, digits) for size, gain in item.gains.items()}
        row["a doubling changes it by"] = (
            "–" + "*" * bool(item.reason)
            if item.change is None or item.ci_low is None or item.ci_high is None
            else f"{signed(item.change, digits)} ({signed(item.ci_low, digits)} to {signed(item.ci_high, digits)})"
        )
        told = marks(item, verdicts)
        row["verdict"] = item.word + (f" ({', '.join(told)})" if told else "")
        row["training FLOPs the other needs"] = _multiplier(item) + "*" * bool(item.limits)
        rows.append(row | {"n": f"{item.n}"})
    return pd.DataFrame(rows).fillna("–")


def trend_notes(verdicts: Verdicts) -> list[str]:
    """Why trends are lacking, and what limits multipliers: what has a star in `trend_table`."""
    return [
        f"{_effect(item)}: {'; '.join(filter(None, [item.reason, item.limits]))}"
        for item in verdicts.trends
        if item.reason or item.limits
    ]


def _multiplier(trend: Trend) -> str:
    if trend.multiplier is None:
        return "–"
    return f"{trend.multiplier:.2f} × ({trend.multiplier_low:.2f} to {trend.multiplier_high:.2f})"


def _effect(trend: Trend) -> str:
    return f"{trend.variant_label} over {trend.against_label}"
