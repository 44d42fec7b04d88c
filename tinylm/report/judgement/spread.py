"""How far seeds scatter, learned from the sweeps that lie under some roots; for plans."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.judgement.guards import Run, number
from tinylm.report.judgement.pairing import Pairing
from tinylm.report.judgement.wording import amount
from tinylm.report.records.collect import collect

_ENOUGH = 3  # seeds from which a standard deviation is taken


@dataclass(frozen=True)
class Spread:
    """Standard deviation of paired differences.

    Fields:
        sd: in the metric's unit.
        source: the sweep that it comes from, with the size of its runs.
        provisional: why it may be another one than that of the planned pairs; empty where it was measured on pairs of
            the same factor.
        among: how many past sweeps it is the middle one of, with the least and the largest of them.
    """

    sd: float
    source: str
    provisional: str
    among: tuple[int, float, float]


def past_spread(claim: Claim, roots: Sequence[str | Path]) -> Spread | None:
    """The spread that a claim's differences may have; None where no sweep under the roots tells.

    Each past sweep of the metric has one: that of all its paired differences together. The middle one of the sweeps
    over the same factor, the noisier of two; else of those over any factor; else of √2 times the spread of each sweep's
    noisiest arm. Not the largest, which grows with every sweep that is kept: over the twelve kept sweeps, each foretold
    from the others, the largest was 2.0 times the real one at the median, the middle one 1.2 times.
    """
    existing = [root for root in roots if Path(root).is_dir()]
    manifests = [item for item in _manifests(existing) if item.claim is not None and item.claim.metric == claim.metric]
    if not manifests:
        return None
    own: dict[str, float] = {}
    other: dict[str, float] = {}
    single: dict[str, float] = {}
    sources: dict[str, str] = {}
    runs = collect(*existing)
    rows = {str(row["key"]): {str(name): value for name, value in row.items()} for row in runs.to_dict("records")}
    for manifest in manifests:
        past = manifest.claim
        assert past is not None
        ran = {arm: [rows[key] for key in manifest.keys(arm).values() if key in rows] for arm in past.arms}
        sources[manifest.name] = _scale(manifest, list(itertools.chain(*ran.values())))
        if paired := _pooled(past, manifest, rows):
            (own if set(past.factor) == set(claim.factor) else other)[manifest.name] = paired
        noisiest = max((_sd(_finite(run.get(past.metric) for run in of_arm)) for of_arm in ran.values()), default=0.0)
        if noisiest:
            single[manifest.name] = math.sqrt(2) * noisiest
    for spreads, why in ((own, ""), (other, "another factor"), (single, "of single arms")):
        if spreads:
            ordered = sorted(spreads, key=spreads.__getitem__)
            name = ordered[len(ordered) // 2]
            among = (len(spreads), spreads[ordered[0]], spreads[ordered[-1]])
            return Spread(spreads[name], sources[name], why, among)
    return None


def _pooled(past: Claim, manifest: Manifest, rows: Mapping[str, Run]) -> float:
    """The standard deviation of all paired differences of a sweep about their comparisons' means; 0 without any."""
    squares, freedom = 0.0, 0
    for variant, against in past.comparisons.items():
        pairing = Pairing.of(variant, against, past, manifest, rows)
        found = pairing.difference
        if pairing.refusals or found is None or found.method != "paired t" or found.n < _ENOUGH:
            continue
        if found.sd > 0:  # else the factor did not reach the model, or only a number did not change
            squares += found.sd**2 * (found.n - 1)
            freedom += found.n - 1
    return math.sqrt(squares / freedom) if freedom else 0.0


def _scale(manifest: Manifest, runs: Sequence[Run]) -> str:
    """A sweep with its size: spreads of other sizes are others."""
    facts = []
    for column, noun in (("accounting.parameters.total", "parameters"), ("cost.tokens", "tokens")):
        values = _finite(run.get(column) for run in runs)  # a run that failed tells none
        if values:
            facts.append(f"{amount(math.fsum(values) / len(values))} {noun}")
    return manifest.name + (f" ({', '.join(facts)} a run)" if facts else "")


def past_gains(claim: Claim, roots: Sequence[str | Path]) -> list[list[float]]:
    """The gains, one a seed, of every past paired comparison of the claim's metric; positive: better."""
    existing = [root for root in roots if Path(root).is_dir()]
    manifests = [item for item in _manifests(existing) if item.claim is not None and item.claim.metric == claim.metric]
    if not manifests:
        return []
    rows = {str(row["key"]): dict(row) for row in collect(*existing).to_dict("records")}
    sign = -1 if claim.direction == "lower" else 1
    found = []
    for manifest in manifests:
        past = manifest.claim
        assert past is not None
        for variant, against in past.comparisons.items():
            pairing = Pairing.of(variant, against, past, manifest, rows)  # type: ignore[arg-type]
            if not pairing.refusals and len(pairing.differences) >= _ENOUGH:
                found.append([sign * value for value in pairing.differences.values()])
    return found


def _manifests(roots: Sequence[str | Path]) -> Iterable[Manifest]:
    for name in sorted({path.stem for root in roots for path in Path(root).glob("sweeps/*.json")}):
        try:
            yield read_manifest(name, *roots)
        except UserError:
            continue  # a sweep that cannot be read tells nothing about spread; its own report says so


def _finite(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values if number(value)]


def _sd(values: Sequence[float]) -> float:
    if len(values) < _ENOUGH:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
