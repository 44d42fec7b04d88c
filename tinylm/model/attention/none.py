"""No attention: every token by itself."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tinylm.model.context import Context
from tinylm.model.shape import Shape
from tinylm.model.slots import Attention, Side


class NoAttention(Attention):
    """A token reads itself alone, o(v(x)): nothing is mixed, and a prediction rests on the last token only.

    It is attention over a window of one token, where all weight is on the token itself, without the queries and keys
    that this leaves without effect. Our construction, as the floor that attention is measured from.
    """

    outputs: tuple[str, ...] = ("o.weight",)
    axes: Mapping[str, str] = {"v.weight": "HD", "o.weight": "DH"}

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.shape = shape
        self.v = nn.Linear(shape.width, shape.heads * shape.head_dim, bias=False)
        self.o = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=False)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        return self.o(self.v(x_BTD)), Side()

    def flops_per_token(self, T: int) -> float:
        return float(4 * self.shape.width * self.shape.heads * self.shape.head_dim)
