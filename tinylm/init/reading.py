"""What a parent is asked while parts of it are chosen: its loss, and what asking cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tinylm.batch import IGNORE, Batch
from tinylm.model.accounting import flops_per_token
from tinylm.model.lm import LanguageModel


def next_token_loss(model: LanguageModel, batch: Batch) -> Tensor:
    """Mean cross-entropy of the next token, in nats."""
    return model(
        batch,
        read=lambda head, hidden_BTD: functional.cross_entropy(
            head(hidden_BTD).float().flatten(0, 1), batch.targets_BT.flatten(), ignore_index=IGNORE
        ),
    ).read


class Meter:
    """FLOPs of a model's forwards and of the backwards that follow them.

    A backward costs two forwards where weights learn and one where only what passes through them has a gradient.
    """

    def __init__(self) -> None:
        self.flops = 0.0

    @contextmanager
    def reading(self, model: LanguageModel) -> Iterator[None]:
        """Counts what the model reads within the ``with``."""
        with model.register_forward_pre_hook(self._count):
            yield

    def _count(self, model: Any, inputs: tuple[Batch, ...]) -> None:
        ids_BT = inputs[0].ids_BT
        forwards = 1
        if torch.is_grad_enabled():
            forwards = 3 if any(parameter.requires_grad for parameter in model.parameters()) else 2
        self.flops += forwards * ids_BT.numel() * flops_per_token(model, ids_BT.shape[1])["forward"]
