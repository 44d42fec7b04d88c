"""A mixture of experts in which each expert chooses its tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.experts import Experts, Unit
from tinylm.model.routing import health, routed
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Side


class ExpertChoice(FFN):
    """``sum over the experts e that chose x of S_e E_e(x)``, S = softmax(router(x)). Zhou et al. 2022
    (arXiv 2202.09368), section 3.2: each expert takes the N x ``capacity`` / E tokens that rate it highest, so that the
    load is even by construction, and a token has as many experts as have chosen it, none at times.

    It looks at all tokens of a forward, later ones too, and so is not causal in training. In evaluation a token goes to
    the ``capacity`` experts that it rates highest (our construction): causal, and not what was trained.

    Args:
        experts: E.
        capacity: experts of a token, on average in training, exactly in evaluation.
        unit: of an expert; ``swiglu`` is gated.
        hidden: hidden size of an expert; None: ``shape.hidden``.

    Raises:
        UserError: a capacity of no expert, or of more than there are.
    """

    causal_train = False
    pools = True

    def __init__(
        self,
        shape: Shape,
        layer: int,
        experts: int = 8,
        capacity: int = 2,
        unit: Unit = "swiglu",
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= capacity <= experts:
            raise UserError(f"model.ffn.capacity is {capacity}; a token has 1 or more of the {experts} experts")
        self.capacity = capacity
        self.outputs = ("experts.down",)
        self.router = nn.Linear(shape.width, experts, bias=False)
        self.experts = Experts(experts, shape.width, shape.hidden if hidden is None else hidden, unit)
        self.axes = {"router.weight": "ED", **self.experts.named("experts", hidden is not None)}

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        x_ND = x_BTD.flatten(0, 1)
        with torch.autocast(x_BTD.device.type, enabled=False):
            score_NE = functional.linear(x_ND.float(), self.router.weight).softmax(-1)
        y_ND, load_E = self._chosen(x_ND, score_NE) if self.training else self._choosing(x_ND, score_NE)
        return y_ND.view_as(x_BTD), Side({}, health(load_E, score_NE.amax(-1).mean()))

    @property
    def activation(self) -> str:
        return self.experts.unit

    def flops_per_token(self) -> float:
        return 2.0 * (self.capacity * self.experts.size() + self.router.weight.numel())

    def least_tokens(self) -> float:
        return self.experts.count / self.capacity

    def inactive_parameters(self) -> int:
        return (self.experts.count - self.capacity) * self.experts.size()

    def _chosen(self, x_ND: Tensor, score_NE: Tensor) -> tuple[Tensor, Tensor]:
        """Each expert's tokens. The rows of an expert are its choice, so they are sorted as they come."""
        E = self.experts.count
        size = max(1, len(x_ND) * self.capacity // E)
        weight_EM, token_EM = score_NE.T.topk(size, dim=-1)
        ends_E = torch.arange(1, E + 1, device=x_ND.device, dtype=torch.int32) * size
        made_MD = self.experts(x_ND[token_EM.flatten()], ends_E)
        made_MD = made_MD * weight_EM.flatten()[:, None].to(made_MD.dtype)
        y_ND = made_MD.new_zeros(x_ND.shape).index_add(0, token_EM.flatten(), made_MD)
        return y_ND, torch.full((E,), size, device=x_ND.device)

    def _choosing(self, x_ND: Tensor, score_NE: Tensor) -> tuple[Tensor, Tensor]:
        weight_Nk, expert_Nk = score_NE.topk(self.capacity, dim=-1)
        return routed(x_ND, expert_Nk, weight_Nk, self.experts.count, self.experts)
