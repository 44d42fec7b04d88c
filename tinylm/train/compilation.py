"""Compilation: whether it pays, and what to do where it fails."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from tinylm.train.budget import Plan

# Compiling costs 10 to 30 s a shape and saves about a third of the steps' time. One core makes some 1e10
# parameter-tokens a second in eager bf16 at 1 M parameters, five times that at 6 M, so it has paid for itself at
# about this many; 2.5 M tokens of a 1 M model.
PAYS = 2.5e12
SECONDS = 120.0


def pays(plan: Plan, tokens_per_step: float, parameters: int) -> bool:
    """Whether the planned work is worth compiling: tokens x parameters of at least ``PAYS``.

    A pure function of the plan: compiled code differs in bits, so a measured speed may not decide. A budget in seconds
    is compiled from ``SECONDS`` on.
    """
    if plan.steps is None:
        return (plan.seconds or 0.0) >= SECONDS
    return plan.steps * tokens_per_step * parameters >= PAYS


def decide(wish: bool | Literal["auto"], plan: Plan, tokens_per_step: float, model: nn.Module) -> bool:
    """The wish, or where it is ``auto`` whether compiling pays."""
    if wish == "auto":
        return pays(plan, tokens_per_step, sum(p.numel() for p in model.parameters()))
    return wish


def failures() -> tuple[type[Exception], ...]:
    """What compiling raises where it cannot: unsupported code, or no C++ compiler on the machine."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException,)


def compiled(model: nn.Module) -> nn.Module:
    """A stand-in for ``model`` that compiles itself at the first call, for fixed shapes.

    What earlier runs of this process compiled is dropped: from the ninth model on, PyTorch would fall back to eager.
    """
    torch._dynamo.reset()
    return torch.compile(model, dynamic=False)  # type: ignore[return-value]
