"""A sweep: stages of runs, expanded from its claim, checked whole before the first one starts.

Stage ``tune`` (where the claim has one) runs every arm over the same grid on seeds of its own; stage ``compare`` runs
every arm at the values that won there, on the seeds that decide. Each stage is a batch for the launcher, so a later
stage may be a function of earlier records. What the runs of a stage begin from belongs to it: parents run first.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from tinylm.compose import keys, ledger, session
from tinylm.compose.expansion import Expander, Role
from tinylm.compose.plan import Plan, planned_parameters, print_larger, print_plan
from tinylm.compose.restart import continued, earlier
from tinylm.compose.session import Outcome
from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Job as Entry
from tinylm.report.claims.manifest import Manifest
from tinylm.report.judgement import tuning


def sweep(
    loader: ConfigLoader, config: DictConfig, launcher: Launcher, arguments: list[str], plan_only: bool
) -> Outcome:
    """Plan the sweep, run what is not done yet, leave a manifest for the report.

    Raises:
        UserError: jobs that cannot run; all of them are named before any training.
    """
    name = config.hydra.runtime.choices.get("sweeps")
    block = OmegaConf.to_container(config.claim, resolve=True) if config.get("claim") is not None else None
    if name is not None and block is None:
        raise UserError(f"sweeps/{name}: has no claim; a sweep declares one (sweeps/quickstart.yaml is a template)")
    expander = Expander(loader, config, arguments)
    claim = None
    if block is not None:
        claim = Claim.parse(block, f"sweeps/{name}: claim", expander.model_of)  # type: ignore[arg-type]
    outcome = session.current.outcome
    outcome.name, outcome.root, outcome.planned_only = name, str(config.root), plan_only
    outcome.archives = list(config.archives)
    if claim is None:
        _run_stage([Role(o, "", "compare", 0) for o in expander.product([])], expander, launcher, outcome, plan_only)
        return outcome
    manifest = Manifest(name=str(name), command=session.current.command, claim=claim, jobs=[])
    before = None if plan_only else earlier(manifest.name, expander.roots[0])
    chosen: dict[str, dict[str, Any]] = {arm: {} for arm in claim.arms}
    if claim.tune is not None:
        roles = expander.tuning(claim)
        finished = _run_stage(roles, expander, launcher, outcome, plan_only, manifest, claim, before)
        first = {arm: {key: grid[0] for key, grid in claim.tune.params.items()} for arm in claim.arms}
        chosen = choose(claim, manifest.jobs, expander.roots) if finished else first
        if not finished:
            print("\nstage compare is counted with the first value of each grid: tuning has not chosen yet")
    dropped: set[str] = set()
    roles = expander.comparing(claim, chosen)
    for seeds in _groups(claim, roles, plan_only):
        group = [role for role in roles if role.seed in seeds and role.arm not in dropped]
        _run_stage(group, expander, launcher, outcome, plan_only, manifest, claim, before)
        if claim.stop is not None and not plan_only and len(seeds) < len({role.seed for role in roles}):
            dropped |= _stopped(claim, manifest, expander.roots, claim.seeds[: claim.seeds.index(seeds[-1]) + 1])
    return outcome


def _groups(claim: Claim, roles: Sequence[Role], plan_only: bool) -> list[list[int]]:
    """The seeds in the groups that run together: all at once, unless the claim looks in between."""
    seeds = list(dict.fromkeys(role.seed for role in roles))
    if claim.stop is None or plan_only or seeds != claim.seeds:  # narrowed on the command line: nothing to look at
        return [seeds]
    ends = [0, *claim.stop.after, len(seeds)]
    return [seeds[first:last] for first, last in itertools.pairwise(ends)]


def _stopped(claim: Claim, manifest: Manifest, roots: Sequence[Path], seeds: Sequence[int]) -> set[str]:
    """The arms that the look after these seeds stops, aloud."""
    from tinylm.report.judgement import stopping  # and with it scipy

    scores: dict[str, dict[int, float]] = {}
    for entry in manifest.jobs:
        record = ledger.find(entry.key, roots) if entry.stage == "compare" else None
        if record is not None and record.status == "done" and claim.metric in record.metrics:
            scores.setdefault(entry.arm, {})[entry.seed] = record.metrics[claim.metric]
    found = stopping.stopped(claim, scores, seeds)
    for arm in found:
        print(f"{arm}: stopped after {len(seeds)} seeds: a gain of {claim.delta:g} is excluded", file=sys.stderr)
    return set(found)


def choose(claim: Claim, jobs: Sequence[Entry], roots: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Arm -> the grid values with the best mean of the tuning metric; an arm that has none is left out, aloud.

    A value at the edge of its grid is told now, while a wider grid costs a few tuning runs and no comparison.
    """
    assert claim.tune is not None
    chosen: dict[str, dict[str, Any]] = {}
    for arm in claim.arms:
        trials = []
        for entry in jobs:
            if entry.arm == arm and entry.stage == "tune":
                record = ledger.find(entry.key, roots)
                score = record.metrics.get(claim.tune.metric) if record and record.status == "done" else None
                trials.append(tuning.Trial(entry.params, entry.seed, score))
        try:
            chosen[arm] = tuning.choose(trials, claim.tune.direction, arm)
        except UserError as error:
            print(f"warning: {error}; the arm is not compared", file=sys.stderr)
            continue
        values = ", ".join(f"{key}={value}" for key, value in chosen[arm].items())
        print(f"tuned: {arm} {values}", file=sys.stderr)
        for reason in tuning.edges(chosen[arm], claim.tune.params, arm):
            told = "(claim.tune.params; what has run is kept), for its comparisons will be refused"
            print(f"warning: {reason} {told}", file=sys.stderr)
    return chosen


