"""Results in words: units, numbers to the digits that their interval supports, one sentence a comparison."""

from __future__ import annotations

import math
import re
from collections import Counter

from tinylm.report.judgement.verdicts import GIVEN, Comparison, Estimate, Trend, Verdicts

_METRICS = {
    "bits_per_byte": "bits per byte",
    "tune_bits_per_byte": "bits per byte (tune)",
    "int8_bits_per_byte": "bits per byte (int8)",
    "test_loss": "nats a token",
    "fact_bits_per_parameter": "bits of facts a parameter",
    "fact_bits_stored": "bits of facts stored",
}
_UNITS = {  # of values that stand beside their metric's name, by a pattern of metrics
    r"(skip_|extrapolation_|gap_to_floor|(floor_)?bits_per_byte/).*": "bits per byte",
    r"tune_loss|round_\d+_(loss|forgetting|tilt)": "nats a token",
    r"effective_dimension(_\d+)?": "principal components",
}
_COLUMNS = {
    "accounting.parameters.total": "parameters",
    "accounting.parameters.body": "body parameters",
    "accounting.parameters.active": "active parameters",
}
_EQUALS = {"flops": "FLOPs", "body_parameters": "body parameters", "active_parameters": "active parameters"}
_ERRORS = {"family": "Holm", "discoveries": "Benjamini and Hochberg (of the effects claimed, this share is false)"}
_IN_FULL = 2  # comparisons and estimates that one sentence can hold
_MOST_DIGITS = 8  # after the point


def unit(metric: str) -> str:
    """A metric's name with its unit, for axes and sentences."""
    return _METRICS.get(metric, metric.replace("_", " "))


def unit_of_values(metric: str) -> str:
    """The unit that a metric's values are in; empty where it has none, or none is known."""
    known = [told for pattern, told in _UNITS.items() if re.fullmatch(pattern, metric)]
    return known[0] if known else _METRICS.get(metric, "")


def quantity(column: str) -> str:
    """A column of runs as an axis says it: ``quantity("data.entities") == "entities"``; of a quotient both parts."""
    parts = column.split(" / ")
    return " / ".join(_COLUMNS.get(part, part.rsplit(".", 1)[-1].replace("_", " ")) for part in parts)


def equal_in_words(equal: str) -> str:
    """The declared equal as a reader says it."""
    return _EQUALS.get(equal, equal)


def errors(kind: str) -> str:
    """The procedure that controls a kind of error, with what it controls."""
    return _ERRORS[kind]


def decimals(comparison: Comparison) -> int:
    """Digits after the point that show two significant digits of the interval's half width."""
    return _digits(half_width(comparison) or abs(comparison.delta or 0))


def _digits(scale: float) -> int:
    return 4 if scale <= 0 else min(_MOST_DIGITS, max(1, 1 - math.floor(math.log10(scale))))


def half_width(comparison: Comparison) -> float:
    """Half of the interval; 0 where there is none."""
    if comparison.ci_low is None or comparison.ci_high is None:
        return 0.0
    return (comparison.ci_high - comparison.ci_low) / 2


def signed(value: float, digits: int) -> str:
    """A number with its sign, the minus as a minus: ``signed(-0.5, 2) == "−0.50"``."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def difference(comparison: Comparison) -> str:
    """Difference and half width, such as ``−0.0210 ± 0.0061``; a dash where there is no pair."""
    if comparison.delta is None:
        return "–"
    digits = decimals(comparison)
    width = f" ± {half_width(comparison):.{digits}f}" if comparison.ci_low is not None else ""
    return signed(comparison.delta, digits) + width


def amount_of_gain(gain: float | None, low: float | None, high: float | None) -> str:
    """A gain with half of its interval, such as ``+0.0210 ± 0.0061``; a dash where there is none."""
    if gain is None:
        return "–"
    half = None if low is None or high is None else (high - low) / 2
    digits = _digits(half or abs(gain))
    return signed(gain, digits) + ("" if half is None else f" ± {half:.{digits}f}")


def marks(item: Comparison | Estimate | Trend, verdicts: Verdicts) -> list[str]:
    """What a result carries that is not of the declaration that its runs were made for."""
    given = isinstance(item, Trend) and item.given  # of a comparison or an estimate the method says it
    return [GIVEN] * given + ["extended"] * item.extended + ["amended"] * verdicts.amended


def sentence(comparison: Comparison, verdicts: Verdicts) -> str:
    """One comparison in one sentence with all that limits it, without its full stop."""
    a, b = comparison.variant_label, comparison.against_label
    metric, digits = unit(verdicts.metric), decimals(comparison)
    size = f"{abs(comparison.delta or 0):.{digits}f} ± {half_width(comparison):.{digits}f} {metric}"
    test, _, given = (comparison.method or "").partition(", ")
    limits = [*["unpaired"] * test.startswith("Welch"), *[given] * bool(given), *marks(comparison, verdicts)]
    where = ", ".join([f"at equal {equal_in_words(comparison.equal)}", f"n = {comparison.n}", *limits])
    outcome = f": {comparison.outcome}" if comparison.outcome else ""
    match comparison.verdict:
        case "better":
            return f"{a} beats {b} by {size} {where}{outcome}"
        case "worse":
            return f"{a} is worse than {b} by {size} {where}{outcome}"
        case "equivalent":
            room = verdicts.smallest_effect
            inside = f"within ±{room:g} {metric} ({_equivalence(comparison, room)})"
            return f"{a} and {b} are equivalent {inside} {where}{outcome}"
        case "inconclusive":
            return f"{a} against {b} is inconclusive (difference {difference(comparison)} {metric}) {where}{outcome}"
        case "refused":
            return f"{a} against {b} is refused: {comparison.reason}"


def _equivalence(comparison: Comparison, delta: float) -> str:
    """The difference of an equivalent comparison and the bounds that showed it, to digits that tell them from delta."""
    mean, low, high = comparison.delta, comparison.equivalence_low, comparison.equivalence_high
    if mean is None or low is None or high is None:  # nothing was tested, so the verdict is another
        return f"difference {difference(comparison)}"
    digits = _digits((high - low) / 2)
    while digits < _MOST_DIGITS and round(max(-low, high), digits) >= delta:
        digits += 1
    bounds = f"{signed(low, digits)} to {signed(high, digits)}"
    seen = "; detectable all the same" * _excludes_zero(comparison)
    return f"difference {signed(mean, digits)}, within {bounds} by the test of equivalence{seen}"


def _excludes_zero(comparison: Comparison) -> bool:
    low, high = comparison.ci_low, comparison.ci_high
    return low is not None and high is not None and (low > 0 or high < 0)


def interval(estimate: Estimate) -> str:
    """An estimate's interval, such as ``+0.21 to +0.74``; a dash where there is none."""
    if estimate.ci_low is None or estimate.ci_high is None:
        return "–"
    digits = _digits((estimate.ci_high - estimate.ci_low) / 2)
    return f"{signed(estimate.ci_low, digits)} to {signed(estimate.ci_high, digits)}"


