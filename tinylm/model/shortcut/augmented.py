"""Augmented shortcuts: learned bottlenecks beside attention and the identity."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.shape import Shape
from tinylm.model.slots import Shortcut, Side


class Augmented(Shortcut):
    """``attention(z) + z + sum_i up_i(gelu(down_i(z)))``. Wang et al. 2023 (PanGu-pi, arXiv 2312.17276), eq. 4 and 5.

    The bottleneck form that the paper uses in language models. ``number`` shortcuts are one whose bottleneck is as
    many times wider, and stand as that one. With norms before the sub-layers z is read after the norm, where attention
    reads it, while the identity is the stream (our reading: the paper writes one Z for both). ``up`` starts at zero:
    until it moves, the model is exactly the one without (our choice).

    Args:
        ratio: width / bottleneck; the bottleneck is rounded, and 1 at least.
        number: of shortcuts beside the identity.
    """

    outputs: tuple[str, ...] = ("up.weight",)
    axes: Mapping[str, str] = {"down.weight": "ND", "up.weight": "DN"}

    def __init__(self, shape: Shape, layer: int, ratio: float = 32.0, number: int = 1) -> None:
        super().__init__()
        if ratio <= 0:
            raise UserError(f"model.shortcut.ratio is {ratio}; width / bottleneck has to be above 0")
        if number < 1:
            raise UserError(f"model.shortcut.number is {number}; give 1 or more, or take model/shortcut=none")
        bottleneck = number * max(1, round(shape.width / ratio))
        self.down = nn.Linear(shape.width, bottleneck, bias=False)
        self.up = nn.Linear(bottleneck, shape.width, bias=False)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        return self.up(functional.gelu(self.down(x_BTD))), Side()

    def flops_per_token(self) -> float:
        return 2.0 * (self.down.weight.numel() + self.up.weight.numel())

    def starts(self) -> Mapping[str, float]:
        return {"up.weight": 0.0}
