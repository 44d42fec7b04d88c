"""Importance by what the loss would change to first order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tinylm.errors import UserError
from tinylm.init.importance.scores import Pool, gather, members
from tinylm.init.initialiser import Sources
from tinylm.init.reading import next_token_loss
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


class Taylor:
    """``|sum over the group of w x dL/dw|`` of a batch, averaged over batches of the parent's tune split.

    The sum is the loss's first-order change when the group is set to zero. Molchanov et al. 2019 (arXiv 1906.10771),
    eq. 8, there squared; compared in Tang et al. 2024 (arXiv 2402.02791). Gains and biases count.

    Args:
        batches: how many.
    """

    def __init__(self, batches: int) -> None:
        if batches < 1:
            raise UserError(f"init.batches is {batches}; importance by Taylor's formula reads 1 or more")
        self.batches = batches

    def __call__(
        self, model: LanguageModel, budgets: Mapping[Pool, int], streams: Streams, sources: Sources
    ) -> dict[Pool, Tensor]:
        if sources.batches is None:
            raise UserError("init.neurons=taylor reads batches of the parent's tune split, and there are none")
        scores = {pool: torch.zeros(members(model, pool)) for pool in budgets}
        parameters = dict(model.named_parameters())
        for step in range(self.batches):
            gradients = torch.autograd.grad(next_token_loss(model, sources.batches(step)), list(parameters.values()))
            values = {
                name: parameter.detach() * gradient
                for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
            }
            for pool, total in gather(model, values, budgets).items():
                scores[pool] += total.abs() / self.batches
        return scores
