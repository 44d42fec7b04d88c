"""A ladder: changes stacked one on another, each arm compared with the one below; what every rung adds to the whole."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Manifest
from tinylm.report.judgement.guards import Run
from tinylm.report.judgement.pairing import Pairing
from tinylm.report.judgement.verdicts import Verdicts
from tinylm.report.judgement.wording import amount_of_gain

_FEWEST = 2  # rungs above the base


@dataclass(frozen=True)
class Gain:
    """How much better, in the metric's unit: positive is better, whatever the metric's direction.

    Fields:
        low, high: the interval; None where there is none.
        verdict: of the comparison; of the whole ladder, where no comparison of the claim is about it, a dash.
    """

    value: float | None
    low: float | None
    high: float | None
    verdict: str


def rungs(claim: Claim) -> list[str]:
    """The longest way up from the baseline along ``against``, the baseline first; empty where it is no ladder.

    In a ladder every arm is on that way, or is made as one that is (so that it may be held against another opponent).
    """
    if claim.baseline is None:
        return []
    above: dict[str, list[str]] = {}
    for variant, against in claim.comparisons.items():
        above.setdefault(against, []).append(variant)

    def way(arm: str, below: tuple[str, ...]) -> list[str]:
        ways = [way(other, (*below, arm)) for other in above.get(arm, []) if other not in below]
        return [arm, *max(ways, key=len, default=[])]

    found = way(claim.baseline, ())
    made = [claim.arms[arm].overrides for arm in found]
    beside = [arm for arm, declared in claim.arms.items() if arm not in found and declared.overrides not in made]
    return found if len(found) > _FEWEST and not beside else []


def ladder_table(verdicts: Verdicts, manifest: Manifest, runs: pd.DataFrame) -> pd.DataFrame:
    """A row a rung, then the whole: its gain, its share of the whole, and the same as the source reports it.

    A share is given where the whole is a gain whose interval excludes zero. The whole is the top rung against the base:
    the claim's own comparison of them where it has one (an arm with the same runs as the top counts), else their paired
    difference at the level that the worst Holm step of the claim's family has.

    Args:
        runs: of `collect`.
    """
    claim = manifest.claim
    way = [] if claim is None else rungs(claim)
    if claim is None or not way:
        return pd.DataFrame()
    told = {
        (item.variant, item.against): _gain_of(verdicts, item.variant, item.against) for item in verdicts.comparisons
    }
    named, whole = _whole(verdicts, claim, manifest, runs, way)
    certain = whole.low is not None and whole.low > 0 and whole.value is not None
    reported = [claim.arms[arm].reported for arm in way[1:]]
    known = [value for value in reported if value is not None]
    source = sum(known) if len(known) == len(reported) else None
    rows = []
    for below, arm, gain in zip(way, way[1:], reported, strict=False):
        own = told[arm, below]
        share = None if not certain or own.value is None or not whole.value else own.value / whole.value
        rows.append(_row(claim.label(arm), own, share, gain, None if not source or gain is None else gain / source))
    rows.append(_row(f"{claim.label(named)} − {claim.label(way[0])}", whole, 1.0 if certain else None, source, None))
    table = pd.DataFrame(rows)
    return table if known else table[[column for column in table.columns if "reported" not in column]]


def _row(
    rung: str, gain: Gain, share: float | None, reported: float | None, of_reported: float | None
) -> dict[str, str]:
    return {
        "rung": rung,
        "gain": amount_of_gain(gain.value, gain.low, gain.high),
        "verdict": gain.verdict,
        "share of the whole": "–" if share is None else f"{share:.0%}".replace("-", "\N{MINUS SIGN}"),
        "reported gain": "–" if reported is None else f"{reported:+.3g}",
        "reported share": "–" if of_reported is None else f"{of_reported:.0%}",
    }


def _gain_of(verdicts: Verdicts, variant: str, against: str) -> Gain:
    item = next(item for item in verdicts.comparisons if (item.variant, item.against) == (variant, against))
    return _signed(item.delta, item.ci_low, item.ci_high, item.verdict, verdicts.direction == "lower")


def _signed(delta: float | None, low: float | None, high: float | None, verdict: str, lower: bool) -> Gain:
    if not lower or delta is None:
        return Gain(delta, low, high, verdict)
    return Gain(-delta, None if high is None else -high, None if low is None else -low, verdict)


def _whole(
    verdicts: Verdicts, claim: Claim, manifest: Manifest, runs: pd.DataFrame, way: list[str]
) -> tuple[str, Gain]:
    """The top rung against the base, and by which arm's name: its own, or that of the claim's comparison of the two."""
    top, base = way[-1], way[0]
    for item in verdicts.comparisons:
        if item.against == base and manifest.keys(item.variant) == manifest.keys(top):
            return item.variant, _gain_of(verdicts, item.variant, base)
    rows: dict[str, Run] = {
        str(row["key"]): {str(name): value for name, value in row.items()} for row in runs.to_dict("records")
    }
    pairing = Pairing.of(top, base, claim, manifest, rows)
    if pairing.difference is None:
        return top, Gain(None, None, None, "–")
    interval = None if pairing.refusals else pairing.difference.interval(claim.alpha / len(claim.comparisons))
    low, high = interval or (None, None)
    return top, _signed(pairing.difference.mean, low, high, "–", claim.direction == "lower")
