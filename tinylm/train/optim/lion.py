"""Lion."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer

from tinylm.train.roles import Roled, decay_groups, trainable


class Lion(Optimizer):
    """Sign of an interpolated momentum. Chen et al. 2023, arXiv:2302.06675, algorithm 2.

    Its update has magnitude one in every entry, so it wants a learning rate 3 to 10 times smaller than AdamW's and a
    weight decay as many times larger (section 5 there).

    Args:
        model: its trainable parameters, by role; norms and biases are not decayed.
        lr: peak learning rate.
        beta1: weight of the momentum in the update.
        beta2: decay of the momentum, a step.
        weight_decay: times the learning rate, taken off each step.
        memory_lr: peak learning rate of a memory's values; None: ``lr``.
    """

    def __init__(
        self,
        model: Roled,
        lr: float = 6e-4,
        beta1: float = 0.9,
        beta2: float = 0.99,
        weight_decay: float = 0.5,
        memory_lr: float | None = None,
    ) -> None:
        groups = decay_groups(trainable(model), weight_decay, memory_lr)
        super().__init__(groups, {"lr": lr, "beta1": beta1, "beta2": beta2})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient; no closure is taken."""
        for group in self.param_groups:
            pairs: list[tuple[Tensor, Tensor]] = [(p, p.grad) for p in group["params"] if p.grad is not None]
            if not pairs:
                continue
            parameters, gradients = [p for p, _ in pairs], [gradient for _, gradient in pairs]
            for p in parameters:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            momenta = [self.state[p]["momentum"] for p in parameters]
            updates = torch._foreach_lerp(momenta, gradients, 1 - group["beta1"])
            torch._foreach_sign_(updates)
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, updates, alpha=-group["lr"])
            torch._foreach_lerp_(momenta, gradients, 1 - group["beta2"])
