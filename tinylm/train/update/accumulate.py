"""Accumulate, clip, step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tinylm.batch import Batch
from tinylm.train.slots import Loss, Losses, Progress, Update


class Accumulate(Update):
    """Gradients summed over the micro batches, clipped by their global norm, then one optimiser step.

    Each micro batch weighs as many scored tokens as it has, so the gradient is that of the whole batch (of auxiliary
    losses, which are no sums over tokens, it is the weighted mean).

    Args:
        clip: largest global gradient norm; None for no clipping.
    """

    def __init__(self, clip: float | None = 1.0) -> None:
        self.clip = clip

    def __call__(
        self,
        model: nn.Module,
        objective: Loss,
        optimiser: Optimizer,
        batches: Sequence[Batch],
        progress: Progress,
        backward: Callable[[Tensor], None],
    ) -> tuple[Losses, Tensor]:
        scored = max(1, sum(batch.tokens for batch in batches))
        parts: list[Losses] = []
        for batch in batches:
            weight = batch.tokens / scored
            losses = objective(model, batch, progress)
            backward(losses.total if len(batches) == 1 else losses.total * weight)
            parts.append(_weighted(losses, weight if len(batches) > 1 else 1.0))
        parameters = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(parameters, math.inf if self.clip is None else self.clip, foreach=True)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return _total(parts), norm.detach()


def _weighted(losses: Losses, weight: float) -> Losses:
    def scale(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.detach() * weight for name, value in values.items()}

    return Losses(
        losses.total.detach() * weight, losses.language.detach() * weight, scale(losses.side), scale(losses.stats)
    )


def _total(parts: Sequence[Losses]) -> Losses:
    first = parts[0]
    return Losses(
        torch.stack([part.total for part in parts]).sum(),
        torch.stack([part.language for part in parts]).sum(),
        {name: torch.stack([part.side[name] for part in parts]).sum() for name in first.side},
        {name: torch.stack([part.stats[name] for part in parts]).sum(0) for name in first.stats},
    )
