"""Verdicts: what a sweep showed, as data. No pandas: whoever prints or stores them needs nothing else."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinylm.files import write_json
from tinylm.report.claims.claim import Equal, Expectation

Verdict = Literal["better", "worse", "equivalent", "inconclusive", "refused"]
Outcome = Literal["confirmed", "contradicted", "undecided"]
Word = Literal["grows", "holds", "fades", "turns", "undecided"]
GIVEN = "given one parent"  # what a method ends with where all seeds of an arm begin from the same one

# verdict -> expectation -> outcome; the table stands in docs/evidence.md too.
OUTCOMES: dict[Verdict, dict[Expectation, Outcome]] = {
    "better": {"better": "confirmed", "worse": "contradicted", "equivalent": "contradicted"},
    "worse": {"better": "contradicted", "worse": "confirmed", "equivalent": "contradicted"},
    "equivalent": {"better": "contradicted", "worse": "contradicted", "equivalent": "confirmed"},
    "inconclusive": {"better": "undecided", "worse": "undecided", "equivalent": "undecided"},
    "refused": {"better": "undecided", "worse": "undecided", "equivalent": "undecided"},
}


@dataclass(frozen=True)
class Divergences:
    """How many runs of each arm diverged, and the two-sided p of Fisher's exact test (1 where none did)."""

    variant: int
    against: int
    variant_runs: int
    against_runs: int
    p_value: float

    @property
    def lean(self) -> int:
        """Above zero where a larger share of the variant's runs diverged, below where of the opponent's."""
        return self.variant * self.against_runs - self.against * self.variant_runs


@dataclass(frozen=True)
class Comparison:
    """One variant beside its opponent.

    Fields:
        variant, against: the arms; ``variant_label`` and ``against_label`` are their names for readers, of which the
            second alone says the size where the claim has several.
        equal: the unit in which they are equal.
        n: pairs with a number on both sides (for Welch the smaller arm's runs); ``declared`` is what was planned.
        delta: mean of variant minus opponent; None where there is no pair.
        ci_low, ci_high, interval_level: the interval over seeds at the level of its step, such as 0.975.
        p_value, p_adjusted: of the t test, alone and over the family.
        p_equivalence: of the two one-sided tests, adjusted over the family.
        equivalence_low, equivalence_high, equivalence_level: the interval that these tests used, at the level of their
            own step, such as 0.9: inside ±delta exactly when they are passed.
        verdict, reason: what follows, and why.
        expected, claim, outcome: what was expected, in words, and whether it held.
        method: ``paired t`` or ``Welch t``; ``, given one parent`` where all seeds of an arm begin from the same one.
        sd, correlation: of the paired differences, and between the arms.
        minimum_detectable_effect: at 80% power with this n and sd, at the worst level of the family.
        extended: seeds were added after the declared ones; only the added ones count.
        differences: seed -> variant minus opponent.
        outliers: seeds that stand apart in either arm; they count all the same.
        derived: config keys that differ and were declared as derived.
        divergences: counts of diverged runs, a row of their own.
        bootstrap_low, bootstrap_high, p_sign_flip: beside the t test, where n allows them.
        text_low, text_high: the interval over seeds and documents, at the same level, where documents were scored.
    """

    variant: str
    against: str
    variant_label: str
    against_label: str
    equal: Equal
    n: int
    declared: int
    verdict: Verdict
    reason: str
    delta: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    interval_level: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    p_equivalence: float | None = None
    equivalence_low: float | None = None
    equivalence_high: float | None = None
    equivalence_level: float | None = None
    expected: Expectation | None = None
    claim: str | None = None
    outcome: Outcome | None = None
    method: str | None = None
    sd: float | None = None
    correlation: float | None = None
    minimum_detectable_effect: float | None = None
    extended: bool = False
    differences: dict[int, float] = field(default_factory=dict)
    outliers: list[str] = field(default_factory=list)
    derived: list[str] = field(default_factory=list)
    divergences: Divergences | None = None
    bootstrap_low: float | None = None
    bootstrap_high: float | None = None
    p_sign_flip: float | None = None
    text_low: float | None = None
    text_high: float | None = None


