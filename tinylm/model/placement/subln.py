"""Norms before the sub-layers, and inside them before their last projection."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from tinylm.errors import UserError
from tinylm.model.normed_linear import NormedLinear
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Attention, Norm, Placement


class SubLN(Placement):
    """``x + f(norm(x))`` where f normalises again before its output projection; a norm at the end of the model.

    Wang et al. 2022 (Magneto, arXiv 2210.06423). Attention's values and outputs and the matrices of the feed-forward
    start larger by sqrt(log(2 depth)), the paper's for a decoder alone. The paper scales Xavier's draws; here whatever
    the initialiser draws is scaled: ``init=fan_in`` comes nearest. With a gated feed-forward the inner norm reads the
    product of gate and up (our reading: the paper has two matrices).

    Args:
        start: factor on the start; None: sqrt(log(2 depth)).
    """

    def __init__(self, shape: Shape, start: float | None = None) -> None:
        super().__init__(shape)
        self.start = math.sqrt(math.log(2 * shape.depth)) if start is None else start

    def join(self, x_BTD: Tensor, sublayer: Callable[[Tensor], Tensor], norms: Sequence[Norm]) -> Tensor:
        (norm,) = norms
        return x_BTD + sublayer(norm(x_BTD))

    def fit(self, slot: Attention | FFN, norm: Callable[[int], Norm]) -> None:
        for output in slot.outputs:
            site = output.removesuffix(".weight")
            linear = slot.get_submodule(site) if site != output else None
            if not isinstance(linear, nn.Linear):
                raise UserError(
                    f"model/placement=subln normalises the input of {type(slot).__name__}'s {output}, which is no "
                    "linear layer; take another model/placement"
                )
            setattr(slot, site, NormedLinear(linear, norm(linear.in_features)))

    def gain(self) -> float:
        return self.start
