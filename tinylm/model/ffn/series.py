"""A gated linear unit whose gate opens by a sum of activations, each with a learned scale and bias."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Side

VECTORS = 32  # of a kind that are declared by name: more terms or places back than are of use


class Series(FFN):
    """``down(sum_i silu(a_i gate(x) + b_i) * up(x))``. Wang et al. 2023 (PanGu-pi, arXiv 2312.17276), eq. 7.

    The series stands on the gate (our reading: the paper has no gated unit), a_i and b_i for each hidden unit. They
    start at a_1 = 1 and 0 else, so that the first forward is exactly SwiGLU's; one term is SwiGLU and learns none.
    Terms that start alike would learn alike for ever and n of them be two: from the second on, term i learns (i - 1)
    a_i and (i - 1) b_i, which are the same functions at a speed of each term's own (our construction). The sum is made
    in fp32. The hidden size is ``shape.hidden``.

    ``kernel`` is our reading of the paper's "varying its inputs over neighbours", which it does not spell out: after
    the sum, each hidden unit adds its values at the places before, weighted by a learned vector a place back, which
    start at 0. It looks back only, and not beyond its document.

    Args:
        terms: n, the activations summed.
        kernel: tokens that a unit sees, itself included; None: itself alone, without a kernel.
    """

    outputs: tuple[str, ...] = ("down.weight",)
    axes: Mapping[str, str] = {
        "gate.weight": "FD",
        "up.weight": "FD",
        "down.weight": "DF",
        **{f"{kind}.{number}": "F" for kind in ("scale", "bias", "back") for number in range(VECTORS)},
    }

    def __init__(self, shape: Shape, layer: int, terms: int = 2, kernel: int | None = None) -> None:
        super().__init__()
        if terms < 1:
            raise UserError(f"model.ffn.terms is {terms}; a series has 1 term or more")
        if kernel is not None and kernel < 2:
            raise UserError(f"model.ffn.kernel is {kernel}; give 2 or more tokens, or null for none")
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

        def vectors(number: int) -> nn.ParameterList:
            return nn.ParameterList(nn.Parameter(torch.empty(shape.hidden)) for _ in range(number))

        self.scale, self.bias = vectors(terms if terms > 1 else 0), vectors(terms if terms > 1 else 0)
        self.back = vectors(0 if kernel is None else kernel - 1)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        opened_BTF = self._neighbours(self._activated(self.gate(x_BTD)), context)
        return self.down(opened_BTF * self.up(x_BTD)), Side()

    @property
    def activation(self) -> str:
        return "series"

    def flops_per_token(self) -> float:
        return 2.0 * (self.gate.weight.numel() + self.up.weight.numel() + self.down.weight.numel())

    def starts(self) -> Mapping[str, float]:
        first = {"scale.0": 1.0} if len(self.scale) else {}
        return {**super().starts(), **first}

    def sites(self) -> Mapping[str, nn.Module]:
        return {"gate": self.gate, "up": self.up, "down": self.down}

    def _activated(self, gate_BTF: Tensor) -> Tensor:
        if not len(self.scale):
            return functional.silu(gate_BTF)
        exact_BTF = gate_BTF.float()
        total_BTF = torch.zeros_like(exact_BTF)
        for place, (scale_F, bias_F) in enumerate(zip(self.scale, self.bias, strict=True)):
            total_BTF = total_BTF + functional.silu((scale_F * exact_BTF + bias_F) / max(1, place))
        return total_BTF.to(gate_BTF.dtype)

    def _neighbours(self, opened_BTF: Tensor, context: Context) -> Tensor:
        if not len(self.back):
            return opened_BTF
        (opened_BSF,) = context.recall(self, opened_BTF, keep=len(self.back))
        S, mixed_BTF = opened_BSF.shape[1], opened_BTF
        for back, weight_F in enumerate(self.back, start=1):
            before_BTF = functional.pad(opened_BSF, (0, 0, back, 0))[:, S - opened_BTF.shape[1] : S]
            within_BT1 = (context.positions_BT >= back)[..., None]  # as far from the document's beginning
            mixed_BTF = mixed_BTF + (weight_F * before_BTF).to(opened_BTF.dtype) * within_BT1
        return mixed_BTF
