"""One decoder block: attention, then feed-forward, each on a normalised input and added to the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from tinylm.model.context import Context
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Attention, Norm, Side, Slot


class Block(nn.Module):
    """Pre-norm block: ``x + attention(norm(x))``, then ``x + ffn(norm(x))``. Xiong et al. 2020 (arXiv 2002.04745).

    Args:
        shape: sizes.
        layer: the block's number, from 0.
        attention, ffn: called as ``(shape, layer)``.
        norm: called as ``(shape)``, once for each of the two layers.
    """

    def __init__(
        self,
        shape: Shape,
        layer: int,
        *,
        attention: Callable[[Shape, int], Attention],
        ffn: Callable[[Shape, int], FFN],
        norm: Callable[[Shape], Norm],
    ) -> None:
        super().__init__()
        self.attention_norm = norm(shape)
        self.attention = attention(shape, layer)
        self.ffn_norm = norm(shape)
        self.ffn = ffn(shape, layer)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        """The stream after the block, and what its layers said."""
        side = Side()
        y_BTD, said = self.attention(self.attention_norm(x_BTD), context)
        side.add("attention", said)
        x_BTD = x_BTD + y_BTD
        y_BTD, said = self.ffn(self.ffn_norm(x_BTD), context)
        side.add("ffn", said)
        return x_BTD + y_BTD, side

    def slots(self) -> Iterator[tuple[str, Slot]]:
        """The block's parts by name, in the order of the forward."""
        yield "attention_norm", self.attention_norm
        yield "attention", self.attention
        yield "ffn_norm", self.ffn_norm
        yield "ffn", self.ffn
