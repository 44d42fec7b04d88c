"""Predict the next token."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinylm.batch import IGNORE, Batch
from tinylm.train.slots import Losses, Objective, Progress


class NextToken(Objective):
    """Cross-entropy, mean over scored targets, plus the model's own auxiliary losses.

    The head is read a chunk of positions at a time: the logits of a whole batch are never one tensor, which takes
    less memory and, on a CPU, less time.

    Args:
        chunk: positions whose logits are made at once.
        z_loss: weight of the squared log-partition, which keeps logits from drifting (Chowdhery et al. 2022,
            arXiv:2204.02311, section 5); None for none.
    """

    def __init__(self, chunk: int = 1024, z_loss: float | None = None) -> None:
        self.chunk = chunk
        self.z_loss = z_loss

    def __call__(self, model: nn.Module, batch: Batch, progress: Progress) -> Losses:
        targets_BT = batch.targets_BT

        def read(head: Callable[[Tensor], Tensor], hidden_BTD: Tensor) -> tuple[Tensor, Tensor | None]:
            return self._losses(head, hidden_BTD, targets_BT)

        output = model(batch, read=read)
        language, partition = output.read
        side = dict(output.side.losses)
        if partition is not None:
            side["z_loss"] = partition
        total = language
        for loss in side.values():
            total = total + loss
        return Losses(total, language, side, output.side.stats)

    def _losses(
        self, head: Callable[[Tensor], Tensor], hidden_BTD: Tensor, targets_BT: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        hidden_ND, targets_N = hidden_BTD.flatten(0, 1), targets_BT.flatten()
        scored = (targets_N != IGNORE).sum().clamp(min=1)
        language = hidden_ND.new_zeros((), dtype=torch.float32)
        partition = hidden_ND.new_zeros((), dtype=torch.float32)
        for rows_ND, wanted_N in zip(hidden_ND.split(self.chunk), targets_N.split(self.chunk), strict=True):
            logits_NV = head(rows_ND).float()
            language = language + F.cross_entropy(logits_NV, wanted_N, ignore_index=IGNORE, reduction="sum")
            if self.z_loss is not None:
                squares_N = logits_NV.logsumexp(-1).square()
                partition = partition + squares_N.masked_fill(wanted_N == IGNORE, 0.0).sum()
        return language / scored, None if self.z_loss is None else self.z_loss * partition / scored
