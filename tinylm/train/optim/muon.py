"""Muon for matrices, AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from tinylm.train.roles import Roled, decay_groups, trainable

HIDDEN = frozenset({"matrix", "expert"})


class Muon(Optimizer):
    """Momentum orthogonalised by Newton–Schulz steps, for the 2-D parameters of role matrix or expert.

    Jordan 2024 (kellerjordan.github.io/posts/muon); the update scaled by 0.2 sqrt(max(rows, columns)) after Liu et
    al. 2025, arXiv:2502.16982, eq. 4, so that its size is AdamW's. Embeddings, head, norms, biases and what is not
    2-D go to AdamW. Both are PyTorch's; they share this optimiser's groups and state, so that a schedule and a
    checkpoint see one optimiser.

    Args:
        model: its trainable parameters, by role; norms and biases are not decayed.
        lr: peak learning rate of the matrices.
        adamw_lr: peak learning rate of the rest.
        momentum: decay of the momentum, a step (Nesterov's).
        newton_schulz_steps: iterations of the orthogonalisation.
        weight_decay: times the learning rate, taken off each step; both parts.
        beta1, beta2, eps: AdamW's.
        memory_lr: peak learning rate of a memory's values; None: ``adamw_lr``.
    """

    def __init__(
        self,
        model: Roled,
        lr: float = 4e-3,
        adamw_lr: float = 4e-3,
        momentum: float = 0.95,
        newton_schulz_steps: int = 5,
        weight_decay: float = 0.1,
        beta1: float = 0.9,
        beta2: float = 0.95,
        eps: float = 1e-8,
        memory_lr: float | None = None,
    ) -> None:
        parameters = trainable(model)
        hidden = [p for _, role, p in parameters if role in HIDDEN and p.ndim == 2]
        chosen = {id(p) for p in hidden}
        others = [entry for entry in parameters if id(entry[2]) not in chosen]
        rest = decay_groups(others, weight_decay, memory_lr)
        self._parts: list[Optimizer] = []
        if hidden:
            self._parts.append(
                torch.optim.Muon(
                    hidden,
                    lr=lr,
                    momentum=momentum,
                    ns_steps=newton_schulz_steps,
                    weight_decay=weight_decay,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        if rest:
            self._parts.append(torch.optim.AdamW(rest, lr=adamw_lr, betas=(beta1, beta2), eps=eps, fused=True))
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let the parts work on this optimiser's groups and state."""
        start = 0
        for part in self._parts:
            end = start + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[start:end], self.state
            start = end

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict`` gave; PyTorch then makes new lists of groups, which are shared again."""
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of both parts; no closure is taken."""
        for part in self._parts:
            part.step()
