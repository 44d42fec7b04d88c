"""One claim at several sizes: how each effect goes with size, and how well a small size foretells a larger one."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.multiplier import both_reach, log_multiplier_N
from tinylm.report.judgement.scaling import Law, laws
from tinylm.report.judgement.signal import distinct
from tinylm.report.judgement.verdicts import GIVEN, Comparison, Trend, Verdicts, Word
from tinylm.report.judgement.wording import decimals, marks, signed
from tinylm.report.statistics.difference import over_seeds
from tinylm.report.statistics.lines import slopes

ENOUGH_ARMS = 5  # below, there are too few pairs of arms to count
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
    fitted = laws(runs, claim)
    return [_trend(pair, by_size, runs, claim, fitted) for pair, by_size in groups.items()]


def _trend(
    pair: tuple[str, str],
    by_size: Mapping[str, Comparison],
    runs: pd.DataFrame,
    claim: Claim,
    fitted: Mapping[str, Law],
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
    gains_NS = sign * np.array([[by_size[size].differences[seed] for size in claim.sizes] for seed in seeds])
    parameters = runs[runs["status"] == "done"].groupby("arm")[_PARAMETERS].mean()
    x_S = np.log2([float(parameters[by_size[size].against]) for size in claim.sizes])
    if np.ptp(x_S) == 0:
        return dataclasses.replace(told, reason="the opponent has as many parameters at every size")
    if (np.diff(x_S) < 0).any():
        return dataclasses.replace(told, reason="the sizes are not listed with the smallest first (claim.sizes)")
    slope_N = slopes(x_S, gains_NS)
    ends = [gains_NS.mean(1) + slope_N * (x_S[place] - x_S.mean()) for place in (0, -1)]
    interval = over_seeds(slope_N, claim.alpha)
    told = dataclasses.replace(told, change=float(slope_N.mean()))
    if interval is None:
        return dataclasses.replace(told, reason="every seed has the same trend, so there is no spread to weigh it by")
    told = dataclasses.replace(
        told,
        ci_low=interval[0],
        ci_high=interval[1],
        word=_word(interval, float(np.ptp(x_S)), ends, claim),
    )
    return _multiplied(told, fitted, seeds, claim)


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


def _multiplied(told: Trend, fitted: Mapping[str, Law], seeds: Sequence[int], claim: Claim) -> Trend:
    found = [fitted[arm].of(seeds) for arm in (told.variant, told.against) if arm in fitted]
    variant, against = found if len(found) == 2 else (None, None)
    if variant is None or against is None:
        return dataclasses.replace(told, reason="no multiplier: no power law in FLOPs goes through both arms' sizes")
    found_N, reached = log_multiplier_N(variant, against), both_reach(variant, against)
    interval = None if found_N is None else over_seeds(found_N, claim.alpha)
    if found_N is None or interval is None or reached is None:
        return dataclasses.replace(told, reason="no multiplier: the arms' losses do not fall through the same values")
    spans = [np.ptp(np.log(law.loss_NS.mean(0))) for law in (variant, against)]
    few = f"the multiplier is over losses of {reached[0]:.3f} to {reached[1]:.3f} alone, which both arms reach"
    return dataclasses.replace(
        told,
        reason=few if math.log(reached[1] / reached[0]) < min(spans) / 2 else "",
        multiplier=math.exp(float(found_N.mean())),
        multiplier_low=math.exp(interval[0]),
        multiplier_high=math.exp(interval[1]),
    )


def label(claim: Claim, across: str) -> str:
    """How readers call an arm over all sizes."""
    name = next(arm for arm in claim.arms if claim.across(arm) == across)
    return claim.label(name).removesuffix(f" at {claim.arms[name].size}")


def trend_table(verdicts: Verdicts, comparisons: Mapping[str, Comparison]) -> pd.DataFrame:
    """A row an effect: its gain at each size, its change for each doubling, the word, the compute multiplier (with a
    star where `trend_notes` says what limits it).

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
            "–"
            if item.change is None or item.ci_low is None or item.ci_high is None
            else f"{signed(item.change, digits)} ({signed(item.ci_low, digits)} to {signed(item.ci_high, digits)})"
        )
        told = marks(item, verdicts)
        row["verdict"] = item.word + (f" ({', '.join(told)})" if told else "")
        row["compute the other needs"] = _multiplier(item) + "*" * bool(item.reason)
        rows.append(row | {"n": f"{item.n}"})
    return pd.DataFrame(rows).fillna("–")


def trend_notes(verdicts: Verdicts) -> list[str]:
    """What limits the trends and their multipliers, which carry a star in `trend_table`."""
    return [f"{_effect(item)}: {item.reason}" for item in verdicts.trends if item.reason]


def _multiplier(trend: Trend) -> str:
    if trend.multiplier is None:
        return "–"
    return f"{trend.multiplier:.2f} × ({trend.multiplier_low:.2f} to {trend.multiplier_high:.2f})"


def _effect(trend: Trend) -> str:
    return f"{trend.variant_label} over {trend.against_label}"


def decision_table(runs: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Pairwise decision accuracy (Magnusson et al. 2025, arXiv:2504.11393) from each size to every larger one.

    The share of all pairs of arms that stand in the same order, by their means over seeds. Arms that are the same runs
    count once, and arms without a run of some seed not at all. Empty below five arms.
    """
    done = runs[(runs["stage"] == "compare") & (runs["status"] == "done") & runs["arm"].isin(list(claim.arms))]
    if not claim.sizes or done.empty or claim.metric not in done:
        return pd.DataFrame()
    own = done.assign(
        across=[claim.across(arm) for arm in done["arm"]], size=[claim.arms[arm].size or "" for arm in done["arm"]]
    )
    own = own[own["across"].isin(distinct(own, "across"))].dropna(subset=[claim.metric])
    cells = own.groupby(["across", "size"])[claim.metric]
    means, counts = (
        found.unstack("size").reindex(columns=list(claim.sizes)) for found in (cells.mean(), cells.count())
    )
    means = means.loc[(counts.to_numpy() == own["seed"].nunique()).all(axis=1)]
    if len(means) < ENOUGH_ARMS:
        return pd.DataFrame()
    rows = []
    for small, large in itertools.combinations(claim.sizes, 2):
        same, pairs = agreeing(means[small].to_numpy(float), means[large].to_numpy(float))
        rows.append(
            {"decided at": small, "for": large, "pairs in the same order": f"{same} of {pairs} ({same / pairs:.0%})"}
        )
    return pd.DataFrame(rows)


def agreeing(small: np.ndarray, large: np.ndarray) -> tuple[int, int]:
    """Pairs of arms that stand in the same order in both, and pairs in all; a tie in either agrees with nothing."""
    first, second = np.triu_indices(len(small), 1)
    same = np.sign(small[first] - small[second]) * np.sign(large[first] - large[second]) > 0
    return int(same.sum()), len(first)
