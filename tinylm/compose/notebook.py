"""``tinylm.run`` and ``tinylm.sweep``: what the command line does, from Python."""

from __future__ import annotations

import shlex

from tinylm.compose import session
from tinylm.compose.main import invoke
from tinylm.record import RunRecord


def run(*overrides: str) -> RunRecord:
    """Train and score one variant, as ``tinylm run`` with the same overrides.

    Raises:
        UserError: an override is wrong.

    Example:
        >>> tinylm.run("model/ffn=gelu", "shape.depth=8", "seed=3").metrics["bits_per_byte"]
    """
    outcome = invoke(list(overrides), command=shlex.join(["tinylm", "run", *overrides]))
    assert outcome.record is not None
    return outcome.record


def sweep(name: str, *overrides: str) -> session.Outcome:
    """Run a sweep, as ``tinylm sweep NAME`` with the same overrides; key -> status of its runs.

    Raises:
        UserError: a job of it cannot run; none was started.

    Example:
        >>> tinylm.sweep("quickstart").statuses
    """
    command = shlex.join(["tinylm", "sweep", name, *overrides])
    return invoke([f"sweeps={name}", "hydra.mode=MULTIRUN", *overrides], command=command)
