"""Experts behind a router that is never trained: fixed centroids, balanced while training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.experts import Experts, Unit
from tinylm.model.routing import health, routed
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Counts, Draw, Side


class FrozenCentroid(FFN):
    """``E_e(x)`` with e by the products of x with E orthogonal centroids that get no gradient: a frozen random
    projection. Zhang et al. 2021 (CPM-2, arXiv 2106.10715), third stage, as its public code has it (read there).

    In training every expert gets as many of a forward's tokens as any other (or one more), as in BASE layers (Lewis et
    al. 2021, arXiv 2103.16716); how they are matched is ours, see `matched`. That looks at later tokens too, and is not
    causal. In evaluation a token goes to its nearest centroid, which loads experts unevenly: a mismatch to measure.

    Args:
        experts: E.
        unit: of an expert; ``swiglu`` is gated.
        hidden: hidden size of an expert; None: ``shape.hidden``.
        gain: length of the centroids, which changes nothing but their numbers.

    Raises:
        UserError: fewer than one expert, or more than the width has orthogonal directions.
    """

    causal_train = False
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
        self.experts = Experts(experts, shape.width, hidden or shape.hidden, unit)
        self.axes = {"centroids": "ED", **self.experts.named("experts", hidden is not None)}

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        x_ND = x_BTD.flatten(0, 1)
        with torch.no_grad(), torch.autocast(x_BTD.device.type, enabled=False):
            affinity_NE = x_ND.float() @ self.centroids.T
            expert_N = matched(affinity_NE) if self.training else affinity_NE.argmax(-1)
        y_ND, load_E = routed(x_ND, expert_N[:, None], None, self.experts.count, self.experts)
        return y_ND.view_as(x_BTD), Side({}, health(load_E))

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


def matched(affinity_NE: Tensor) -> Tensor:
    """An expert for each of N tokens, (N,): each gets N / E of them, rounded either way.

    In rounds, every token still without an expert asks the one it likes best of those with room; an expert takes those
    who like it most. Each round fills an expert or places all that are left, so E rounds do. It is no optimal
    assignment, as an auction would find (our construction).
    """
    N, E = affinity_NE.shape
    device = affinity_NE.device
    every_N, every_E = torch.arange(N, device=device), torch.arange(E, device=device)
    room_E = N // E + (every_E < N % E).long()
    expert_N = torch.full((N,), -1, device=device)
    for _ in range(E):
        best_N, wish_N = affinity_NE.masked_fill(room_E == 0, -torch.inf).max(-1)
        wish_N = torch.where(expert_N < 0, wish_N, E)  # E: asks nobody
        order_N = best_N.argsort(descending=True, stable=True)
        order_N = order_N[wish_N[order_N].argsort(stable=True)]  # by wish, the keenest first
        asked_N = wish_N[order_N]
        begins_N = torch.searchsorted(asked_N, asked_N)
        taken_N = (asked_N < E) & (every_N - begins_N < room_E[asked_N.clamp(max=E - 1)])
        found_N = torch.where(taken_N, asked_N, -1)
        expert_N = torch.maximum(expert_N, torch.empty_like(found_N).scatter_(0, order_N, found_N))
        room_E = room_E - ((found_N[:, None] == every_E).long()).sum(0)
    return expert_N