def value(estimate: Estimate) -> str:
    """An estimate's value to the digits that its interval supports; a dash where there is none."""
    if estimate.value is None:
        return "–"
    low, high = estimate.ci_low, estimate.ci_high
    return signed(estimate.value, _digits(abs(estimate.value) if low is None or high is None else (high - low) / 2))


def region(estimate: Estimate) -> str:
    """Where an estimate was expected, in words."""
    if estimate.region is None:
        return "–"
    low, high = estimate.region
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}".replace("-", "\N{MINUS SIGN}")


def estimate_sentence(estimate: Estimate, verdicts: Verdicts) -> str:
    """One estimate in one sentence, without its full stop."""
    name = estimate.name.replace("_", " ")
    if estimate.ci_low is None:
        return f"{name} is not estimated: {estimate.reason}"
    level = f"{estimate.interval_level:.0%} interval {interval(estimate)}"
    over = ", ".join([f"n = {estimate.n} {estimate.unit}", *marks(estimate, verdicts)])
    told = [f"expected {region(estimate)}"] if estimate.region is not None else []
    told += [estimate.claim] if estimate.claim else []
    why = f"; {': '.join(told)}" if told else ""
    found = f"{value(estimate)} {estimate.value_unit}".strip()
    return f"{name} is {found} ({level}, {over}{why})" + (f": {estimate.verdict}" if estimate.verdict else "")


def trend_sentence(trend: Trend, verdicts: Verdicts) -> str:
    """How one effect goes over the sizes, in one sentence, without its full stop."""
    pair = f"over the sizes the effect of {trend.variant_label} against {trend.against_label}"
    if not trend.gains or trend.change is None or trend.ci_low is None or trend.ci_high is None:
        return f"{pair} has no trend: {trend.reason}"
    digits = _digits((trend.ci_high - trend.ci_low) / 2)
    ends = [f"{signed(gain, digits)} {unit(verdicts.metric)} at {size}" for size, gain in trend.gains.items()]
    interval = f"{signed(trend.ci_low, digits)} to {signed(trend.ci_high, digits)}"
    word = "is undecided" if trend.word == "undecided" else trend.word
    over = ", ".join([f"n = {trend.n}", *marks(trend, verdicts)])
    return f"{pair} {word} (gain {ends[0]}, {ends[-1]}; a doubling {interval}, {over})"


def in_full(verdicts: Verdicts) -> bool:
    """Whether the answer holds every result, and need not count them."""
    return len(verdicts.comparisons) + len(verdicts.estimates) <= _IN_FULL and not verdicts.trends


def answer(verdicts: Verdicts) -> str:
    """What the sweep showed, in one sentence."""
    told, estimates = verdicts.comparisons, verdicts.estimates
    if in_full(verdicts):
        said = [sentence(item, verdicts) for item in told] + [estimate_sentence(item, verdicts) for item in estimates]
        return "; ".join(said) + "."
    held = Counter(item.verdict or "without expectation" for item in estimates)
    counted = f"of {_number(len(estimates), 'estimate')} " + ", ".join(f"{n} {name}" for name, n in held.items())
    if not told:
        return counted[0].upper() + counted[1:] + "."
    kinds = Counter(item.verdict for item in told)
    outcomes = Counter(item.outcome for item in told if item.outcome)
    parts = [f"{count} {kind}" for kind, count in kinds.items()]
    expected = f"; of {_number(sum(outcomes.values()), 'expectation')} " + ", ".join(
        f"{n} {name}" for name, n in outcomes.items()
    )
    others = f"; {counted}" if estimates else ""
    words = Counter(item.word for item in verdicts.trends)
    others += f"; over the sizes {', '.join(f'{n} {word}' for word, n in words.items())}" if words else ""
    return f"Of {_number(len(told), 'comparison')} {', '.join(parts)}{expected if outcomes else ''}{others}."


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def amount(value: float | None) -> str:
    """A count with a prefix and three digits: ``amount(6e6) == "6.00 M"``; a dash for what is missing."""
    if value is None or not math.isfinite(value):
        return "–"
    rounded = float(f"{value:.3g}")  # 999,600 is a million, not a thousand thousands
    for power, prefix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(rounded) >= 10**power and abs(value) >= 10_000:
            return f"{rounded / 10**power:.3g} {prefix}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
