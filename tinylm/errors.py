"""Errors that are part of the interface: each is one readable line that names the culprit and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave is wrong; the message is one line and the process ends with exit code 2."""


class Diverged(Exception):
    """The loss stopped being finite. An outcome of a run, not a crash.

    Args:
        step: the first step (1-based) whose loss or gradient norm was not finite.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss was not finite at step {step}")
        self.step = step


class Interrupted(Exception):
    """The run was asked to stop (SIGTERM, Ctrl-C), wrote its checkpoint and left."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest valid word, else the list of them all.

    Example: ``nearest("swglu", ["swiglu", "gelu"]) == "; did you mean 'swiglu'?"``
    """
    choices = sorted(valid)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; valid: {', '.join(choices)}" if choices else ""
