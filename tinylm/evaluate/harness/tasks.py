"""Tasks by name: those that ship here for data of the user's, and lm-eval's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tinylm.errors import UserError, nearest
from tinylm.evaluate.harness.squad import provide
from tinylm.shipped import config_root


class Tasks(NamedTuple):
    """What a list of names stands for, as lm-eval's manager gives it.

    tasks: name -> task.  groups: name -> group, which may hold groups.  group_map: group -> names of what it holds.
    """

    tasks: dict[str, Any]
    groups: dict[str, Any]
    group_map: dict[str, list[str]]


def shipped() -> Path:
    """The folder with the task files of this package."""
    return config_root() / "tasks"


def require() -> None:
    """Make sure that lm-eval is there; what it remarks on every task with a reader of its own is kept from the user.

    Raises:
        UserError: it is not installed.
    """
    try:
        import lm_eval  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("lm-eval is not installed; pip install 'tinylm[eval]'") from error
    logging.getLogger("lm_eval.api.task").addFilter(_of_use)


def load(names: Sequence[str], data: str | None = None) -> Tasks:
    """Tasks and groups of tasks, with their documents.

    Args:
        names: of tasks, groups or tags of lm-eval's, or of the files in ``conf/tasks``; or paths of task files.
        data: the folder with the data of local tasks; None: the one that ``TINYLM_EVAL_DATA`` names.

    Raises:
        UserError: lm-eval is not installed, there is no such task, or its documents cannot be had.
    """
    require()
    if not names:
        raise UserError("no task is named; give one or several, such as local_blimp")
    ours = _manager(False, data)
    # lm-eval's own files are ten thousands, and take some seconds to go through: not where nobody asks for them.
    manager = ours
    if not all(_alone(name, ours.task_index) for name in names):
        provide()
        manager = _manager(True, data)
    for name in names:
        if name not in manager.task_index and not Path(name).is_file():
            raise UserError(f"there is no task {name!r}{_similar(name, manager.all_tasks)}")
    with failures():
        return Tasks(**manager.load(list(names)))


class failures:
    """What lm-eval raises where a task cannot be had, as one line with the way out."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from datasets.exceptions import DatasetsError

        if isinstance(error, ModuleNotFoundError):
            raise UserError(f"a task of lm-eval's needs the package {error.name}, which is not here") from error
        if isinstance(error, ConnectionError | DatasetsError):
            said = " ".join(str(error).split())
            raise UserError(
                f"{said}: with a network lm-eval's own tasks fetch their documents once, without one they have none; "
                f"local tasks read a folder instead (--data DIR): {', '.join(_ours())}"
            ) from error
        if isinstance(error, ValueError) and str(error).startswith("Duplicate task"):
            raise UserError(f"{error}; name it once") from error


@lru_cache(maxsize=4)
def _manager(everything: bool, data: str | None) -> Any:
    """The index of the shipped task files, and of ``everything`` that lm-eval brings."""
    from lm_eval.tasks import TaskManager

    metadata = None if data is None else {"data": data}
    return TaskManager(include_path=str(shipped()), include_defaults=everything, metadata=metadata)


def _ours() -> list[str]:
    return sorted(name for name in _manager(False, None).task_index if name.startswith("local_"))


def _alone(name: str, index: Mapping[str, Any]) -> bool:
    """Whether a task needs no other files than those indexed here."""
    from lm_eval.tasks._index import TaskIndex

    entry = index.get(name) or (TaskIndex.entry_from_path(Path(name)) if name.endswith(".yaml") else None)
    return entry is not None and _members_alone((entry.cfg or {}).get("task"), index)


def _members_alone(members: Any, index: Mapping[str, Any]) -> bool:
    if not isinstance(members, list):  # a task, and no group
        return True
    for member in members:
        if isinstance(member, str):
            alone = _alone(member, index)
        elif "group" in member:
            alone = _members_alone(member.get("task"), index)
        else:
            alone = member["task"] in index or "dataset_kwargs" in member
        if not alone:
            return False
    return True


def _similar(name: str, known: Sequence[str]) -> str:
    hint = nearest(name, known)
    return hint if "did you mean" in hint else "; `tinylm lm-eval ls tasks` names them all"


def _of_use(record: logging.LogRecord) -> bool:
    return "Custom kwargs can be passed" not in record.getMessage()
