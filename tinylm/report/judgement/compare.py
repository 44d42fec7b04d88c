"""From runs to verdicts: pairs, tests, one error rate over the family, guards. The rules stand in docs/evidence.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim, Expectation
from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.judgement.caveats import caveats
from tinylm.report.judgement.estimation import estimated
from tinylm.report.judgement.guards import Run
from tinylm.report.judgement.pairing import Pairing
from tinylm.report.judgement.power import minimum_detectable_effect
from tinylm.report.judgement.trends import trends
from tinylm.report.judgement.verdicts import GIVEN, OUTCOMES, Comparison, Outcome, Verdict, Verdicts
from tinylm.report.records.arms import by_arm
from tinylm.report.records.collect import collect
from tinylm.report.statistics.difference import Difference
from tinylm.report.statistics.documents import Documents
from tinylm.report.statistics.family import Step, steps


def compare(name: str, *roots: str | Path) -> Verdicts:
    """The verdicts of a sweep, from the folders of its runs.

    Example: ``compare("depth_width", "runs").comparisons[0].verdict``

    Raises:
        UserError: no root has the sweep, or it declares no claim.
    """
    manifest = read_manifest(name, *roots)
    return decide(collect(*roots, keys=manifest.needed), manifest)


def decide(runs: pd.DataFrame, manifest: Manifest) -> Verdicts:
    """The verdicts of a sweep, from a frame of `collect` that holds its runs (others do not matter).

    Raises:
        UserError: the sweep declares no claim.
    """
    claim = manifest.claim
    if claim is None:
        raise UserError(f"sweep {manifest.name!r} has no claim block, so there is nothing to compare; give it one")
    keys = {job.key for job in manifest.jobs}
    rows: dict[str, Run] = {
        str(row["key"]): {str(name): value for name, value in row.items()}
        for row in runs[runs["key"].isin(list(keys))].to_dict("records")
    }
    pairings = [Pairing.of(variant, against, claim, manifest, rows) for variant, against in claim.comparisons.items()]
    # A refused comparison is not tested, but it keeps its place in the family.
    decided, equivalence = (
        _over_families({item.variant: p(item) for item in pairings}, claim)
        for p in (lambda item: item.p_value, lambda item: item.p_equivalence(claim.delta))
    )
    _refuse_words(manifest.name, claim.metric, rows.values())
    documents = Documents(rows, claim.metric)
    comparisons = [
        _judge(item, decided[item.variant], equivalence[item.variant], claim, documents) for item in pairings
    ]
    placed = by_arm(runs, manifest) if claim.estimates or claim.sizes else None
    detectable = [item.minimum_detectable_effect for item in comparisons if item.minimum_detectable_effect is not None]
    return Verdicts(
        sweep=manifest.name,
        metric=claim.metric,
        direction=claim.direction,
        minimum_detectable_effect=max(detectable, default=None),
        warnings=[
            *runs.attrs.get("warnings", []),
            *manifest.warnings,
            *caveats(manifest, rows, pairings),
            *documents.caveats(),
        ],
        comparisons=comparisons,
        estimates=estimated(placed, claim, manifest) if placed is not None else [],
        trends=trends(comparisons, placed, claim) if placed is not None else [],
        smallest_effect=claim.delta,
        amended=bool(manifest.amended),
    )


def _refuse_words(name: str, metric: str, runs: Iterable[Run]) -> None:
    for run in runs:
        told = run.get(metric)
        if isinstance(told, str | bool | list | dict):
            raise UserError(f"sweep {name!r}: claim.metric: {metric} of a run is {told!r}, which is no number")


def _over_families(p_values: dict[str, float], claim: Claim) -> dict[str, Step]:
    """Variant -> its step, within its own family."""
    found: dict[str, Step] = {}
    for family in claim.families.values():
        found |= zip(family, steps([p_values[name] for name in family], claim.alpha, claim.errors), strict=True)
    return found


def _judge(pairing: Pairing, step: Step, equivalence: Step, claim: Claim, documents: Documents) -> Comparison:
    """The comparison with its verdict, once the family is known: its steps among the differences and equivalences."""
    arm = claim.arms[pairing.variant]
    difference = pairing.difference
    verdict, reason = _verdict(pairing, step, equivalence.p_adjusted, claim)
    blank = Comparison(
        variant=pairing.variant,
        against=pairing.against,
        variant_label=claim.bare_label(pairing.variant),  # its size is its opponent's, which says it
        against_label=claim.label(pairing.against),
        equal=arm.equal or claim.equal,
        n=0 if difference is None else difference.n,
        declared=pairing.declared,
        verdict=verdict,
        reason=reason,
        expected=arm.expect,
        claim=arm.claim,
        outcome=None if arm.expect is None else OUTCOMES[verdict][arm.expect],
        extended=pairing.extended,
        differences=pairing.differences,
        outliers=pairing.outliers,
        derived=pairing.derived,
        divergences=pairing.divergences,
    )
    if difference is None:
        return blank
    told = dataclasses.replace(
        blank,
        delta=difference.mean,
        method=difference.method + f", {GIVEN}" * bool(pairing.given),
        correlation=difference.correlation,
    )
    interval = difference.interval(step.alpha)
    # Two one-sided tests at a level are an interval that leaves out so much on either side.
    inside = difference.interval(2 * equivalence.alpha)
    if pairing.void or interval is None or inside is None:
        return told
    outcome = _outcome(verdict, interval, arm.expect, claim.delta)
    if outcome == "undecided" and verdict in ("better", "worse"):
        told = dataclasses.replace(told, reason=f"{reason}, and reaches inside ±{claim.delta:g}")
    bootstrap = difference.bootstrap(step.alpha)
    text = documents.interval(difference, pairing.keys, pairing.against_keys, step.alpha)
    return dataclasses.replace(
        told,
        ci_low=interval[0],
        ci_high=interval[1],
        interval_level=1 - step.alpha,
        outcome=outcome,
        p_value=difference.p_value,
        p_adjusted=step.p_adjusted,
        p_equivalence=equivalence.p_adjusted,
        equivalence_low=inside[0],
        equivalence_high=inside[1],
        equivalence_level=1 - 2 * equivalence.alpha,
        sd=difference.sd,
        minimum_detectable_effect=_detectable(difference, claim),
        bootstrap_low=None if bootstrap is None else bootstrap[0],
        bootstrap_high=None if bootstrap is None else bootstrap[1],
        p_sign_flip=difference.sign_flip(step.alpha),
        text_low=None if text is None else text[0],
        text_high=None if text is None else text[1],
    )


def _outcome(
    verdict: Verdict, interval: tuple[float, float], expected: Expectation | None, delta: float
) -> Outcome | None:
    """By the table; an expected equivalence is contradicted only by an interval that lies wholly beyond ±delta.

    A difference that is sure and yet may be smaller than delta says nothing against it.
    """
    if expected is None:
        return None
    low, high = interval
    if expected == "equivalent" and verdict in ("better", "worse") and low < delta and high > -delta:
        return "undecided"
    return OUTCOMES[verdict][expected]


def _verdict(pairing: Pairing, step: Step, p_equivalence: float, claim: Claim) -> tuple[Verdict, str]:
    difference, counts = pairing.difference, pairing.divergences
    if pairing.refusals:
        return "refused", "; ".join(pairing.refusals)
    if pairing.stopped is not None:
        return "inconclusive", pairing.stopped
    if difference is None:
        return "inconclusive", f"no pair ended with a number: {_tell(pairing)}"
    if difference.df <= 0:
        return "inconclusive", "one pair has no spread, so nothing can be tested; give the sweep more seeds"
    if not difference.replicates:
        return "inconclusive", "no run changed with its seed, so the seeds are one run and not several"
    if difference.error == 0 and difference.mean == 0:
        return "inconclusive", "the arms gave the same numbers; does the factor reach the model?"
    if difference.error == 0:
        return "inconclusive", "every pair differs by the same number, so there is no spread to weigh it by"
    uneven = counts.lean != 0
    if p_equivalence < claim.alpha and not uneven:
        if step.p_adjusted < claim.alpha:
            return "equivalent", f"a difference is detectable, but inside ±{claim.delta:g}"
        return "equivalent", f"shown to lie inside ±{claim.delta:g}"
    if step.p_adjusted < claim.alpha:
        good = (difference.mean < 0) == (claim.direction == "lower")
        winner_diverged = counts.lean > 0 if good else counts.lean < 0
        if winner_diverged:
            return "inconclusive", f"the arm that is ahead diverged more often: {_tell(pairing)}"
        beside = "" if difference.method == "paired t" else "; unpaired (Welch), for the arms share no seed"
        return ("better" if good else "worse"), f"the interval excludes zero{beside}"
    if uneven:
        return "inconclusive", f"the interval includes zero, and the arms diverged unevenly: {_tell(pairing)}"
    interval = difference.interval(step.alpha)
    if interval is not None and max(map(abs, interval)) < claim.delta:  # each p has a Holm order of its own
        told = f"inside ±{claim.delta:g} in full, yet that is not shown at the family's level"
        return "inconclusive", f"the interval includes zero and lies {told} (p = {p_equivalence:.2g})"
    return "inconclusive", "the interval includes zero and reaches beyond what counts as equivalent"


def _detectable(difference: Difference, claim: Claim) -> float:
    # Welch: as if paired without correlation, on the spread of a difference of two runs.
    return minimum_detectable_effect(difference.sd, difference.n, claim.largest_family, claim.alpha)


def _tell(pairing: Pairing) -> str:
    counts = pairing.divergences
    return (
        f"{counts.variant} of {counts.variant_runs} runs of {pairing.variant} and {counts.against} of "
        f"{counts.against_runs} of {pairing.against} diverged (Fisher p = {counts.p_value:.2g})"
    )
