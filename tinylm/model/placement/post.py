"""Norms after the sub-layers, on the stream itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from tinylm.model.slots import Norm, Placement


class Post(Placement):
    """``norm(x + f(x))``. Vaswani et al. 2017 (arXiv 1706.03762), section 3.1.

    The last block ends in a norm, so the model has no other at its end.
    """

    last: ClassVar[bool] = False

    def join(self, x_BTD: Tensor, sublayer: Callable[[Tensor], Tensor], norms: Sequence[Norm]) -> Tensor:
        (norm,) = norms
        return norm(x_BTD + sublayer(x_BTD))
