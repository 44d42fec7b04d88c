"""A gated linear unit: three matrices, one of which opens and shuts the hidden units."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from tinylm.model.context import Context
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Side


class SwiGLU(FFN):
    """``down(silu(gate(x)) * up(x))``, without biases. Shazeer 2020 (arXiv 2002.05202), eq. 6.

    The hidden size is ``shape.hidden``.
    """

    outputs: tuple[str, ...] = ("down.weight",)
    axes: Mapping[str, str] = {"gate.weight": "FD", "up.weight": "FD", "down.weight": "DF"}

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        return self.down(functional.silu(self.gate(x_BTD)) * self.up(x_BTD)), Side()

    @property
    def activation(self) -> str:
        return "swiglu"

    def flops_per_token(self) -> float:
        return 2.0 * (self.gate.weight.numel() + self.up.weight.numel() + self.down.weight.numel())
