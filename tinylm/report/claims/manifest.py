"""The manifest of a sweep: which run serves which arm. Written when a sweep is planned, read by every report."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinylm.errors import UserError, nearest
from tinylm.files import write_json
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.declaration import amendments
from tinylm.report.claims.portable import portable

SCHEMA = 1
_DROPPED = re.compile(r"~claim\.arms\.([^\s'\"=]+)")  # in Hydra's grammar, whatever quotes a shell wants about it


@dataclass(frozen=True)
class Job:
    """One run's place in a sweep.

    Fields:
        key: the run's key.
        arm: the arm that it serves.
        stage: ``tune`` (its score chooses ``params``), ``compare`` (its score decides) or ``parent`` (others begin
            from its weights).
        seed: the run's seed.
        params: tuned config key -> value.
        overrides: what the command line would have to say to make this run alone.
    """

    key: str
    arm: str
    stage: Literal["tune", "compare", "parent"]
    seed: int
    params: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, str, int, str]:
        """What one run alone can be in a sweep; another key in the same place was planned otherwise."""
        told = {"tune": json.dumps(self.params, sort_keys=True), "parent": self.key}
        return self.arm, self.stage, self.seed, told.get(self.stage, "")


@dataclass(frozen=True)
class Manifest:
    """A sweep as it was planned: ``root/sweeps/<name>.json``.

    Fields:
        name, command: the sweep, and the command that made it.
        claim: its declaration; None for a sweep that claims nothing.
        jobs: its runs.
        warnings: what was odd about the files it was read from.
        first: the claim as it stood when the first of its runs ended, where it has been changed since.
        added: the seeds that were added to the declared ones, in the groups in which they came: a group begins where a
            run of the one before had ended.
    """

    name: str
    command: str
    claim: Claim | None
    jobs: list[Job]
    warnings: list[str] = field(default_factory=list)
    first: Claim | None = None
    added: list[list[int]] = field(default_factory=list)

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str = "manifest") -> Manifest:
        """A manifest from its JSON.

        Raises:
            UserError: it is of a newer schema, lacks a key, or its claim is not valid.
        """
        if data.get("schema", 0) > SCHEMA:
            raise UserError(f"{where} has schema {data['schema']}; this version reads up to {SCHEMA}")
        known = {item.name for item in dataclasses.fields(Job)}
        try:
            jobs = [Job(**{name: value for name, value in job.items() if name in known}) for job in data["jobs"]]
            block = data.get("claim")
            claim = None if block is None else Claim.parse(block, f"{where}: claim")
            if claim is not None:  # files keep their keys sorted; the jobs keep the order in which arms were declared
                order = list(dict.fromkeys([job.arm for job in jobs if job.arm in claim.arms] + list(claim.arms)))
                claim = dataclasses.replace(claim, arms={name: claim.arms[name] for name in order})
                sizes = dict.fromkeys(arm.size for arm in claim.arms.values() if arm.size is not None)
                claim = dataclasses.replace(claim, sizes={size: claim.sizes[size] for size in sizes})
                told = [name for name in data.get("estimates", []) if name in claim.estimates]
                order = list(dict.fromkeys([*told, *claim.estimates]))
                claim = dataclasses.replace(claim, estimates={name: claim.estimates[name] for name in order})
            first = None if data.get("first") is None else Claim.parse(data["first"], f"{where}: first")
            return cls(data["name"], data.get("command", ""), claim, jobs, first=first, added=data.get("added", []))
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{where} is not a sweep's manifest ({error}); plan the sweep again") from error

    def as_json(self) -> dict[str, Any]:
        """What the manifest's file holds."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "command": self.command,
            "claim": None if self.claim is None else dataclasses.asdict(self.claim),
            "estimates": [] if self.claim is None else list(self.claim.estimates),  # in the order declared
            "jobs": [dataclasses.asdict(job) for job in self.jobs],
            "first": None if self.first is None else dataclasses.asdict(self.first),
        } | ({"added": self.added} if self.added else {})

    def write(self, root: Path) -> Path:
        """Write ``root/sweeps/<name>.json``, atomically."""
        path = root / "sweeps" / f"{self.name}.json"
        write_json(path, self.as_json())
        return path

    @property
    def amended(self) -> list[str]:
        """What of the claim was declared otherwise before its runs had ended."""
        return amendments(self.first, self.claim) if self.first is not None and self.claim is not None else []

    @property
    def left_out(self) -> list[str]:
        """The arms that the sweep's file declares and the command line took out: no claim knows of them."""
        return _DROPPED.findall(self.command)

    @property
    def needed(self) -> set[str]:
        """The keys of all its runs."""
        return {job.key for job in self.jobs}

    def rivals(self, other: Manifest) -> list[Job]:
        """The jobs of ``other`` whose place another run has here."""
        known = {job.place: job.key for job in self.jobs}
        return [job for job in other.jobs if known.get(job.place, job.key) != job.key]

    def counting(self, planned: Collection[int]) -> list[int]:
        """Of planned seeds those that decide: the declared ones, or where some were added the group that came last.

        Whoever adds seeds has seen what those before gave, and goes on only where it did not please.
        """
        declared = [] if self.claim is None else self.claim.seeds
        added = set(planned) - set(declared)
        if not added:
            return declared
        groups = [sorted(set(group) & set(added)) for group in self.added]
        return next((group for group in reversed(groups) if group), sorted(added))

    def keys(self, arm: str, stage: str = "compare") -> dict[int, str]:
        """Seed -> key of an arm's runs in a stage."""
        return {job.seed: job.key for job in self.jobs if job.arm == arm and job.stage == stage}


