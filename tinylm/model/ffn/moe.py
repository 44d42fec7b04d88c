"""A mixture of experts: a learned router sends each token to the k experts that it rates highest."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.experts import Experts, Unit
from tinylm.model.routing import counted, health, room, routed
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Side


class MoE(FFN):
    """``sum over the k best experts e of g_e E_e(x)``, g = softmax(router(x)), brought to the sum 1 where k > 1.

    Du et al. 2021 (GLaM, arXiv 2112.06905), section 4; the router's softmax is made in fp32. The balancing loss is
    that of Lepikhin et al. 2020 (GShard, arXiv 2006.16668), section 2.2: E sum_e m_e c_e, with m_e the mean probability
    of expert e and c_e the share of tokens whose first choice it is; it is 1 where all is balanced, and c_e has no
    gradient. The z-loss is that of Zoph et al. 2022 (ST-MoE, arXiv 2202.08906), eq. 5.

    With a ``capacity`` an expert takes that many times its even share of a forward's tokens, in training alone: what
    finds no room passes by on the residual stream, and since first choices go before second ones a later token may push
    out an earlier one. In evaluation nothing is dropped.

    Args:
        experts: E.
        k: experts of a token.
        unit: of an expert; ``swiglu`` is gated.
        hidden: hidden size of an expert; None: ``shape.hidden``.
        normalise: bring a token's weights to the sum 1; None: where k > 1, for with k = 1 the router would learn
            nothing from the text.
        balance: weight of the balancing loss; None: none.
        z_loss: weight of the router's z-loss; None: none.
        capacity: see above; None: no token is dropped.
        shared: one more expert beside them, which every token passes.

    Raises:
        UserError: k above E, a capacity of nothing.
    """

    pools = True

    def __init__(
        self,
        shape: Shape,
        layer: int,
        experts: int = 8,
        k: int = 2,
        unit: Unit = "swiglu",
        hidden: int | None = None,
        normalise: bool | None = None,
        balance: float | None = 0.01,
        z_loss: float | None = None,
        capacity: float | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= k <= experts:
            raise UserError(f"model.ffn.k is {k}; a token goes to 1 or more of the {experts} experts")
        if capacity is not None and capacity <= 0:
            raise UserError(
                f"model.ffn.capacity={capacity:g} leaves an expert nothing; give more, or null to drop none"
            )
        self.k = k
        self.normalise = k > 1 if normalise is None else normalise
        self.balance, self.z_loss, self.capacity = balance, z_loss, capacity
        self.causal_train = capacity is None
        self.outputs = ("experts.down", "shared.down") if shared else ("experts.down",)
        self.router = nn.Linear(shape.width, experts, bias=False)
        self.experts = Experts(experts, shape.width, shape.hidden if hidden is None else hidden, unit)
        self.shared = Experts(1, shape.width, shape.hidden if hidden is None else hidden, unit) if shared else None
        named = [self.experts.named(path, hidden is not None) for path in ("experts", "shared")]
        self.axes = {"router.weight": "ED", **named[0], **named[1]}

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        x_ND, E = x_BTD.flatten(0, 1), self.experts.count
        with torch.autocast(x_BTD.device.type, enabled=False):
            logits_NE = functional.linear(x_ND.float(), self.router.weight)
            probability_NE = logits_NE.softmax(-1)
        weight_Nk, expert_Nk = probability_NE.topk(self.k, dim=-1)
        confidence = weight_Nk[:, 0].mean()
        if self.normalise:
            weight_Nk = weight_Nk / weight_Nk.sum(-1, keepdim=True)
        dropped = None
        if self.capacity is not None and self.training:
            found_Nk = room(expert_Nk, E, math.ceil(self.capacity * self.k * len(x_ND) / E))
            weight_Nk = weight_Nk * found_Nk
            dropped = 1 - found_Nk.float().mean()
        y_ND, load_E = routed(x_ND, expert_Nk, weight_Nk, E, self.experts)
        if self.shared is not None:
            y_ND = y_ND + self.shared(x_ND, load_E.new_full((1,), len(x_ND), dtype=torch.int32))
        losses = self._losses(logits_NE, probability_NE, expert_Nk[:, 0])
        return y_ND.view_as(x_BTD), Side(losses, health(load_E, confidence, dropped))

    @property
    def activation(self) -> str:
        return self.experts.unit

    def flops_per_token(self) -> float:
        active = self.k * self.experts.size() + (0 if self.shared is None else self.shared.size())
        return 2.0 * (active + self.router.weight.numel())

    def least_tokens(self) -> float:
        return 0.0 if self.capacity is None else self.experts.count / (self.k * self.capacity)

    def inactive_parameters(self) -> int:
        return (self.experts.count - self.k) * self.experts.size()

    def _losses(self, logits_NE: Tensor, probability_NE: Tensor, first_N: Tensor) -> dict[str, Tensor]:
        losses = {}
        if self.balance is not None:
            share_E = counted(first_N, self.experts.count) / len(first_N)
            losses["balance"] = self.balance * self.experts.count * (probability_NE.mean(0) * share_E).sum()
        if self.z_loss is not None:
            losses["z_loss"] = self.z_loss * logits_NE.logsumexp(-1).square().mean()
        return losses
