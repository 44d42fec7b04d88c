"""Norms before and after the sub-layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from tinylm.model.slots import Norm, Placement


class Sandwich(Placement):
    """``x + exit_norm(f(norm(x)))``, and a norm at the end of the model.

    Ding et al. 2021 (CogView, arXiv 2105.13290). A sub-layer adds rows of unit size however its matrices are drawn, so
    the smaller start of what is added to the stream has no effect here but on the gradients' size.
    """

    norms: ClassVar[tuple[str, ...]] = ("norm", "exit_norm")

    def join(self, x_BTD: Tensor, sublayer: Callable[[Tensor], Tensor], norms: Sequence[Norm]) -> Tensor:
        norm, exit_norm = norms
        return x_BTD + exit_norm(sublayer(norm(x_BTD)))