def read_manifest(name: str, *roots: str | Path) -> Manifest:
    """The manifest of a sweep from the roots that have one.

    Several roots may hold parts of one sweep (runs here, an archive there): their jobs are joined, and where
    they declare different seeds, those that all of them declare count as declared, the others as added later.
    Where a later root has another run in the place (arm, stage, seed, tuned values) of one that is known, it was
    planned otherwise, and is left out with a warning; within one file the first run of a place counts.

    Raises:
        UserError: no root has it, or it cannot be read.
    """
    paths = [path for root in roots if (path := Path(root) / "sweeps" / f"{name}.json").is_file()]
    if not paths:
        known = {path.stem for root in roots for path in Path(root).glob("sweeps/*.json")}
        places = ", ".join(str(root) for root in roots) or "runs and analysis/results/*/runs"
        hint = nearest(name, known) if known else "; run it first, or name its root with --root"
        raise UserError(f"no sweep {name!r} under {places}{hint}")
    parts, warnings = [], []
    for path in paths:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path} is not whole ({error}); plan the sweep again") from error
        part = Manifest.parse(data, str(path))
        leading = {job.place: job.key for job in reversed(part.jobs)}
        whole = [job for job in part.jobs if job.key == leading[job.place]]
        if len(whole) < len(part.jobs):
            warnings.append(f"{path} has several runs of one arm, stage and seed; the first of each counts")
        parts.append(dataclasses.replace(part, jobs=whole))
    first, joined = parts[0], []
    claims: list[Claim] = []
    jobs: dict[tuple[str, str, int, str], Job] = {}
    for path, part in zip(paths, parts, strict=True):
        if rivals := dataclasses.replace(first, jobs=list(jobs.values())).rivals(part):
            warnings.append(
                f"{path} was planned otherwise ({len(rivals)} of its {len(part.jobs)} runs have the arm, stage and "
                f"seed of another), so it is left out; {paths[0]} counts"
            )
            continue
        joined.append(part)
        for job in part.jobs:
            jobs.setdefault(job.place, job)
        if part.claim is not None:
            claims.append(part.claim)
    claim = first.claim
    if claim is not None and len(claims) > 1:
        declared = [seed for seed in claim.seeds if all(seed in other.seeds for other in claims)]
        claim = dataclasses.replace(claim, seeds=declared or claim.seeds)
        plain = [portable(dataclasses.asdict(dataclasses.replace(item, seeds=[], cost=""))) for item in claims]
        if any(item != plain[0] for item in plain[1:]):
            warnings.append(f"the claim of {paths[0]} differs from that of another root; the first counts")
    declared_first = next((part.first for part in reversed(joined) if part.first is not None), None)
    added = [] if claim is None else _turns(joined, claim.seeds)
    return Manifest(first.name, first.command, claim, list(jobs.values()), warnings, declared_first, added)


def _turns(parts: Sequence[Manifest], declared: Collection[int]) -> list[list[int]]:
    """The added seeds of several roots in their turns, the last root's first: an archive is older than what runs here.

    What a root has beyond the turns that any of them tells is a turn of its own.
    """
    turns, placed = [], set(declared)
    told = {seed for part in parts for group in part.added for seed in group}
    for part in reversed(parts):
        rest = {job.seed for job in part.jobs if job.stage == "compare"} - told
        for group in [*part.added, sorted(rest)]:
            new = [seed for seed in group if seed not in placed]
            placed |= set(new)
            turns += [new] if new else []
    return turns
