"""A sweep: stages of runs, expanded from its claim, checked whole before the first one starts.

Stage ``tune`` (where the claim has one) runs every arm over the same grid on seeds of its own; stage ``compare`` runs
every arm at the values that won there, on the seeds that decide. Each stage is a batch for the launcher, so a later
stage may be a function of earlier records.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tinylm.compose import keys, ledger, session
from tinylm.compose.complaints import readable
from tinylm.compose.plan import Plan, print_plan
from tinylm.compose.session import Outcome
from tinylm.errors import UserError
from tinylm.report import tuning
from tinylm.report.claim import Claim
from tinylm.report.manifest import Job as Entry
from tinylm.report.manifest import Manifest

SHOWN_ERRORS = 8


@dataclass(frozen=True)
class Role:
    """A job in the role that it plays: arm, stage, seed, tuned values."""

    overrides: list[str]
    arm: str
    stage: Literal["tune", "compare"]
    seed: int
    params: dict[str, Any] = field(default_factory=dict)


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
    chosen: dict[str, dict[str, Any]] = {arm: {} for arm in claim.arms}
    if claim.tune is not None:
        roles = expander.tuning(claim)
        finished = _run_stage(roles, expander, launcher, outcome, plan_only, manifest, claim)
        first = {arm: {key: grid[0] for key, grid in claim.tune.params.items()} for arm in claim.arms}
        chosen = choose(claim, manifest.jobs, expander.roots) if finished else first
        if not finished:
            print("\nstage compare is counted with the first value of each grid: tuning has not chosen yet")
    roles = expander.comparing(claim, chosen)
    _run_stage(roles, expander, launcher, outcome, plan_only, manifest, claim)
    return outcome


def join(manifest: Manifest, root: Path) -> None:
    """Add to ``manifest`` what an earlier start of the sweep ran that differs in nothing but the seed.

    A sweep narrowed to one seed must not make the report forget the others.
    """
    path = root / "sweeps" / f"{manifest.name}.json"
    if not path.is_file():
        return
    roles = {_but_seed(entry) for entry in manifest.jobs}
    known = {entry.key for entry in manifest.jobs}
    earlier = Manifest.parse(json.loads(path.read_text(encoding="utf-8")), str(path))
    manifest.jobs.extend(entry for entry in earlier.jobs if entry.key not in known and _but_seed(entry) in roles)


def _but_seed(entry: Entry) -> tuple[str, ...]:
    return (entry.arm, entry.stage, *(word for word in entry.overrides if not word.startswith("seed=")))


def choose(claim: Claim, jobs: Sequence[Entry], roots: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Arm -> the grid values with the best mean of the tuning metric; an arm that has none is left out, aloud."""
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
            chosen[arm] = tuning.choose(trials, claim.direction, arm)
        except UserError as error:
            print(f"warning: {error}; the arm is not compared", file=sys.stderr)
    return chosen


class Expander:
    """Turns a claim and the command line into override lists and jobs.

    Args:
        arguments: the task overrides of the command line; they win over an arm's own.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig, arguments: list[str]) -> None:
        self.loader, self.config, self.arguments = loader, config, arguments
        self._parser = OverridesParser.create(config_loader=loader)
        self.roots = ledger.roots({"root": str(config.root), "archives": list(config.archives)})

    def product(self, first: list[str]) -> list[list[str]]:
        """``first``, then the command line (which wins where both name a key), multiplied out by Hydra's grammar."""
        overrides = self._parser.parse_overrides([*first, *self.arguments])
        return [list(items) for items in BasicSweeper.split_arguments(overrides, None)[0]]

    def _named(self, key: str) -> bool:
        return any(item.split("=", 1)[0] == key for item in self.arguments)

    def _seeds(self, seeds: Sequence[int]) -> list[int | None]:
        return [None] if self._named("seed") else list(seeds)

    def _roles(
        self,
        claim: Claim,
        stage: Literal["tune", "compare"],
        seeds: Sequence[int],
        points: dict[str, list[dict[str, Any]]],
        extra: Sequence[str] = (),
    ) -> list[Role]:
        roles = []
        for arm, declared in claim.arms.items():
            for point, seed in itertools.product(points.get(arm, []), self._seeds(seeds)):
                own = [*extra, *declared.overrides, *(f"{key}={value}" for key, value in point.items())]
                own += [] if seed is None else [f"seed={seed}"]
                taken = set()
                for overrides in self.product(own):
                    named = [item.split("=", 1)[1] for item in overrides if item.startswith("seed=")]
                    role = Role(overrides, arm, stage, int(named[-1]) if named else 0, point)
                    if role.seed in taken:
                        raise UserError(
                            f"{' '.join(self.arguments)}: a claim wants one run an arm and seed, and these "
                            "make several; give single values, or compare them with `tinylm run -m`"
                        )
                    taken.add(role.seed)
                    roles.append(role)
        return roles

    def tuning(self, claim: Claim) -> list[Role]:
        """Every arm x every point of the grid x every tuning seed."""
        assert claim.tune is not None
        keys_ = list(claim.tune.params)
        grid = [dict(zip(keys_, values, strict=True)) for values in itertools.product(*claim.tune.params.values())]
        seeds = claim.tune.seeds
        kept, self.arguments = self.arguments, [a for a in self.arguments if not a.startswith("seed=")]
        try:
            return self._roles(claim, "tune", seeds, dict.fromkeys(claim.arms, grid), claim.tune.overrides)
        finally:
            self.arguments = kept

    def comparing(self, claim: Claim, chosen: dict[str, dict[str, Any]]) -> list[Role]:
        """Every arm at its chosen values x every seed that decides."""
        return self._roles(claim, "compare", claim.seeds, {arm: [point] for arm, point in chosen.items()})

    def model_of(self, overrides: list[str]) -> Hashable:
        """What an arm's overrides come to: two draws of a ratio may solve to one shape, which is one point and not two.

        Overrides that cannot run stand for themselves: they stay, and `jobs` refuses them aloud.
        """
        from tinylm.compose.parts import planned_shape

        try:
            task = keys.job(self.loader.load_sweep_config(self.config, self.product(overrides)[0]))
            others = {name: node for name, node in task.identity.items() if name != "shape"}
            return keys.digest(others), planned_shape(task).shape
        except (UserError, HydraException, OmegaConfBaseException, ValueError):
            return tuple(overrides)

    def jobs(self, roles: Sequence[Role]) -> list[keys.Job]:
        """Compose, resolve and validate every job.

        Raises:
            UserError: naming every job that cannot run, before any has.
        """
        jobs, wrong = [], []
        for role in roles:
            try:
                jobs.append(keys.job(self.loader.load_sweep_config(self.config, role.overrides)))
            except (UserError, HydraException, OmegaConfBaseException, ValueError) as error:
                wrong.append(f"{' '.join(role.overrides)}: {readable(error)}")
        if not wrong:
            from tinylm.compose.parts import rehearse

            wrong = rehearse(jobs)
        if wrong:
            distinct = list(dict.fromkeys(wrong))
            more = f"\n... and {len(distinct) - SHOWN_ERRORS} more" if len(distinct) > SHOWN_ERRORS else ""
            count = f"{len(wrong)} of {len(roles)} jobs cannot run:\n" if len(roles) > 1 else ""
            raise UserError(count + "\n".join(distinct[:SHOWN_ERRORS]) + more)
        return jobs


