"""AdamW."""

from __future__ import annotations

import torch

from tinylm.train.roles import Roled, decay_groups, trainable


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay, on matrices and embeddings but not on norms and biases.

    Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2; PyTorch's fused kernel.

    Args:
        model: its trainable parameters, by role.
        lr: peak learning rate.
        beta1, beta2: decay of the first and second moment, a step.
        eps: added to the root of the second moment.
        weight_decay: times the learning rate, taken off each step.
        memory_lr: peak learning rate of a memory's values; None: ``lr``.
    """

    def __init__(
        self,
        model: Roled,
        lr: float = 2e-3,
        beta1: float = 0.9,
        beta2: float = 0.95,
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        memory_lr: float | None = None,
    ) -> None:
        groups = decay_groups(trainable(model), weight_decay, memory_lr)
        super().__init__(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)
