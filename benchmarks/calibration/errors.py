"""False verdicts where there is no effect, and found ones where one is planted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.calibration.engine import judged
from benchmarks.calibration.spreads import Spread
from tinylm.report.judgement.power import minimum_detectable_effect, power_of_t

CLAIMED = ("better", "worse")
PLANTED = (0.5, 1.0, 2.0)  # x the minimum detectable effect
_NO_ROOM = 0.01  # delta in standard deviations: so small that no claim passes for an equivalence
_ROOM = 3.0  # delta in standard deviations of the differences: so large that equivalence can be shown from 3 seeds on


@dataclass(frozen=True)
class Count:
    """So many of so many, with the exact interval (Clopper and Pearson 1934) at 95%.

    Fields:
        what: which cases were counted.
        promised: the share that the engine promises: at most for errors, about for power.
    """

    what: str
    hits: int
    of: int
    promised: float

    @property
    def share(self) -> float:
        return self.hits / self.of

    @property
    def interval(self) -> tuple[float, float]:
        found = stats.binomtest(self.hits, self.of).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.share:.1%} ({low:.1%} to {high:.1%})"


def false_claims(spread: Spread, n: int, families: int, seed: int = 0) -> Count:
    """Families that look like a real sweep's, without any effect: how many claim one."""
    rng = np.random.default_rng([seed, n])
    arms = len(spread.covariance_AA)
    hits = sum(_claims(spread.family(n, rng), spread.sd * _NO_ROOM) for _ in range(families))
    return Count(f"as {spread.sweep}: {arms - 1} arms against the first, n = {n}", hits, families, 0.05)


def false_claims_in_steps(items: int, n: int, arms: int, families: int, seed: int = 0) -> Count:
    """Families scored by a benchmark of so many items, half of them right: in steps, so seeds often agree."""
    rng = np.random.default_rng([seed, items, n, arms])
    hits = 0
    for _ in range(families):
        scores_AN = rng.binomial(items, 0.5, (arms, n)) / items
        hits += _claims({f"a{place}": list(map(float, own)) for place, own in enumerate(scores_AN)}, 1e-3 / items)
    return Count(f"right answers of {items}: {arms - 1} comparisons, n = {n}", hits, families, 0.05)


def false_claims_of_twins(twins: Sequence[float], n: int = 3) -> Count:
    """Real A/A comparisons: trained models that differ in their seed alone, in two arms of n, none used twice."""
    delta = float(np.std(twins, ddof=1)) * _NO_ROOM
    pairs = [(twins[at : at + n], twins[at + n : at + 2 * n]) for at in range(0, len(twins) - 2 * n + 1, 2 * n)]
    hits = sum(_claims({"a": a, "b": b}, delta) for a, b in pairs)
    return Count(f"trained twins, n = {n}", hits, len(pairs), 0.05)


def false_claims_of_drawn_twins(twins: Sequence[float], n: int, arms: int, families: int, seed: int = 0) -> Count:
    """Families drawn without replacement from the scores of trained twins: their real shape, which is not normal."""
    rng = np.random.default_rng([seed, n, arms])
    delta = float(np.std(twins, ddof=1)) * _NO_ROOM
    hits = 0
    for _ in range(families):
        drawn = rng.choice(twins, (arms, n), replace=False)
        hits += _claims({f"a{place}": list(own) for place, own in enumerate(drawn)}, delta)
    return Count(f"drawn from trained twins: {arms - 1} comparisons, n = {n}", hits, families, 0.05)


def false_equivalences(twins: Sequence[float], n: int, arms: int, families: int, seed: int = 0) -> Count:
    """Families of drawn twins whose variants all differ by exactly delta: how many call one of them equivalent."""
    rng = np.random.default_rng([seed, n, arms, 1])
    delta = _ROOM * float(np.std(twins, ddof=1)) * np.sqrt(2)
    hits = 0
    for _ in range(families):
        first, *others = rng.choice(twins, (arms, n), replace=False)
        moved = {f"a{place}": list(own + delta * (-1) ** place) for place, own in enumerate(others, start=1)}
        judgement = judged({"a0": list(first), **moved}, delta)
        hits += any(item.verdict == "equivalent" for item in judgement.comparisons)
    return Count(f"drawn from trained twins: {arms - 1} comparisons, n = {n}", hits, families, 0.05)


def found_effects(twins: Sequence[float], n: int, rounds: int, comparisons: int = 1, seed: int = 0) -> Iterable[Count]:
    """Effects of 0.5, 1 and 2 times the minimum detectable one, added to the real scores of twins: how many are found.

    Of several comparisons one has the effect and the others none, so that it has to pass the worst step of the family,
    as the plan has it. The plan knows the twins' spread; ``promised`` is the power that it states.
    """
    sd = float(np.std(twins, ddof=1)) * np.sqrt(2)
    for times in PLANTED:
        rng = np.random.default_rng([seed, n, round(10 * times), comparisons])
        effect = times * minimum_detectable_effect(sd, n, comparisons)
        hits = 0
        for _ in range(rounds):
            first, moved, *others = rng.choice(twins, (comparisons + 1, n), replace=False)
            arms = {"a": list(first), "b": list(moved - effect)}
            arms |= {f"c{place}": list(own) for place, own in enumerate(others)}
            hits += judged(arms, delta=sd * _NO_ROOM).comparisons[0].verdict == "better"
        family = f" of {comparisons} comparisons" if comparisons > 1 else ""
        yield Count(f"{times:g} × detectable{family}, n = {n}", hits, rounds, power_of_t(effect, sd, n, comparisons))


def _claims(scores: dict[str, list[float]] | dict[str, Sequence[float]], delta: float) -> bool:
    return any(item.verdict in CLAIMED for item in judged(scores, delta).comparisons)
