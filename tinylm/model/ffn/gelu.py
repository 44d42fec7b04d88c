"""Two matrices with a Gaussian error linear unit between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from tinylm.model.context import Context
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Side


class GELU(FFN):
    """``down(gelu(up(x)))``. Hendrycks and Gimpel 2016 (arXiv 1606.08415), section 2.

    The hidden size is ``shape.hidden``.

    Args:
        bias: whether both matrices have one (GPT-2); None: neither.
        unit: ``tanh``, the approximation of GPT-2 (``gelu_new``); None: the exact one.
    """

    outputs: tuple[str, ...] = ("down.weight",)
    axes: Mapping[str, str] = {"up.weight": "FD", "down.weight": "DF", "up.bias": "F", "down.bias": "D"}

    def __init__(self, shape: Shape, layer: int, bias: bool | None = None, unit: Literal["tanh"] | None = None) -> None:
        super().__init__()
        self.unit = unit or "none"
        self.up = nn.Linear(shape.width, shape.hidden, bias=bool(bias))
        self.down = nn.Linear(shape.hidden, shape.width, bias=bool(bias))

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        return self.down(functional.gelu(self.up(x_BTD), approximate=self.unit)), Side()

    @property
    def activation(self) -> str:
        return "gelu" if self.unit == "none" else f"gelu ({self.unit})"

    def flops_per_token(self) -> float:
        return 2.0 * (self.up.weight.numel() + self.down.weight.numel())
