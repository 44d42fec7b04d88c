"""Experts behind a router that is never trained: fixed centroids, balanced while training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.experts import Experts, Unit
from tinylm.model.routing import health, matched, routed
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Counts, Draw, Side


class FrozenCentroid(FFN):
    """``E_e(x)`` with e by the products of x with E orthogonal centroids that get no gradient: a frozen random
    projection. Zhang et al. 2021 (CPM-2, arXiv 2106.10715), third stage, as its public code has it (read there).

    In training every expert gets as many of a forward's tokens as any other (or one more), as in BASE layers (Lewis et
    al. 2021, arXiv 2103.16716); how they are matched is ours, see `tinylm.model.routing.matched`. That looks at later
    tokens too, and is not causal. In evaluation a token goes to its nearest centroid, which loads experts unevenly: a
    mismatch to measure.

    Args:
        experts: E.
        unit: of an expert; ``swiglu`` is gated.
        hidden: hidden size of an expert; None: ``shape.hidden``.
        gain: length of the centroids, which changes nothing but their numbers.

    Raises:
        UserError: fewer than one expert, or more than the width has orthogonal directions.
    """

    causal_train = False
    sender = "nearest centroid"
    pools = True
    fixed = ("centroids",)

    def __init__(
        self,
        shape: Shape,
        layer: int,
        experts: int = 8,
        unit: Unit = "swiglu",
        hidden: int | None = None,
        gain: float = 0.1,
    ) -> None:
        super().__init__()
        if not 1 <= experts <= shape.width:
            raise UserError(
                f"model.ffn.experts is {experts}; give 1 to {shape.width}, the directions that the width has"
            )
        self.gain = gain
        self.outputs = ("experts.down",)
        self.centroids = nn.Parameter(torch.empty(experts, shape.width), requires_grad=False)
        self.experts = Experts(experts, shape.width, shape.hidden if hidden is None else hidden, unit)
        self.axes = {"centroids": "ED", **self.experts.named("experts", hidden is not None)}

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        x_ND = x_BTD.flatten(0, 1)
        with torch.no_grad(), torch.autocast(x_BTD.device.type, enabled=False):
            affinity_NE = x_ND.float() @ self.centroids.T
            expert_N = matched(affinity_NE) if self.training else affinity_NE.argmax(-1)
        y_ND, load_E = routed(x_ND, expert_N[:, None], None, self.experts.count, self.experts)
        return y_ND.view_as(x_BTD), Side({}, health(load_E))

    @property
    def activation(self) -> str:
        return self.experts.unit

    def flops_per_token(self) -> float:
        return 2.0 * (self.experts.size() + self.centroids.numel())

    def flops_without_gradient(self) -> float:
        return 2.0 * self.centroids.numel()

    def inactive_parameters(self) -> int:
        return (self.experts.count - 1) * self.experts.size()

    def draws(self) -> Mapping[str, Draw]:
        return {**super().draws(), "centroids": self._draw}

    def _draw(self, centroids_ED: Tensor, generator: torch.Generator, counts: Counts) -> None:
        nn.init.orthogonal_(centroids_ED, gain=self.gain, generator=generator)
