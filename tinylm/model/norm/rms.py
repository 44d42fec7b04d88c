"""Root-mean-square normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.model.shape import Shape
from tinylm.model.slots import Norm, Role


class RMS(Norm):
    """``x / sqrt(mean(x^2) + epsilon) * weight``, in fp32. Zhang and Sennrich 2019 (arXiv 1910.07467), eq. 4.

    Args:
        epsilon: added to the mean square, so that a row of zeros stays finite.
    """

    by_mean_square: ClassVar[bool] = True
    axes: Mapping[str, str] = {"weight": "D"}

    def __init__(self, shape: Shape, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.empty(shape.width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return functional.rms_norm(x_BTD.float(), self.weight.shape, self.weight, self.epsilon)

    def roles(self) -> Mapping[str, Role]:
        return {"weight": "norm"}

    def starts(self) -> Mapping[str, float]:
        return {"weight": 1.0}
