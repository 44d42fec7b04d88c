"""What one invocation of Hydra was asked and came to. Hydra's main takes no arguments and returns nothing, so both
lie here; one invocation at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinylm.record import RunRecord


@dataclass
class Outcome:
    """What an invocation came to.

    name: the sweep's (None for a single run or a bare multirun).  statuses: key -> status.
    record: of a single run.  planned_only: nothing was launched.
    """

    name: str | None = None
    root: str = "runs"
    archives: list[str] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    record: RunRecord | None = None
    planned_only: bool = False


@dataclass
class Session:
    """command: the line that the user typed.  outcome: filled by the task or the sweeper.

    error: what ended a job in this process; kept here, for Hydra prints a line of its own about one that is raised.
    """

    command: str = "tinylm"
    outcome: Outcome = field(default_factory=Outcome)
    error: Exception | None = None


current = Session()
