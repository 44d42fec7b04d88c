"""From runs to estimates: which runs count, what forbids a verdict, interval against region."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.estimand import Estimand, Unestimable
from tinylm.report.claims.manifest import Manifest
from tinylm.report.judgement import guards
from tinylm.report.judgement.guards import Run
from tinylm.report.judgement.verdicts import GIVEN, Estimate, Outcome

_SHOWN = 4  # runs that a reason names


def estimated(placed: pd.DataFrame, claim: Claim, manifest: Manifest) -> list[Estimate]:
    """The claim's estimates, in its order.

    Args:
        placed: the sweep's runs, of `tinylm.report.records.arms.by_arm`.
    """
    return [_estimate(name, estimand, placed, claim, manifest) for name, estimand in claim.estimates.items()]


def within(low: float, high: float, region: Sequence[float | None]) -> Outcome:
    """Confirmed where the whole interval lies in the region, contradicted where none of it does, else undecided."""
    floor = -math.inf if region[0] is None else region[0]
    ceiling = math.inf if region[1] is None else region[1]
    if floor <= low and high <= ceiling:
        return "confirmed"
    return "contradicted" if high < floor or low > ceiling else "undecided"


def _estimate(name: str, estimand: Estimand, placed: pd.DataFrame, claim: Claim, manifest: Manifest) -> Estimate:
    region = None if estimand.region is None else (estimand.region[0], estimand.region[1])
    told = Estimate(
        name=name,
        value=None,
        ci_low=None,
        ci_high=None,
        region=region,
        verdict=None if region is None else "undecided",
        kind=estimand.kind,
        claim=estimand.claim,
        source=estimand.source,
        value_unit=estimand.value_unit(claim),
    )
    runs = placed[placed["stage"] == estimand.stage(claim)]
    arms = estimand.arms_named(claim)
    if arms is not None:
        runs = runs[runs["arm"].isin(arms)]
    reasons = []
    if estimand.stage(claim) == "compare":
        added = set(runs["seed"]) - set(claim.seeds)
        told = dataclasses.replace(told, extended=bool(added))
        counted = manifest.counting(set(runs["seed"]))
        runs = runs[runs["seed"].isin(counted)]
        reasons += _unplanned(list(claim.arms) if arms is None else arms, counted, manifest)
    elif estimand.stage(claim) == "parent":
        runs = runs.drop_duplicates("key")  # each once, however many stages need it
    metric = estimand.metric_read(claim)
    reasons += _unfinished(runs, metric, estimand.takes_diverged)
    for equals in _equals(runs, estimand, claim):
        reasons += _void(equals, claim)
    if claim.tune is not None and estimand.stage(claim) == "compare":
        rows = {str(row["key"]): row for row in _rows(placed[placed["status"] != "not run"])}
        for arm in dict.fromkeys(map(str, runs["arm"])):
            reasons += guards.untuned(manifest, claim, arm, rows)
    if metric not in runs or not (scored := (runs["status"] == "done") & runs[metric].notna()).any():
        return dataclasses.replace(told, reason="; ".join(reasons))
    points = scored | ((runs["status"] == "diverged") & estimand.takes_diverged)
    try:
        found = estimand.interval(runs[points], claim)
    except Unestimable as error:
        return dataclasses.replace(told, reason="; ".join([*reasons, str(error)]))
    told = dataclasses.replace(told, value=found.value, n=found.n, unit=found.unit)
    if reasons:
        return dataclasses.replace(told, reason="; ".join(reasons))
    return dataclasses.replace(
        told,
        ci_low=found.low,
        ci_high=found.high,
        interval_level=1 - claim.alpha,
        verdict=None if region is None else within(found.low, found.high, region),
        reason=found.method
        + f", {GIVEN}" * any(guards.one_parent(_rows(own)) for _, own in runs[scored].groupby("arm")),
    )


def _unplanned(arms: Sequence[str], seeds: Sequence[int], manifest: Manifest) -> list[str]:
    """Arms that lack a run of some seed: one stopped early, or a sweep that was begun with fewer seeds."""
    planned = {arm: len(set(seeds) & set(manifest.keys(arm))) for arm in arms}
    lacking = [f"{number} of {arm}" for arm, number in planned.items() if number < len(seeds)]
    if not lacking:
        return []
    more = f" and {len(lacking) - _SHOWN} more arms" if len(lacking) > _SHOWN else ""
    return [f"of {len(seeds)} seeds that count were planned {', '.join(lacking[:_SHOWN])}{more}"]


def _unfinished(runs: pd.DataFrame, metric: str, takes_diverged: bool) -> list[str]:
    """Runs that are to count and have not ended with a number. One that diverged has no rank and no place in a mean."""
    if runs.empty:
        return ["no run of it is planned"]
    if metric not in runs or runs[metric].isna().all():
        return [f"no run has {metric}"]
    scored = (runs["status"] == "done") & runs[metric].notna()
    lacking = runs[~(scored | ((runs["status"] == "diverged") & takes_diverged))]
    if lacking.empty:
        return []
    names = [
        f"{row['arm']} seed {row['seed']} {'without the metric' if row['status'] == 'done' else row['status']}"
        for row in lacking.head(_SHOWN).to_dict("records")
    ]
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return [f"{len(runs) - len(lacking)} of {len(runs)} runs have a number; {', '.join(names)}{more}"]


def _rows(runs: pd.DataFrame) -> list[Run]:
    return [{str(name): value for name, value in row.items()} for row in runs.to_dict("records")]


def _equals(runs: pd.DataFrame, estimand: Estimand, claim: Claim) -> list[pd.DataFrame]:
    """The runs that have to be equal among themselves: all of them, or those of each size."""
    if not estimand.over_sizes:
        return [runs]
    return [own for _, own in runs.groupby(runs["arm"].map(lambda arm: claim.arms[arm].size), sort=False)]


def _void(runs: pd.DataFrame, claim: Claim) -> list[str]:
    """What makes a comparison void makes an estimate over the same arms void: unequal, drifted, mixed machines."""
    rows = _rows(runs[runs["status"] != "not run"])
    reasons = []
    if runs["arm"].nunique() > 1:
        reasons += guards.unequal(_beside_the_median(rows, claim), claim.equal, claim.tolerance)
    if rows:
        reasons += guards.drifted(guards.differing((row, rows[0]) for row in rows[1:]), claim)
        reasons += guards.mixed_machines(rows, claim)
    for arm, own in runs.groupby("arm"):
        reasons += guards.partly_shared(str(arm), _rows(own))
    return reasons


def _beside_the_median(rows: Sequence[Run], claim: Claim) -> list[tuple[int, Run, Run]]:
    """Each run that ended well beside the one whose spent amount is the median: no arm is the opponent of all."""
    spent = guards.SPENT[claim.equal]
    done = [row for row in rows if row["status"] == "done"]
    known = sorted((row for row in done if isinstance(row.get(spent), int | float)), key=lambda row: float(row[spent]))
    middle = known[len(known) // 2] if known else None
    return [(int(row["seed"]), row, middle or row) for row in done]
