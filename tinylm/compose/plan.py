"""What a sweep would take and could show, printed before anything is launched."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tinylm.compose.keys import Job
from tinylm.compose.progress import clock
from tinylm.errors import UserError
from tinylm.record import RunRecord
from tinylm.report.claims.claim import Claim

RATE = 6e10  # training FLOPs a second of one thread, where no past run tells; measured in bf16 on a server's core
BYTES_PER_TOKEN = 3.5  # where a budget counts bytes and the store is not built yet
OVERHEAD = 15.0  # seconds a run: data, compilation, scoring


@dataclass(frozen=True)
class Plan:
    """One stage: the role (arm, stage, seed) of every job, the jobs, and those not done yet."""

    roles: list[tuple[str, str, int]]
    jobs: list[Job]
    todo: list[Job]


def print_plan(plan: Plan, claim: Claim | None, roots: Sequence[Path], workers: int) -> None:
    """Print one stage: arms with their shapes, runs done and to do, hours, and what the seeds can detect."""
    from tinylm.compose.parts import planned_shape

    stage = plan.roles[0][1] if plan.roles else "compare"
    missing = {job.key for job in plan.todo}
    keys = {job.key for job in plan.jobs}
    print(f"\nstage {stage}: {len(keys)} runs, {len(keys - missing)} done, {len(missing)} to do")
    shown = set()
    for (arm, _, _), job in zip(plan.roles, plan.jobs, strict=True):
        if arm not in shown:
            shown.add(arm)
            solved = planned_shape(job)
            print(f"  {arm or ' '.join(job.overrides):<12}  depth {solved.shape.depth}, {solved.note}")
    speeds = past_speeds(roots)
    took = {job.key: forecast(job, speeds) for job in plan.jobs}
    seconds = sum(took[job.key] for job in plan.todo) / max(1, workers)
    source = f"from {len(speeds)} past runs" if speeds else "no past run tells this machine's speed: a rough guess"
    print(f"  about {clock(seconds)} with {workers} at a time ({source})")
    if claim is not None and stage == "compare":
        from tinylm.report.judgement.power import describe_power

        a_seed = sum(took.values()) / max(1, workers) / max(1, len({seed for _, _, seed in plan.roles}))
        for line in describe_power(claim, roots, lambda seeds: f", about {clock(seeds * a_seed)}"):
            print(f"  {line}")


def print_larger(children: Mapping[str, Job]) -> None:
    """Print how much larger the arms' parents are: what a parent costs, a claim about its children leaves out."""
    for arm, child in children.items():
        if child.parent is not None:
            own, elder = planned_parameters(child), planned_parameters(child.parent)
            much = "; warning: more than twice" if elder > 2 * own else ""
            print(f"  {arm:<12}  its parent has {elder / own:.2f} x its parameters{much}")


def planned_parameters(job: Job) -> int:
    """How many parameters the job's model will have."""
    from tinylm.compose.parts import model_factory, planned_shape
    from tinylm.model.accounting import counter

    return counter(model_factory(job.config), "total")(planned_shape(job).shape)


class Speed(NamedTuple):
    """Of a past run: training FLOPs of one step, and FLOPs a second and thread."""

    step: float
    rate: float


def past_speeds(roots: Sequence[Path]) -> list[Speed]:
    """What past runs tell of this machine."""
    speeds = []
    for root in roots:
        for path in sorted(root.glob("*/record.json")):
            try:
                record = RunRecord.read(path.parent)
            except UserError:
                continue  # a torn record tells no speed; it is named where its run is wanted
            seconds, flops, steps = (record.cost.get(name) for name in ("seconds", "flops", "steps"))
            if record.status == "done" and seconds and flops and steps:
                speeds.append(Speed(flops / steps, flops / seconds / int(record.provenance.get("threads") or 1)))
    return speeds


def forecast(job: Job, speeds: Sequence[Speed]) -> float:
    """Seconds that ``job`` may take: as fast as the quarter of past runs whose steps are nearest to its own in size.

    A small step is slow for its FLOPs: much of it is calling kernels.
    """
    budget = job.config["budget"]
    unit, amount = str(budget["_target_"]).rsplit(".", 1)[-1].lower(), float(budget["amount"])
    if unit == "seconds":
        return amount + OVERHEAD
    threads = int(job.config["machine"]["threads"])
    flops, step = planned_flops(job, unit, amount)
    near = sorted(speeds, key=lambda speed: abs(math.log(speed.step / step)))[: max(3, len(speeds) // 4)]
    rate = statistics.median(speed.rate for speed in near) if near else RATE
    return flops / (rate * threads) + OVERHEAD


def planned_flops(job: Job, unit: str, amount: float) -> tuple[float, float]:
    """FLOPs of a budget of ``amount`` ``unit``, the choice of later rounds' text included, and of a step."""
    from tinylm.compose.parts import model_factory, planned_shape
    from tinylm.compose.schema import make
    from tinylm.model.accounting import flops_per_token
    from tinylm.model.meta import meta

    batch = job.config["batch"]
    context = int(batch["context"]) if batch["unit"] == "tokens" else round(batch["context"] / BYTES_PER_TOKEN)
    with meta():
        model = model_factory(job.config)(planned_shape(job).shape)
    token = flops_per_token(model, context)["training"]
    step = batch["size"] * context * token
    if unit == "flops":
        return amount, step
    planned = {"steps": amount * step, "tokens": amount * token, "bytes": amount / BYTES_PER_TOKEN * token}[unit]
    return planned * (1 + make(job.config["rounds"]).scoring()), step
