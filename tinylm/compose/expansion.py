"""From a claim and the command line to jobs: every arm over its seeds, composed and checked before any runs."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tinylm.compose import keys, ledger
from tinylm.compose.complaints import readable
from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim

SHOWN_ERRORS = 8


@dataclass(frozen=True)
class Role:
    """A job in the role that it plays: arm, stage, seed, tuned values."""

    overrides: list[str]
    arm: str
    stage: Literal["tune", "compare"]
    seed: int
    params: dict[str, Any] = field(default_factory=dict)


class Expander:
    """Turns a claim and the command line into override lists and jobs.

    Args:
        arguments: the task overrides of the command line; they win over an arm's own.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig, arguments: list[str]) -> None:
        self.loader, self.config, self.arguments = loader, config, arguments
        self._drawn: DictConfig | None = None
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

        Overrides that cannot run stand for themselves: they stay, and `jobs` refuses them aloud. Draws differ in plain
        values alone: one of them is composed, which takes a while, and the others are that one with their values.
        """
        from tinylm.compose.parts import planned_shape

        own = [item for item in overrides if not self._named(item.split("=", 1)[0])]
        try:
            if self._drawn is None:
                self._drawn = self.loader.load_sweep_config(self.config, self.product(overrides)[0])
            task = keys.job(OmegaConf.merge(self._drawn, OmegaConf.from_dotlist(own)))  # type: ignore[arg-type]
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
                wrong.append((" ".join(role.overrides), readable(error)))
        if not wrong:
            from tinylm.compose.rehearsal import faults

            wrong = [(" ".join(job.overrides), said) for job, said in faults(jobs)]
        if wrong:
            raise UserError(_told(wrong, len(roles)))
        return jobs


def _told(wrong: Sequence[tuple[str, str]], planned: int) -> str:
    """Every fault, with the jobs that have it; a fault of all of them once."""
    if planned == 1:
        return wrong[0][1]
    if len(wrong) == planned and len({said for _, said in wrong}) == 1:
        return f"none of the {planned} jobs can run: {wrong[0][1]}"
    distinct = list(dict.fromkeys(f"{job}: {said}" for job, said in wrong))
    more = f"\n... and {len(distinct) - SHOWN_ERRORS} more" if len(distinct) > SHOWN_ERRORS else ""
    return f"{len(wrong)} of {planned} jobs cannot run:\n" + "\n".join(distinct[:SHOWN_ERRORS]) + more
