"""Attention with linear biases: the further a key, the lower its score."""

from __future__ import annotations

import torch
from torch import Tensor

from tinylm.model.shape import Shape
from tinylm.model.slots import Position


class ALiBi(Position):
    """Scores fall by ``slope x distance``, the slope of head h (from 1) of H being 2 ** (-``steepness`` h / H).

    Press et al. 2021 (arXiv 2108.12409), section 3. The series is used for every H, powers of two or not.

    Args:
        steepness: exponent of the flattest head's slope; 8 in the paper.
    """

    def __init__(self, shape: Shape, steepness: float = 8.0) -> None:
        super().__init__()
        self.heads = shape.heads
        self.steepness = steepness

    def embed(self, x_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        return x_BTD

    def rotation(self, positions_BT: Tensor) -> tuple[Tensor, Tensor] | None:
        return None

    def bias(self, positions_BT: Tensor, before: int = 0) -> Tensor | None:
        # Places in the row serve as positions: within a document, which is all a token sees, they differ alike.
        S = before + positions_BT.shape[-1]
        row_S = torch.arange(S, device=positions_BT.device, dtype=torch.float32)
        head_H = torch.arange(1, self.heads + 1, device=positions_BT.device, dtype=torch.float32)
        slope_H11 = torch.exp2(-self.steepness * head_H / self.heads)[:, None, None]
        return (slope_H11 * -(row_S[before:, None] - row_S[None, :]).abs())[None]
