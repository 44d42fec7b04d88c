"""Norms after the sub-layers, with a stream that weighs more than what is added to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from tinylm.model.shape import Shape
from tinylm.model.slots import Norm, Placement


class DeepNorm(Placement):
    """``norm(alpha x + f(x))``, and a start smaller by ``beta``. Wang et al. 2022 (arXiv 2203.00555), figure 2.

    ``beta`` scales attention's values and outputs and the matrices of the feed-forward; queries and keys keep theirs.
    The paper scales Xavier's draws; here whatever the initialiser draws is scaled: ``init=fan_in`` comes nearest, and
    ``init.residual=plain`` keeps ``init=scratch`` from shrinking the outputs a second time. The last block ends in a
    norm, so the model has no other at its end.

    Args:
        alpha: weight of the stream; None: (2 depth)^(1/4), the paper's for a decoder alone.
        beta: factor on the start; None: (8 depth)^(-1/4), likewise.
    """

    last: ClassVar[bool] = False

    def __init__(self, shape: Shape, alpha: float | None = None, beta: float | None = None) -> None:
        super().__init__(shape)
        self.alpha = (2 * shape.depth) ** 0.25 if alpha is None else alpha
        self.beta = (8 * shape.depth) ** -0.25 if beta is None else beta

    def join(self, x_BTD: Tensor, sublayer: Callable[[Tensor], Tensor], norms: Sequence[Norm]) -> Tensor:
        (norm,) = norms
        return norm(self.alpha * x_BTD + sublayer(x_BTD))

    def gain(self) -> float:
        return self.beta
