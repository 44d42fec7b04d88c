"""A few gradient steps on a few parameters, for choices that are learned before a run begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tinylm.batch import Batch
from tinylm.errors import UserError


def descend(
    parameters: Iterable[nn.Parameter],
    loss: Callable[[Batch], Tensor],
    batches: Callable[[int], Batch],
    *,
    steps: int,
    rate: float,
) -> None:
    """Minimise ``loss`` over ``parameters`` by Adam (Kingma and Ba 2015, arXiv 1412.6980) without weight decay.

    No checkpoint is kept: it is meant for minutes, not for hours. The same batches give the same bits.

    Args:
        loss: of one batch, a scalar.
        batches: step -> its batch.

    Raises:
        UserError: the loss stopped being finite.
    """
    optimiser = torch.optim.Adam(parameters, lr=rate)
    for step in range(steps):
        value = loss(batches(step))
        if not math.isfinite(value.item()):
            raise UserError(f"the loss was not finite at step {step + 1} of {steps}; take a smaller rate than {rate:g}")
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
