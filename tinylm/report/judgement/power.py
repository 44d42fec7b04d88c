"""What a number of seeds can show: power of the paired t test and of equivalence, before anything runs.

Levels are those of the worst Holm step (alpha / family), so a plan never promises more than the decision keeps.
Power is integrated over the distribution of the sample's standard deviation: exact, and stable at n = 2 and 3,
where the noncentral t distribution of common libraries is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import integrate, optimize, special, stats

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.spread import past_gains, past_spread
from tinylm.report.judgement.stopping import replayed

_LARGEST_N = 10_000
_POINTS = 8001  # of the integration; fine enough for the steep transition at n = 2
_WORTH_RUNNING = 0.5  # power below which a plan carries a warning


def power_of_t(effect: float, sd: float, n: int, family: int = 1, alpha: float = 0.05) -> float:
    """Chance that the two-sided paired t test finds ``effect``.

    Args:
        effect: the true difference, in the metric's unit.
        sd: standard deviation of the paired differences.
        n: pairs.
        family: comparisons over which alpha is shared.
    """
    if n < 2:
        return 0.0
    if sd == 0:
        return 1.0 if effect != 0 else 0.0
    critical = float(stats.t.ppf(1 - alpha / family / 2, n - 1))
    shift = abs(effect) / sd * math.sqrt(n)

    def given_spread(ratio: np.ndarray) -> np.ndarray:
        return special.ndtr(shift - critical * ratio) + special.ndtr(-shift - critical * ratio)

    return _over_spread(given_spread, n, math.inf)


def power_of_equivalence(sd: float, n: int, delta: float, family: int = 1, alpha: float = 0.05) -> float:
    """Chance that two one-sided t tests show two arms without any difference to be within ±``delta``.

    Args: as in `power_of_t`; ``delta`` is the smallest effect worth having.
    """
    if n < 2 or delta <= 0:
        return 0.0
    if sd == 0:
        return 1.0
    critical = float(stats.t.ppf(1 - alpha / family, n - 1))
    room = delta / sd * math.sqrt(n)

    def given_spread(ratio: np.ndarray) -> np.ndarray:
        return 2 * special.ndtr(room - critical * ratio) - 1

    return _over_spread(given_spread, n, room / critical)


def minimum_detectable_effect(
    sd_of_differences: float, n: int, family: int = 1, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest difference that n pairs find with the given power; infinite for n below 2."""
    if n < 2:
        return math.inf
    if sd_of_differences == 0:
        return 0.0
    return _in_deviations(n, family, alpha, power) * sd_of_differences


@lru_cache(maxsize=256)
def _in_deviations(n: int, family: int, alpha: float, power: float) -> float:
    """The minimum detectable effect in standard deviations of the differences."""
    high = 1.0
    while power_of_t(high, 1.0, n, family, alpha) < power:
        high *= 1.5
    found = optimize.root_scalar(
        lambda effect: power_of_t(effect, 1.0, n, family, alpha) - power, bracket=(0.0, high), method="brentq"
    )
    return float(found.root)


