"""Norms before the sub-layers: the stream itself is never normalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from tinylm.model.slots import Norm, Placement


class Pre(Placement):
    """``x + f(norm(x))``, and a norm at the end of the model. Xiong et al. 2020 (arXiv 2002.04745), figure 1b.

    What a model has that names no placement.
    """

    any_scale: ClassVar[bool] = True

    def join(self, x_BTD: Tensor, sublayer: Callable[[Tensor], Tensor], norms: Sequence[Norm]) -> Tensor:
        (norm,) = norms
        return x_BTD + sublayer(norm(x_BTD))
