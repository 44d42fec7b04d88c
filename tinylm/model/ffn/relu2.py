"""Two matrices with a squared rectifier between them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tinylm.model.context import Context
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Side


class ReLU2(FFN):
    """``down(relu(up(x)) ** 2)``, without biases. So et al. 2021 (Primer, arXiv 2109.08668), section 4.

    The hidden size is ``shape.hidden``.
    """

    outputs: tuple[str, ...] = ("down.weight",)
    axes: Mapping[str, str] = {"up.weight": "FD", "down.weight": "DF"}

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        return self.down(self.up(x_BTD).relu().square()), Side()

    @property
    def activation(self) -> str:
        return "relu2"

    def flops_per_token(self) -> float:
        return 2.0 * (self.up.weight.numel() + self.down.weight.numel())