def seeds_needed(
    sd_of_differences: float, effect: float, family: int = 1, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """The fewest pairs that find ``effect`` with the given power; None above 10,000."""
    return _fewest(lambda n: power_of_t(effect, sd_of_differences, n, family, alpha), power)


def seeds_needed_for_equivalence(
    sd_of_differences: float, delta: float, family: int = 1, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """The fewest pairs that show two equal arms to be within ±``delta``; None above 10,000."""
    return _fewest(lambda n: power_of_equivalence(sd_of_differences, n, delta, family, alpha), power)


def describe_power(
    claim: Claim, roots: Sequence[str | Path], cost: Callable[[int], str] = lambda seeds: ""
) -> list[str]:
    """What a claim's planned seeds can show, and what more would take, in lines for a plan.

    Args:
        roots: of past runs, from which the spread comes.
        cost: what a number of seeds costs, in words that follow it, such as `` (about 3 h)``.
    """
    n, family = len(claim.seeds), claim.largest_family
    if not family:
        return [f"{len(claim.estimates)} estimate(s), and no comparison whose power could be told"]
    many = f"{n} seeds, {family} comparison{'s' if family > 1 else ''}"
    if n < 2:
        return [f"power: one seed has no spread, so {many} can show nothing; declare more seeds"]
    spread = past_spread(claim, roots)
    if spread is None:
        effect = minimum_detectable_effect(1.0, n, family, claim.alpha)
        return [
            f"power: {many}: found at 80% power is {effect:.1f} × the standard deviation of the paired differences, "
            "which no past run tells"
        ]
    many_past, least, largest = spread.among
    source = f"from {spread.source}" + (f", {spread.provisional}: provisional" if spread.provisional else "")
    if many_past > 1:
        source += f"; {many_past} past sweeps: {least:.2g} to {largest:.2g}"
    effect = minimum_detectable_effect(spread.sd, n, family, claim.alpha)
    lines = [
        f"power: {many}: an effect of {effect:.2g} {claim.metric} is found at 80% power "
        f"(sd of paired differences {spread.sd:.2g}, {source})"
    ]
    for power, what, shown, needed in (
        (
            power_of_t(claim.delta, spread.sd, n, family, claim.alpha),
            "an effect of delta",
            f"an effect of {claim.delta:g} (delta) is found at",
            seeds_needed(spread.sd, claim.delta, family, claim.alpha),
        ),
        (
            power_of_equivalence(spread.sd, n, claim.delta, family, claim.alpha),
            "equivalence",
            "equal arms are shown so at",
            seeds_needed_for_equivalence(spread.sd, claim.delta, family, claim.alpha),
        ),
    ):
        takes = "more than 10,000 seeds" if needed is None else f"{needed} seeds{cost(needed)}"
        lines.append(f"power: {shown} {power:.0%}; 80% takes {takes}")
        if power < _WORTH_RUNNING:
            lines.append(f"warning: {what} would rather be missed than shown; declare more seeds or a larger delta")
    return lines + _describe_stop(claim, roots)


def _describe_stop(claim: Claim, roots: Sequence[str | Path]) -> list[str]:
    """What stopping early would have done to past sweeps of the metric."""
    if claim.stop is None:
        return []
    past = past_gains(claim, roots)
    looks = ", ".join(map(str, claim.stop.after))
    told = (
        f"stop: looks after {looks} of {len(claim.seeds)} seeds; an arm that truly gains delta is stopped in "
        f"{claim.stop.risk:.0%} of cases at most, and a stopped one is shown neither worse nor equivalent"
    )
    false, of = replayed(past, claim.delta, claim.stop, claim.delta)
    if not of:
        return [f"{told}; no past sweep has the seeds to replay it on"]
    saved, _ = replayed(past, claim.delta, claim.stop, None)
    return [
        f"{told}; replayed on past comparisons shifted to a gain of delta: {false / of:.1%} stopped falsely "
        f"({false} of {of} orders of seeds); as they were: {saved / of:.0%} stopped"
    ]


def _over_spread(chance: Callable[[np.ndarray], np.ndarray], n: int, upper: float) -> float:
    """Mean of ``chance(sample sd / true sd)`` over samples of n normal numbers; ``chance`` is 0 from ``upper`` on."""
    scale = math.sqrt(n - 1)
    reach = 12 / (math.sqrt(2) * scale)  # twelve standard deviations of the ratio: beyond, there is nothing
    low, high = max(0.0, 1 - reach), min(upper, 1 + reach)
    if high <= low:
        return 0.0
    ratio = np.linspace(low, high, _POINTS)
    density = stats.chi.pdf(ratio * scale, n - 1) * scale
    return min(1.0, max(0.0, float(integrate.simpson(chance(ratio) * density, x=ratio))))


def _fewest(chance: Callable[[int], float], power: float) -> int | None:
    high = 2
    while chance(high) < power:
        if high >= _LARGEST_N:
            return None
        high = min(2 * high, _LARGEST_N)
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle) >= power else (middle + 1, high)
    return low
