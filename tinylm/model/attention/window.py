"""Multi-head attention over the last tokens only."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.kernel import attend, rotate
from tinylm.model.shape import Shape
from tinylm.model.slots import Attention, Side


class Window(Attention):
    """Sliding-window attention with grouped keys: a token sees itself and the ``window`` - 1 before it.

    Beltagy et al. 2020 (arXiv 2004.05150), section 3.1; Jiang et al. 2023 (arXiv 2310.06825), section 2. The products
    are made over all T and masked, so the FLOPs are those of full attention.

    Args:
        window: tokens seen, the token itself included; T or more is full attention.
    """

    outputs: tuple[str, ...] = ("o.weight",)
    axes: Mapping[str, str] = {"q.weight": "HD", "k.weight": "GD", "v.weight": "GD", "o.weight": "DH"}

    def __init__(self, shape: Shape, layer: int, window: int = 128) -> None:
        super().__init__()
        if window < 1:
            raise UserError(f"model.attention.window is {window}; a token sees at least itself: give 1 or more tokens")
        self.shape = shape
        self.window = window
        self.q = nn.Linear(shape.width, shape.heads * shape.head_dim, bias=False)
        self.k = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=False)
        self.v = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=False)
        self.o = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=False)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        K = self.shape.head_dim
        q_BHTK = rotate(self.q(x_BTD).unflatten(-1, (-1, K)).transpose(1, 2), context.rotation_BTK)
        k_BGTK = rotate(self.k(x_BTD).unflatten(-1, (-1, K)).transpose(1, 2), context.rotation_BTK)
        v_BGTK = self.v(x_BTD).unflatten(-1, (-1, K)).transpose(1, 2)
        k_BGSK, v_BGSK = context.recall(self, k_BGTK, v_BGTK, keep=self.window - 1)
        y_BHTK = attend(q_BHTK, k_BGSK, v_BGSK, context.within(self.window), context.bias_1HTS, context.causal)
        return self.o(y_BHTK.transpose(1, 2).flatten(2)), Side()

    def flops_per_token(self, T: int) -> float:
        shape = self.shape
        projections = 4 * shape.width * shape.head_dim * (shape.heads + shape.kv_heads)
        return float(projections + 4 * T * shape.heads * shape.head_dim)