def _run_stage(
    roles: list[Role],
    expander: Expander,
    launcher: Launcher,
    outcome: Outcome,
    plan_only: bool,
    manifest: Manifest | None = None,
    claim: Claim | None = None,
    before: Manifest | None = None,
) -> bool:
    """Run the jobs of one stage that are not done; whether the stage has been run (a plan runs nothing)."""
    jobs = expander.jobs(roles)
    distinct: dict[str, tuple[keys.Job, Role]] = {}
    for task, role in zip(jobs, roles, strict=True):
        distinct.setdefault(task.key, (task, role))
    todo = [(t, r) for t, r in distinct.values() if not ledger.ended(ledger.find(t.key, expander.roots), t.config)]
    root = expander.roots[0]
    if claim is not None:
        _refuse_twins(claim, {(role.arm, role.seed): task.key for task, role in zip(jobs, roles, strict=True)})
        _refuse_shrinking(claim, {role.arm: task for task, role in zip(jobs, roles, strict=True)})
    if manifest is not None:
        manifest.jobs.extend(
            Entry(task.key, role.arm, role.stage, role.seed, role.params, role.overrides)
            for task, role in zip(jobs, roles, strict=True)
        )
    elders = _parents([task for task, _ in todo], distinct.values(), expander, plan_only, manifest)
    if plan_only:
        if elders:
            print_plan(elders, None, expander.roots, _at_a_time(launcher, elders.jobs))
            print_larger({role.arm: task for task, role in distinct.values()})
        plan = Plan(roles=[(r.arm, r.stage, r.seed) for r in roles], jobs=jobs, todo=[task for task, _ in todo])
        print_plan(plan, claim, expander.roots, _at_a_time(launcher, jobs))
        return not todo
    if manifest is not None:
        whole = continued(manifest, before, expander.roots)
        whole.write(root)
        if whole.claim is not None and claim is not None and whole.claim.seeds != claim.seeds:
            first = ", ".join(map(str, whole.claim.seeds))
            print(f"{manifest.name}: seeds {first} were declared first and stay so; others are added", file=sys.stderr)
        for change in whole.amended:
            print(f"{manifest.name}: declared anew though runs have ended: {change}", file=sys.stderr)
        if before is not None and (other := len(manifest.rivals(before))):
            print(f"{manifest.name}: its config changed; {other} earlier runs do not count", file=sys.stderr)
    if elders:
        ready = len(elders.jobs) - len(elders.todo)
        print(f"parents: {len(elders.jobs)} runs, {ready} done, {len(elders.todo)} to do", file=sys.stderr)
    done = len(distinct) - len(todo)
    begun = sum((task.folder / "checkpoint").is_dir() for task, _ in todo)
    stage = "tuning: " if roles and roles[0].stage == "tune" else ""
    left = f"{len(todo)} to do" + (f", {begun} of them begun" if begun else "")
    print(f"{outcome.name or 'multirun'}: {stage}{len(distinct)} runs, {done} done, {left}", file=sys.stderr)
    for batch in _batches(elders.todo if elders else [], [role.overrides for _, role in todo], launcher):
        launcher.launch(batch, initial_job_idx=0)
    if manifest is not None:
        ledger.remember(root, manifest.name, [*distinct, *(task.key for task in (elders.jobs if elders else []))])
    for key in distinct:
        record = ledger.find(key, expander.roots)
        outcome.statuses[key] = record.status if record else "missing"
    return True


