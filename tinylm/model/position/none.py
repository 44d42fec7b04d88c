"""No position at all: order is known through causality alone."""

from __future__ import annotations

from torch import Tensor

from tinylm.model.shape import Shape
from tinylm.model.slots import Position


class NoPosition(Position):
    """Nothing is added, turned or biased. Haviv et al. 2022 (arXiv 2203.16634); Kazemnejad et al. 2023 (2305.19466)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def embed(self, x_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        return x_BTD

    def rotation(self, positions_BT: Tensor) -> tuple[Tensor, Tensor] | None:
        return None

    def bias(self, positions_BT: Tensor, before: int = 0) -> Tensor | None:
        return None
