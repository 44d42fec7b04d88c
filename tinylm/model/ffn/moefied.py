"""A feed-forward of two matrices in parts, of which a token computes a few."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.experts import Experts
from tinylm.model.routing import health, routed
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Side

Router = Literal["oracle", "trained", "similarity", "random"]


class Moefied(FFN):
    """``sum over the k best parts e of down_e(unit(up_e(x)))``, the parts being disjoint sets of a dense layer's hidden
    units: with all of them it is that layer, exactly. Zhang et al. 2022 (MoEfication, arXiv 2110.01786), section 3.

    What a part is rated by (``init=moefy`` fills it, and it is never trained with the model):

    - ``oracle``: the sum of its activations' sizes, which computes all of ``up`` to save a part of ``down``: a bound;
    - ``similarity``: the cosine of x with the mean of its units' normalised rows;
    - ``trained``: two matrices with a hyperbolic tangent between, fitted to the oracle's ratings;
    - ``random``: a random projection of x: the floor.

    Args:
        experts: E; it divides ``shape.hidden``.
        k: parts that a token computes.
        router: see above.
        unit: of the feed-forward in parts; None: ``relu``, whose units are mostly 0.

    Raises:
        UserError: k above E, or a hidden size that E does not divide.
    """

    sender = "rating of parts"
    pools = True

    def __init__(
        self,
        shape: Shape,
        layer: int,
        experts: int = 8,
        k: int = 2,
        router: Router = "trained",
        unit: Literal["relu", "gelu"] | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= k <= experts:
            raise UserError(f"model.ffn.k is {k}; a token computes 1 or more of the {experts} parts")
        if shape.hidden % experts:
            raise UserError(f"model.ffn.experts={experts} does not divide the {shape.hidden} hidden units")
        self.k, self.router = k, router
        self.outputs = ("experts.down",)
        self.experts = Experts(experts, shape.width, shape.hidden // experts, unit or "relu")
        self.axes = self.experts.named("experts", whole=True)
        names = {"oracle": (), "similarity": ("first",), "random": ("first",), "trained": ("first", "second")}[router]
        self.fixed = tuple(f"{name}.weight" for name in names)
        if router != "oracle":
            self.first = nn.Linear(shape.width, experts, bias=False)
        if router == "trained":
            self.second = nn.Linear(experts, experts, bias=False)
        for name in self.fixed:
            self.get_parameter(name).requires_grad_(False)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        x_ND = x_BTD.flatten(0, 1)
        with torch.no_grad():
            expert_Nk = self.ratings(x_ND).topk(self.k, dim=-1).indices
        y_ND, load_E = routed(x_ND, expert_Nk, None, self.experts.count, self.experts)
        return y_ND.view_as(x_BTD), Side({}, health(load_E))

    def ratings(self, x_ND: Tensor) -> Tensor:
        """How much each part is wanted, (N, E); larger is more."""
        if self.router == "oracle":
            return self.activity(x_ND)
        rated_NE = self.first(x_ND)
        return self.second(rated_NE.tanh()) if self.router == "trained" else rated_NE

    def activity(self, x_ND: Tensor) -> Tensor:
        """The sum of the sizes of each part's activations, (N, E)."""
        up_NM = functional.linear(x_ND, self.experts.fetch(x_ND.dtype)["up"].flatten(0, 1))
        made_NM = functional.gelu(up_NM).abs() if self.experts.unit == "gelu" else up_NM.relu()
        return made_NM.view(len(x_ND), self.experts.count, -1).sum(-1)

    @property
    def activation(self) -> str:
        return self.experts.unit

    def flops_per_token(self) -> float:
        return 2.0 * self.k * self.experts.size() + self.flops_without_gradient()

    def flops_without_gradient(self) -> float:
        if self.router == "oracle":
            return 2.0 * self.experts.up.numel()
        return 2.0 * sum(self.get_parameter(name).numel() for name in self.fixed)

    def inactive_parameters(self) -> int:
        return (self.experts.count - self.k) * self.experts.size()
