"""What Hydra finds of tinylm: a sweeper that knows stages, a launcher of local worker processes, the folder of sweeps.

Hydra imports this module at the start of every application on the machine: it stays thin and without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SweepsFolder(SearchPathPlugin):
    """In a checkout the sweeps lie beside ``conf/``; in a wheel they lie inside it."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from tinylm.compose.root import config_root, sweeps_parent

        ours = any((item.path or "").removeprefix("file://") == str(config_root()) for item in search_path.get_path())
        if ours and sweeps_parent() != config_root():
            search_path.append("tinylm-sweeps", f"file://{sweeps_parent()}")


class Stages(Sweeper):
    """Runs a sweep's stages in order; see ``tinylm.compose.sweep``.

    plan: print what would run and launch nothing.
    """

    def __init__(self, plan: bool = False) -> None:
        self.plan = plan

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from tinylm.compose.sweep import sweep

        return sweep(self.hydra_context.config_loader, self.config, self.launcher, arguments, plan_only=self.plan)


class Workers(Launcher):
    """Runs jobs in local processes; see ``tinylm.compose.workers``.

    workers: how many runs at a time; None: one for each ``machine.threads`` cores.
    """

    holds_children = True  # until their parents have ended, where both are in one batch

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from tinylm.compose.workers import launch

        return launch(self.hydra_context.config_loader, self.config, job_overrides, self.workers)
