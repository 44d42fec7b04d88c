"""How far seeds scatter, learned from the sweeps that lie under some roots; for plans."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.judgement.guards import Run
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
        provisional: not measured on pairs of this factor: √2 times the spread of a past sweep's noisiest arm.
    """

    sd: float
    source: str
    provisional: bool


def past_spread(claim: Claim, roots: Sequence[str | Path]) -> Spread | None:
    """The spread that a claim's differences may have; None where no sweep under the roots tells.

    The largest standard deviation of past paired differences over the same factor and metric; else √2 times that of
    the noisiest arm of a sweep with the metric, for noise differs between variants: of the middle one of such sweeps,
    the noisier of two, for one odd arm anywhere would make every other plan hopeless.
    """
    existing = [root for root in roots if Path(root).is_dir()]
    measured: list[Spread] = []
    guessed: dict[str, Spread] = {}
    manifests = [item for item in _manifests(existing) if item.claim is not None and item.claim.metric == claim.metric]
    if not manifests:
        return None
    runs = collect(*existing)
    rows = {str(row["key"]): {str(name): value for name, value in row.items()} for row in runs.to_dict("records")}
    for manifest in manifests:
        past = manifest.claim
        assert past is not None
        for variant, against in past.comparisons.items():
            pairing = Pairing.of(variant, against, past, manifest, rows)
            found = pairing.difference
            if pairing.refusals or found is None or found.n < _ENOUGH or found.sd == 0:
                continue
            if found.method == "paired t" and set(past.factor) == set(claim.factor):
                told = _scale(manifest, [rows[key] for key in pairing.keys])
                measured.append(Spread(found.sd, told, provisional=False))
        for arm in past.arms:
            ran = [rows[key] for key in manifest.keys(arm).values() if key in rows]
            scores = [row.get(past.metric) for row in ran]
            sd = _sd([float(value) for value in scores if value is not None and math.isfinite(value)])
            known = guessed.get(manifest.name)
            if sd > 0 and (known is None or sd * math.sqrt(2) > known.sd):
                guessed[manifest.name] = Spread(sd * math.sqrt(2), _scale(manifest, ran), provisional=True)
    if measured or not guessed:
        return max(measured, key=lambda item: item.sd, default=None)
    return sorted(guessed.values(), key=lambda item: item.sd)[len(guessed) // 2]


def _scale(manifest: Manifest, runs: Sequence[Run]) -> str:
    """A sweep with its size: spreads of other sizes are others."""
    facts = []
    for column, noun in (("accounting.parameters.total", "parameters"), ("cost.tokens", "tokens")):
        values = [float(run[column]) for run in runs if run.get(column) is not None]
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


def _sd(values: Sequence[float]) -> float:
    if len(values) < _ENOUGH:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
