"""Compilation: whether it pays, and what to do where it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from tinylm.errors import UserError
from tinylm.train.budget import Plan

Wish = bool | Literal["auto"]

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


def decide(wish: Wish, plan: Plan, tokens_per_step: float, model: nn.Module) -> bool:
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


def attempt(model: nn.Module, backward: Callable[[nn.Module], None], wish: Wish) -> tuple[nn.Module, str | None]:
    """A compiled stand-in for ``model``, or ``model`` itself with the reason why it does not compile.

    Args:
        backward: a forward and a backward of what it is handed. The caller drops the gradients; buffers are put back.
        wish: where it is True, not compiling is an error.

    Raises:
        UserError: it does not compile, and was asked to.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
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
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
    return called, None
