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


def decay_groups(parameters: list[tuple[str, str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups, decayed and not; an empty one is left out."""
    decayed = [p for _, role, p in parameters if role in DECAYED]
    others = [p for _, role, p in parameters if role not in DECAYED]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
