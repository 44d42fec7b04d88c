"""A projection whose input is normalised."""

from __future__ import annotations

from torch import Tensor, nn

from tinylm.model.slots import Norm


class NormedLinear(nn.Linear):
    """``linear(norm(x))`` in the place of a linear layer: its weight keeps its name, the norm stands below it.

    Args:
        linear: the layer that it takes the place of; the weight is shared, not copied.
        norm: of the layer's input.
    """

    def __init__(self, linear: nn.Linear, norm: Norm) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(x))
