"""Parameter groups by role: which parameters an optimiser decays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import nn

DECAYED = frozenset({"embedding", "head", "matrix", "expert", "adapter"})  # norms and biases are never decayed


class Roled(Protocol):
    """A model that says what each of its parameters is for."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def roles(self) -> dict[str, Any]:
        """Parameter name -> role."""


def trainable(model: Roled) -> list[tuple[str, str, nn.Parameter]]:
    """(name, role, parameter) of every parameter that is not frozen; one that is shared stands here once."""
    roles = model.roles()
    return [(name, roles[name], p) for name, p in model.named_parameters() if p.requires_grad]


def decay_groups(
    parameters: list[tuple[str, str, nn.Parameter]], weight_decay: float, memory_lr: float | None = None
) -> list[dict[str, Any]]:
    """Parameter groups, decayed and not; an empty one is left out.

    Args:
        memory_lr: peak learning rate of the values of memories, which are never decayed; None: as of all others.
    """
    decayed = [p for _, role, p in parameters if role in DECAYED]
    values = [p for _, role, p in parameters if role == "memory" and memory_lr is not None]
    apart = {id(p) for p in values}
    others = [p for _, role, p in parameters if role not in DECAYED and id(p) not in apart]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
        {"params": values, "weight_decay": 0.0, "lr": memory_lr},
    ]
    return [group for group in groups if group["params"]]
