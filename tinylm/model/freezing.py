"""Parameters that training leaves as they are, by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from tinylm.errors import UserError

SHOWN = 3  # names that come nearest to a pattern of none


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Turn off the gradients of the parameters whose names match: no optimiser takes them up.

    Layers compute as before, so running moments that a layer keeps go on running.

    Args:
        patterns: of shells, such as ``*.attention.*``.

    Raises:
        UserError: there are none, one matches no name, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    if not patterns:
        raise UserError("freeze=[] freezes nothing; write freeze=null")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern.replace("*", ""), names, n=SHOWN, cutoff=0.0)
            raise UserError(f"freeze: no parameter is called {pattern!r}; near it are {', '.join(near)}")
    for name, parameter in model.named_parameters():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"freeze={list(patterns)} leaves nothing to train; name fewer")