@dataclass(frozen=True)
class Estimate:
    """A quantity with its interval; confirmed only if the whole interval lies in the region declared beforehand.

    Fields:
        name, kind: as declared.
        value: None where the runs give none; without ``ci_low`` and ``ci_high`` it is for telling only.
        region: where it was expected, a bound that is None being open; None: nowhere in particular.
        verdict, reason: contradicted where the whole interval lies outside, else undecided; and why. None: it was
            expected nowhere in particular.
        claim, source: the expectation in words, and where it comes from.
        n, unit: how many of what it rests on.
        value_unit: what the value is in; empty for a number without a unit, or where none is known.
        interval_level: such as 0.95; each estimate has its own, nothing is shared over them.
        extended: seeds were added after the declared ones; only the added ones count.
    """

    name: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    region: tuple[float | None, float | None] | None
    verdict: Outcome | None
    reason: str = ""
    kind: str = ""
    claim: str | None = None
    source: str | None = None
    n: int = 0
    unit: str = ""
    value_unit: str = ""
    interval_level: float | None = None
    extended: bool = False


@dataclass(frozen=True)
class Trend:
    """How an effect goes over a claim's sizes.

    Fields:
        variant, against: the arms over all sizes; ``variant_label`` and ``against_label`` for readers.
        gains: size -> mean gain of the variant, smallest size first; positive: better, whatever the direction.
        change, ci_low, ci_high: of the gain for each doubling of the opponent's parameters, with its interval over
            seeds at 1 - alpha; None where there is none.
        word: ``grows`` or ``fades`` (the interval excludes zero: away from no effect, or towards it and beyond),
            ``holds`` (from the smallest size to the largest it changes by less than delta), ``turns`` (it has one
            sign at the smallest size and the other at the largest, by the intervals of its line there), else
            ``undecided``.
        multiplier, multiplier_low, multiplier_high: times the variant's compute that the opponent needs to be as good,
            a geometric mean over the losses that both reach; None where there are none.
        n: seeds that have a difference at every size.
        reason: why the change has no interval; else empty.
        limits: why there is no multiplier, or what limits it; else empty.
        extended, given: of the comparisons that it is over.
    """

    variant: str
    against: str
    variant_label: str
    against_label: str
    gains: dict[str, float]
    n: int
    word: Word = "undecided"
    change: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    multiplier: float | None = None
    multiplier_low: float | None = None
    multiplier_high: float | None = None
    reason: str = ""
    limits: str = ""
    extended: bool = False
    given: bool = False


@dataclass(frozen=True)
class Verdicts:
    """What a sweep showed: all of ``verdicts.json``.

    Fields:
        sweep, metric, direction: what was compared, and whether ``lower`` or ``higher`` is better.
        minimum_detectable_effect: the largest of the comparisons' own: what every one of them could have found.
        warnings: what a reader has to know.
        comparisons, estimates: the results, in the claim's order.
        trends: how each effect goes over the claim's sizes, where it has several.
        smallest_effect: what is worth having, as declared: the claim's ``delta``.
        amended: what decides was declared otherwise before runs had ended; ``warnings`` say what.
    """

    sweep: str
    metric: str
    direction: Literal["lower", "higher"]
    minimum_detectable_effect: float | None
    warnings: list[str]
    comparisons: list[Comparison]
    estimates: list[Estimate]
    smallest_effect: float
    trends: list[Trend] = field(default_factory=list)
    amended: bool = False

    def __str__(self) -> str:
        """The table that ends a sweep in a terminal, with reasons and warnings."""
        from tinylm.report.judgement.verdict_tables import terminal_table  # and with it pandas

        return terminal_table(self)

    def as_json(self) -> dict[str, Any]:
        """Plain data with null for what is missing; never NaN."""
        data = _plain(dataclasses.asdict(self))
        del data["smallest_effect"]
        return data

    def write(self, path: Path) -> None:
        """Write ``verdicts.json``, atomically."""
        write_json(path, self.as_json())


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
