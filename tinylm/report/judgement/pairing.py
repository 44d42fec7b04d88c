"""Which runs of two arms are held against each other, and whether they may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Manifest
from tinylm.report.judgement import guards, stopping
from tinylm.report.judgement.guards import Run
from tinylm.report.judgement.verdicts import Divergences
from tinylm.report.statistics.difference import Difference, outliers, paired, unpaired


@dataclass(frozen=True)
class Pairing:
    """One comparison before its family is known: its pairs, their difference and what makes it void.

    Fields:
        declared: pairs that there have to be.
        extended: seeds were added to the declared ones; only those count, of several additions the last.
        difference: over the pairs that have a number on both sides; None where there is none.
        keys, against_keys: of the runs that it is over.
        given: each side whose runs all begin from one parent, told once: of that parent alone is the difference.
        stopped: why the variant was stopped early, as declared; None where it was not. Nothing is tested then.
        refusals: why nothing may be concluded; empty where something may.
    """

    variant: str
    against: str
    declared: int
    extended: bool
    difference: Difference | None
    keys: list[str]
    against_keys: list[str]
    differences: dict[int, float]
    outliers: list[str]
    derived: list[str]
    divergences: Divergences
    given: list[str]
    stopped: str | None
    refusals: list[str]

    @property
    def void(self) -> bool:
        """Whether nothing may be tested."""
        return bool(self.refusals) or self.stopped is not None

    @property
    def p_value(self) -> float:
        return 1.0 if self.void or self.difference is None else self.difference.p_value

    def p_equivalence(self, delta: float) -> float:
        return 1.0 if self.void or self.difference is None else self.difference.p_equivalence(delta)

    @classmethod
    def of(cls, variant: str, against: str, claim: Claim, manifest: Manifest, rows: Mapping[str, Run]) -> Pairing:
        planned_a, planned_b = manifest.keys(variant), manifest.keys(against)
        apart = bool(planned_a and planned_b) and not set(planned_a) & set(planned_b)
        both = {*planned_a, *planned_b}
        extended = not both <= set(claim.seeds)
        seeds_a, seeds_b = (manifest.counting(planned if apart else both) for planned in (planned_a, planned_b))
        declared = min(len(seeds_a), len(seeds_b))
        runs_a = {seed: rows[planned_a[seed]] for seed in seeds_a if planned_a.get(seed) in rows}
        runs_b = {seed: rows[planned_b[seed]] for seed in seeds_b if planned_b.get(seed) in rows}
        scores_a, scores_b = _scores(runs_a, claim.metric), _scores(runs_b, claim.metric)
        pairs = sorted(set(scores_a) & set(scores_b))
        if apart:
            difference = unpaired(list(scores_a.values()), list(scores_b.values()))
            matched = list(zip(sorted(scores_a), sorted(scores_b), strict=False))
            ended = min(len(scores_a) + _diverged(runs_a), len(scores_b) + _diverged(runs_b))
        else:
            difference = paired(scores_a, scores_b)
            matched = [(seed, seed) for seed in pairs]
            ended = sum(_ended(runs_a, scores_a, seed) and _ended(runs_b, scores_b, seed) for seed in seeds_a)
        sides = [(seed, runs_a[seed], runs_b[other]) for seed, other in matched]
        differing = guards.differing((a, b) for _, a, b in sides)
        counted = [*runs_a.values(), *runs_b.values()]
        told = stopping.reason(claim, variant, {variant: scores_a, against: scores_b}, list(planned_a))
        refusals = []
        if ended < declared and told is None:
            refusals.append(
                f"{ended} of {declared} declared {'runs an arm' if apart else 'pairs'}"
                f"{_missing(variant, seeds_a, planned_a, runs_a, scores_a)}"
                f"{_missing(against, seeds_b, planned_b, runs_b, scores_b)}"
            )
        refusals += guards.unequal(sides, claim.arms[variant].equal or claim.equal, claim.tolerance)
        refusals += guards.drifted(differing, claim)
        for arm, runs in ((variant, runs_a), (against, runs_b)):
            if runs:
                refusals += guards.wavering(arm, list(runs.values()))
                refusals += guards.untuned(manifest, claim, arm, rows)
                refusals += guards.partly_shared(arm, runs.values())
        refusals += guards.mixed_machines(counted, claim)
        if sides and all(a["key"] == b["key"] for _, a, b in sides):
            refusals.append(f"{variant} and {against} are the same runs: their overrides make no difference")
        return cls(
            variant=variant,
            against=against,
            declared=declared,
            extended=extended,
            difference=difference,
            keys=[planned_a[seed] for seed in (sorted(scores_a) if apart else pairs)],
            against_keys=[planned_b[seed] for seed in (sorted(scores_b) if apart else pairs)],
            differences={} if apart else {seed: scores_a[seed] - scores_b[seed] for seed in pairs},
            outliers=[f"seed {seed} of {variant}" for seed in outliers(scores_a)]
            + [f"seed {seed} of {against}" for seed in outliers(scores_b)],
            derived=guards.derived(differing, claim),
            divergences=_count_divergences(runs_a, runs_b),
            given=[arm for arm, runs in ((variant, runs_a), (against, runs_b)) if guards.one_parent(runs.values())],
            stopped=told,
            refusals=refusals,
        )


def _scores(runs: Mapping[int, Run], metric: str) -> dict[int, float]:
    found = {seed: run.get(metric) for seed, run in runs.items() if run["status"] == "done"}
    return {seed: float(value) for seed, value in found.items() if guards.number(value)}


def _diverged(runs: Mapping[int, Run]) -> int:
    return sum(run["status"] == "diverged" for run in runs.values())


def _ended(runs: Mapping[int, Run], scores: Mapping[int, float], seed: int) -> bool:
    return seed in scores or (seed in runs and runs[seed]["status"] == "diverged")


def _missing(
    arm: str, seeds: list[int], planned: Mapping[int, str], runs: Mapping[int, Run], scores: Mapping[int, float]
) -> str:
    """Each status with its seeds: ``; d8: seeds 3, 4 not run, seed 5 failed``; nothing where none is missing."""
    missing: dict[str, list[str]] = {}
    for seed in seeds:
        if not _ended(runs, scores, seed):
            status = runs[seed]["status"] if seed in runs else "not run" if seed in planned else "not planned"
            missing.setdefault("without the metric" if status == "done" else status, []).append(str(seed))
    told = [f"seed{'s' * (len(own) > 1)} {', '.join(own)} {status}" for status, own in missing.items()]
    return f"; {arm}: {', '.join(told)}" if told else ""


def _count_divergences(runs_a: Mapping[int, Run], runs_b: Mapping[int, Run]) -> Divergences:
    a, b = _diverged(runs_a), _diverged(runs_b)
    ended_a = sum(run["status"] != "failed" for run in runs_a.values())
    ended_b = sum(run["status"] != "failed" for run in runs_b.values())
    p = 1.0
    if a + b and ended_a and ended_b:
        p = float(stats.fisher_exact([[a, ended_a - a], [b, ended_b - b]])[1])  # pyright: ignore[reportArgumentType]
    return Divergences(a, b, ended_a, ended_b, p)
