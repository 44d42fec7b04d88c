"""Multi-head attention with grouped keys over all that the context lets a token see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from tinylm.model.context import Context
from tinylm.model.kernel import attend, rotate
from tinylm.model.shape import Shape
from tinylm.model.slots import Attention, Side


class MultiHead(Attention):
    """Multi-head attention; ``shape.kv_heads`` below ``shape.heads`` shares keys and values between heads.

    Vaswani et al. 2017 (arXiv 1706.03762), section 3.2.2; grouped keys: Ainslie et al. 2023 (arXiv 2305.13245).

    Args:
        bias: ``qkv`` (Qwen2) or ``all`` (GPT-2) projections have one; None: none has.
    """

    outputs: tuple[str, ...] = ("o.weight",)
    axes: Mapping[str, str] = {
        "q.weight": "HD",
        "k.weight": "GD",
        "v.weight": "GD",
        "o.weight": "DH",
        "q.bias": "H",
        "k.bias": "G",
        "v.bias": "G",
        "o.bias": "D",
    }

    def __init__(self, shape: Shape, layer: int, bias: Literal["qkv", "all"] | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.q = nn.Linear(shape.width, shape.heads * shape.head_dim, bias=bias is not None)
        self.k = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=bias is not None)
        self.v = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=bias is not None)
        self.o = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=bias == "all")

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        K = self.shape.head_dim
        q_BHTK = rotate(self.q(x_BTD).unflatten(-1, (-1, K)).transpose(1, 2), context.rotation_BTK)
        k_BGTK = rotate(self.k(x_BTD).unflatten(-1, (-1, K)).transpose(1, 2), context.rotation_BTK)
        v_BGTK = self.v(x_BTD).unflatten(-1, (-1, K)).transpose(1, 2)
        k_BGSK, v_BGSK = context.recall(self, k_BGTK, v_BGTK)
        y_BHTK = attend(q_BHTK, k_BGSK, v_BGSK, context.mask_B1TS, context.bias_1HTS, context.causal)
        return self.o(y_BHTK.transpose(1, 2).flatten(2)), Side()

    def flops_per_token(self, T: int) -> float:
        shape = self.shape
        projections = 4 * shape.width * shape.head_dim * (shape.heads + shape.kv_heads)
        return float(projections + 4 * T * shape.heads * shape.head_dim)
