"""Compilation: whether it pays, and what to do where it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from tinylm.errors import UserError
from tinylm.train.budget import Plan

Wish = bool | Literal["auto"]

# An eager step in bf16 on one core of a server: each tensor of parameters takes part in some ten kernels, forward and
# back, that have to be called, and then there is the arithmetic. Within a third of what was measured from 0.04 to 1 M
# parameters (docs/logbook.md).
CALLS = 4e-4  # seconds a tensor
RATE = 1e10  # tokens x parameters a second
# Compiling takes 25 s, a tenth of that where a run of this shape has done it, and saves a third to a half of a step.
PAYS = 100.0  # seconds of eager steps


def pays(plan: Plan, tokens_per_step: float, tensors: int, parameters: int) -> bool:
    """Whether the planned work is worth compiling: what it would take in eager steps is ``PAYS`` or more.

    A pure function of the plan: compiled code differs in bits, so a measured speed may not decide.

    Args:
        tensors, parameters: how many parameter tensors the model has, and how many numbers are in them.
    """
    if plan.steps is None:
        return (plan.seconds or 0.0) >= PAYS
    return plan.steps * (CALLS * tensors + tokens_per_step * parameters / RATE) >= PAYS


def decide(wish: Wish, plan: Plan, tokens_per_step: float, model: nn.Module) -> bool:
    """The wish, or where it is ``auto`` whether compiling pays."""
    if wish == "auto":
        sizes = [parameter.numel() for parameter in model.parameters()]
        return pays(plan, tokens_per_step, len(sizes), sum(sizes))
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


def attempt(model: nn.Module, backward: Callable[[nn.Module], None], wish: Wish) -> tuple[nn.Module, str | None]:
    """A compiled stand-in for ``model``, or ``model`` itself with the reason why it does not compile.

    Args:
        backward: a forward and a backward of what it is handed. The caller drops the gradients; buffers are put back,
            and parameters that no gradient moves: a layer may keep running moments in them.
        wish: where it is True, not compiling is an error.

    Raises:
        UserError: it does not compile, and was asked to.
    """
    moved = [*model.buffers(), *(held for held in model.parameters() if not held.requires_grad)]
    before = [held.detach().clone() for held in moved]
    called = compiled(model)
    try:
        backward(called)
    except failures() as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if wish is True:
            raise UserError(
                f"compile: the model does not compile here ({reason}); compile=false trains without"
            ) from error
        return model, reason
    finally:
        with torch.no_grad():
            for held, was in zip(moved, before, strict=True):
                held.copy_(was)
    return called, None
