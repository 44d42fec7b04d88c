"""A sweep that is started again: what its earlier starts planned, declared and had seen."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Collection, Sequence
from pathlib import Path

from tinylm.compose import ledger
from tinylm.errors import UserError
from tinylm.report.claims.declaration import amendments
from tinylm.report.claims.manifest import Job as Entry
from tinylm.report.claims.manifest import Manifest
from tinylm.report.claims.portable import portable


def earlier(name: str, root: Path) -> Manifest | None:
    """What an earlier start of the sweep left under ``root``; None where there is none.

    Raises:
        UserError: its manifest is not whole.
    """
    path = root / "sweeps" / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return Manifest.parse(json.loads(path.read_text(encoding="utf-8")), str(path))
    except ValueError as error:
        raise UserError(f"{path} is not whole ({error}); take it away and start the sweep again") from error


def continued(plan: Manifest, before: Manifest | None, roots: Sequence[Path]) -> Manifest:
    """``plan`` with what an earlier start under the first of the roots ran, and with what was declared first.

    The other roots are archives: they tell what was declared when the runs that they keep were made, also of seeds that
    this start leaves out. Their runs stay where they are.
    """
    whole = plan if before is None else joined(plan, before)
    for root in reversed(roots[1:]):
        if (kept := earlier(plan.name, root)) is not None:
            # An archive names files without their folders.
            jobs = [dataclasses.replace(job, overrides=portable(job.overrides)) for job in whole.jobs]
            counted = joined(dataclasses.replace(whole, jobs=jobs), kept).needed
            whole = as_declared_first(whole, kept, roots, counted)
    return whole if before is None else as_declared_first(whole, before, roots)


def joined(plan: Manifest, before: Manifest) -> Manifest:
    """``plan`` with what an earlier start of the sweep ran that differs in nothing but the seed.

    A sweep narrowed to one seed must not make the report forget the others. While tuning is all that is planned, what
    was compared stays too. Of an arm that has another run in the same place now nothing stays: its config is another.
    """
    tuning_alone = all(job.stage != "compare" for job in plan.jobs)
    roles = {_but_seed(job) for job in plan.jobs}
    known = {job.place for job in plan.jobs}
    other = {job.arm for job in plan.rivals(before)}
    arms = {job.arm for job in plan.jobs} - other
    kept = [
        job
        for job in before.jobs
        if job.stage != "tune"  # which is planned whole whatever the seed
        and job.place not in known
        and job.arm in arms
        and (tuning_alone or _but_seed(job) in roles)
    ]
    return dataclasses.replace(plan, jobs=[*plan.jobs, *kept])


def as_declared_first(
    plan: Manifest, before: Manifest, roots: Sequence[Path], counted: Collection[str] | None = None
) -> Manifest:
    """``plan`` with what the earlier start declared, where runs that it compared have ended and count here too.

    Its seeds stay the declared ones: others are added ones, whoever adds them, and the verdict marks them as
    ``extended``. What else was declared otherwise is kept beside the claim, and the report tells of it. A plan of which
    nothing has ended may be changed freely.

    Args:
        counted: the keys of the runs that count here; None: the plan's.
    """
    counted = plan.needed if counted is None else counted
    claim, first = plan.claim, before.first or before.claim
    if claim is None or first is None:
        return plan
    compared = [job for job in before.jobs if job.stage == "compare" and job.key in counted]
    ended = {job.seed for job in compared if _looked_at(job.key, roots)}
    if not ended:
        return plan
    if set(first.seeds) != set(claim.seeds):
        claim = dataclasses.replace(claim, seeds=first.seeds, stop=first.stop)
    changed = first if amendments(first, claim) else plan.first  # which an older archive may have told
    return dataclasses.replace(plan, claim=claim, first=changed, added=_added(plan, before, first.seeds, ended))


def _looked_at(key: str, roots: Sequence[Path]) -> bool:
    record = ledger.find(key, roots)
    return record is not None and record.status in ("done", "diverged")


def _added(plan: Manifest, before: Manifest, declared: Collection[int], ended: Collection[int]) -> list[list[int]]:
    """The seeds beyond the declared ones, in groups: new ones join the last group until one of its runs has ended."""
    groups = [list(group) for group in before.added or plan.added]
    placed = {*declared, *itertools.chain(*groups)}
    for manifest in (before, plan):
        new = sorted({job.seed for job in manifest.jobs if job.stage == "compare"} - placed)
        placed |= set(new)
        if new and (not groups or set(groups[-1]) & set(ended)):
            groups.append(new)
        elif new:
            groups[-1] = sorted(groups[-1] + new)
    return groups


def _but_seed(entry: Entry) -> tuple[str, ...]:
    words = (word for word in entry.overrides if not word.lstrip("+").startswith(("seed=", "claim.")))
    return (entry.arm, entry.stage, *words)  # the claim is no part of what a run is
