"""Learned positions: a table with one row a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from tinylm.model.shape import Shape
from tinylm.model.slots import Position, Role


class Learned(Position):
    """A learned vector for each of ``shape.context`` places is added to the token's embedding.

    Gehring et al. 2017 (arXiv 1705.03122), section 3.1. A sequence longer than the table is refused.
    """

    any_length: ClassVar[bool] = False
    axes: Mapping[str, str] = {"table.weight": "TD"}

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.table = nn.Embedding(shape.context, shape.width)

    def embed(self, x_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        if positions_BT.shape[-1] > self.table.num_embeddings:
            raise ValueError(
                f"a sequence of {positions_BT.shape[-1]} tokens; learned positions reach {self.table.num_embeddings}"
            )
        return x_BTD + self.table(positions_BT)

    def rotation(self, positions_BT: Tensor) -> tuple[Tensor, Tensor] | None:
        return None

    def bias(self, positions_BT: Tensor, before: int = 0) -> Tensor | None:
        return None

    def roles(self) -> Mapping[str, Role]:
        return {"table.weight": "embedding"}
