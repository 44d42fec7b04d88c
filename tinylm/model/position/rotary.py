"""Rotary position: queries and keys are turned by an angle that grows with the position."""

from __future__ import annotations

import torch
from torch import Tensor

from tinylm.errors import UserError
from tinylm.model.shape import Shape
from tinylm.model.slots import Position


class Rotary(Position):
    """Rotary position embedding. Su et al. 2021 (arXiv 2104.09864), section 3.2.2 and eq. 34.

    Args:
        base: the slowest pair of numbers turns once in about 2 pi x ``base`` tokens.
    """

    def __init__(self, shape: Shape, base: float = 10000.0) -> None:
        super().__init__()
        if shape.head_dim % 2:
            raise UserError(f"shape.head_dim is {shape.head_dim}; rotary position turns pairs: give an even head_dim")
        self.head_dim = shape.head_dim
        self.base = base

    def embed(self, x_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        return x_BTD

    def rotation(self, positions_BT: Tensor) -> tuple[Tensor, Tensor] | None:
        pair_K = torch.arange(0, self.head_dim, 2, device=positions_BT.device, dtype=torch.float32)
        angle_BTK = positions_BT[..., None].float() * self.base ** (-pair_K / self.head_dim)
        return angle_BTK.cos(), angle_BTK.sin()

    def bias(self, positions_BT: Tensor, before: int = 0) -> Tensor | None:
        return None
