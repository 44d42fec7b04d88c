"""Hydra's main, called as from the command line, and its errors as readable ones."""

from __future__ import annotations

import os
import sys
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from tinylm.compose import complaints, execute, keys, ledger, parents, session
from tinylm.compose.guard import guarded
from tinylm.compose.progress import Progress
from tinylm.compose.root import config_root
from tinylm.errors import Interrupted, UserError
from tinylm.record import RunRecord
from tinylm.runs.failure import childless

GROUP_OPTION = "Config group override must be"  # Hydra's plain ValueError about model/ffn=null
NO_PLUGIN = "Invalid plugin"  # and its RuntimeError about hydra.launcher._target_=a.class.of.elsewhere
REFUSED = ("--experimental-rerun", "--experimental_rerun")  # it unpickles a file


def invoke(arguments: list[str], command: str) -> session.Outcome:
    """Run Hydra on ``arguments`` (flags first, then overrides).

    Args:
        command: the line that the user typed, for manifests and reports.

    Raises:
        UserError: the config cannot be composed, or a job of it cannot run.
        Interrupted: Ctrl-C or SIGTERM.
    """
    if any(argument.startswith(REFUSED) for argument in arguments):
        raise UserError("--experimental-rerun is refused: it unpickles a file; start the run again by its overrides")
    session.current = session.Session(command=command)
    parents.forget()
    os.environ["HYDRA_FULL_ERROR"] = "1"
    GlobalHydra.instance().clear()
    argv, sys.argv = sys.argv, ["tinylm", *arguments]
    state = Singleton.get_state()
    try:
        with guarded():
            hydra.main(version_base="1.3", config_path=str(config_root()), config_name="config")(task)()
        if session.current.error is not None:
            raise session.current.error
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(complaints.readable(error, known_keys())) from error
    except ValueError as error:
        if not str(error).startswith(GROUP_OPTION):
            raise
        raise UserError("a group's option cannot be null or a number; `tinylm list variants` names them") from error
    except YAMLError as error:
        raise UserError(complaints.not_yaml(error)) from error
    except RuntimeError as error:
        if not str(error).startswith(NO_PLUGIN):
            raise
        raise UserError(f"hydra: {error}; launcher=workers, serial or slurm are there") from error
    finally:
        sys.argv = argv
        Singleton.set_state(state)
    return session.current.outcome


def task(config: DictConfig) -> dict[str, Any]:
    """One job in this process: a single run, or one of a serial or Slurm sweep. Returns plain data."""
    if session.current.error is not None:  # Ctrl-C in an earlier job of a serial sweep is meant for the sweep
        return {}
    try:
        return _run_here(config)
    except (UserError, Interrupted, HydraException, OmegaConfBaseException) as error:
        session.current.error = error
        return {}


def _run_here(config: DictConfig) -> dict[str, Any]:
    job = keys.job(config, HydraConfig.get())
    record = _ended(job)
    if record is None:
        from tinylm.compose.rehearsal import rehearse

        if (wrong := rehearse(job)) is not None:
            raise UserError(wrong)
        alone = HydraConfig.get().mode != RunMode.MULTIRUN  # a sweep has run the parents, or tried to
        if alone:
            _refuse_barren(job)
        elders = job.missing(lambda elder: _ended(elder) is not None) if alone else []
        labels = {elder.folder: f"parent {elder.key}" for elder in elders}
        with Progress({**labels, job.folder: " ".join(job.overrides) or job.key}) as progress:
            for task in (*elders, job):
                progress.begin(task.folder)
                record = execute.run_job(task)
                progress.end(task.folder, record.status)
    assert record is not None
    session.current.outcome.root = job.config["root"]
    session.current.outcome.record = record
    session.current.outcome.statuses[record.key] = record.status
    return execute.summary(record)


def _refuse_barren(job: keys.Job) -> None:
    """Refuse a parent that has diverged already. A sweep goes on without its children, which fail by name.

    Raises:
        UserError: there is one.
    """
    for elder in job.ancestors():
        record = _ended(elder)
        if record is not None and record.status == "diverged":
            raise UserError(f"init.parent: run {elder.folder} {childless(record, elder.folder)}")


def _ended(job: keys.Job) -> RunRecord | None:
    """The record of a run that is not to be made again."""
    record = ledger.find(job.key, ledger.roots(job.config)[:1])
    return record if ledger.ended(record, job.config) else None


def known_keys() -> list[str]:
    """Dotted keys of the default config and the names of all groups, to find the nearest to a wrong one in."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_root()), version_base="1.3"):
        config = OmegaConf.to_container(compose("config"), resolve=False)
    root = config_root()
    groups = [str(folder.relative_to(root)) for folder in root.rglob("*") if folder.is_dir()]
    return [*groups, *_dotted(config, "")]


def _dotted(node: Any, prefix: str) -> list[str]:
    if not isinstance(node, dict):
        return []
    found = []
    for name, value in node.items():
        path = f"{prefix}{name}"
        found += [path, *_dotted(value, f"{path}.")]
    return found
