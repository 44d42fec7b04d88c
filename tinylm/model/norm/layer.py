"""Layer normalisation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.model.shape import Shape
from tinylm.model.slots import Norm, Role


class Layer(Norm):
    """``(x - mean) / sqrt(variance + epsilon) * weight + bias``, in fp32. Ba et al. 2016 (arXiv 1607.06450), eq. 4.

    Args:
        epsilon: added to the variance, so that a constant row stays finite.
    """

    axes: Mapping[str, str] = {"weight": "D", "bias": "D"}

    def __init__(self, shape: Shape, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.empty(shape.width))
        self.bias = nn.Parameter(torch.empty(shape.width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return functional.layer_norm(x_BTD.float(), self.weight.shape, self.weight, self.bias, self.epsilon)

    def roles(self) -> Mapping[str, Role]:
        return {"weight": "norm", "bias": "bias"}

    def starts(self) -> Mapping[str, float]:
        return {"weight": 1.0, "bias": 0.0}