def _run_stage(
    roles: list[Role],
    expander: Expander,
    launcher: Launcher,
    outcome: Outcome,
    plan_only: bool,
    manifest: Manifest | None = None,
    claim: Claim | None = None,
) -> bool:
    """Run the jobs of one stage that are not done; whether the stage has been run (a plan runs nothing)."""
    jobs = expander.jobs(roles)
    distinct: dict[str, tuple[keys.Job, Role]] = {}
    for task, role in zip(jobs, roles, strict=True):
        distinct.setdefault(task.key, (task, role))
    todo = [(t, r) for t, r in distinct.values() if not ledger.ended(ledger.find(t.key, expander.roots), t.config)]
    root = expander.roots[0]
    if manifest is not None:
        manifest.jobs.extend(
            Entry(task.key, role.arm, role.stage, role.seed, role.params, role.overrides)
            for task, role in zip(jobs, roles, strict=True)
        )
    _run_parents(distinct.values(), todo, expander, launcher, plan_only, manifest)
    if plan_only:
        plan = Plan(roles=[(r.arm, r.stage, r.seed) for r in roles], jobs=jobs, todo=[task for task, _ in todo])
        print_plan(plan, claim, expander.roots, _at_a_time(launcher, jobs))
        return not todo
    if manifest is not None:
        join(manifest, root)
        manifest.write(root)
    done = len(distinct) - len(todo)
    print(f"{outcome.name or 'multirun'}: {len(distinct)} runs, {done} done, {len(todo)} to do", file=sys.stderr)
    if todo:
        launcher.launch([role.overrides for _, role in todo], initial_job_idx=0)
    if manifest is not None:
        ledger.remember(root, manifest.name, distinct)
    for key in distinct:
        record = ledger.find(key, expander.roots)
        outcome.statuses[key] = record.status if record else "missing"
    return True


def _run_parents(
    children: Iterable[tuple[keys.Job, Role]],
    waiting: Iterable[tuple[keys.Job, Role]],
    expander: Expander,
    launcher: Launcher,
    plan_only: bool,
    manifest: Manifest | None,
) -> None:
    """Run what ``waiting`` ones of the children begin from, the eldest first: no child waits for a run of its stage."""
    elders = {elder.key: (elder, role) for task, role in children for elder in task.ancestors()}
    if not elders:
        return
    needed = {elder.key: elder for task, _ in waiting for elder in task.ancestors()}
    root = expander.roots[0]
    todo = [elder for elder in needed.values() if not ledger.ended(ledger.find(elder.key, [root]), elder.config)]
    if manifest is not None:
        manifest.jobs.extend(
            Entry(elder.key, role.arm, "parent", elder.config["seed"], {}, elder.overrides)
            for elder, role in elders.values()
        )
    if plan_only:
        roles = [(f"of {role.arm}", "parent", elder.config["seed"]) for elder, role in elders.values()]
        plan = Plan(roles=roles, jobs=[elder for elder, _ in elders.values()], todo=todo)
        print_plan(plan, None, expander.roots, _at_a_time(launcher, plan.jobs))
        return
    print(f"parents: {len(elders)} runs, {len(elders) - len(todo)} done, {len(todo)} to do", file=sys.stderr)
    for generation in sorted({len(elder.ancestors()) for elder in todo}):
        launcher.launch([e.overrides for e in todo if len(e.ancestors()) == generation], initial_job_idx=0)
    if manifest is not None:
        ledger.remember(root, manifest.name, elders)


def _at_a_time(launcher: Launcher, jobs: Sequence[keys.Job]) -> int:
    """How many runs go side by side: what the launcher of local workers says, else one (a cluster's queue decides)."""
    from tinylm.compose.workers import at_a_time

    return at_a_time(jobs, vars(launcher).get("workers", 1))