def _refuse_twins(claim: Claim, keys_of: Mapping[tuple[str, int], str]) -> None:
    """Refuse to compare an arm with itself, before it is trained for nothing.

    Raises:
        UserError: all runs of two compared arms are the same.
    """
    for variant, against in claim.comparisons.items():
        pairs = [(key, keys_of.get((against, seed))) for (arm, seed), key in keys_of.items() if arm == variant]
        if pairs and all(mine == other for mine, other in pairs):
            raise UserError(
                f"claim.arms.{variant}: its runs are those of {against}, which it is compared with; "
                "its overrides make no difference"
            )


def _refuse_shrinking(claim: Claim, planned: Mapping[str, keys.Job]) -> None:
    """Refuse sizes that are not listed with the smallest first: their trend would be told backwards.

    Raises:
        UserError: an arm's model is smaller at a size than at the one before.
    """
    for name in dict.fromkeys(claim.across(arm) for arm in claim.arms):
        arms = claim.at_sizes(name)
        if not set(arms) <= set(planned):
            continue  # the command line took it out
        counts = [planned_parameters(planned[arm]) for arm in arms]
        for (before, more), (size, fewer) in itertools.pairwise(zip(claim.sizes, counts, strict=True)):
            if fewer < more * (1 - claim.tolerance):  # a solved shape meets its budget about
                raise UserError(
                    f"claim.sizes: {before} ({more:,} parameters) is listed before {size} ({fewer:,}); "
                    "list the smallest first"
                )
        return  # the other arms have the same sizes


def _parents(
    waiting: Iterable[keys.Job],
    children: Iterable[tuple[keys.Job, Role]],
    expander: Expander,
    plan_only: bool,
    manifest: Manifest | None,
) -> Plan | None:
    """What the children begin from, and what of it the ``waiting`` ones need run, the eldest first; None: nothing."""
    elders: dict[str, tuple[keys.Job, Role]] = {}
    for task, role in children:
        for elder in task.ancestors():
            elders.setdefault(elder.key, (elder, role))
    if not elders:
        return None
    root = expander.roots[0]

    def ended(elder: keys.Job) -> bool:
        return ledger.ended(ledger.find(elder.key, [root]), elder.config)

    missing = {elder.key: elder for task in waiting for elder in task.missing(ended)}
    if manifest is not None:
        manifest.jobs.extend(
            Entry(elder.key, role.arm, "parent", elder.config["seed"], {}, elder.overrides)
            for elder, role in elders.values()
        )
    return Plan(
        roles=[(f"of {role.arm}", "parent", elder.config["seed"]) for elder, role in elders.values()],
        jobs=[elder for elder, _ in elders.values()],
        todo=sorted(missing.values(), key=lambda elder: len(elder.ancestors())),
    )


def _batches(elders: Sequence[keys.Job], children: list[list[str]], launcher: Launcher) -> Iterator[list[list[str]]]:
    """What is launched at once: everything where the launcher holds a child back until its parent has ended (no core
    waits for the last parent), else a generation at a time."""
    if vars(type(launcher)).get("holds_children"):
        generations = [[elder.overrides for elder in elders] + children]
    else:
        depths = groupby(elders, key=lambda elder: len(elder.ancestors()))
        generations = [[elder.overrides for elder in group] for _, group in depths] + [children]
    yield from (batch for batch in generations if batch)


def _at_a_time(launcher: Launcher, jobs: Sequence[keys.Job]) -> int:
    """How many runs go side by side: what the launcher of local workers says, else one (a cluster's queue decides)."""
    from tinylm.compose.workers import at_a_time

    return at_a_time(jobs, vars(launcher).get("workers", 1))
