"""One decoder block: attention, then feed-forward, each joined to the stream as the placement says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import cast

from torch import Tensor, nn

from tinylm.model.context import Context
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Attention, Norm, Placement, Shortcut, Side, Slot


class Block(nn.Module):
    """Two sub-layers: attention with the shortcut beside it, then the feed-forward.

    Args:
        shape: sizes.
        layer: the block's number, from 0.
        attention, ffn, shortcut: called as ``(shape, layer)``; a block may do without a shortcut.
        norm: called as ``(shape)``, once for each norm that the placement names, in each sub-layer.
        placement: how a sub-layer joins the stream.
    """

    def __init__(
        self,
        shape: Shape,
        layer: int,
        *,
        attention: Callable[[Shape, int], Attention],
        ffn: Callable[[Shape, int], FFN],
        norm: Callable[[Shape], Norm],
        placement: Placement,
        shortcut: Callable[[Shape, int], Shortcut] | None = None,
    ) -> None:
        super().__init__()
        self.placement = placement
        self._add_norms("attention", partial(norm, shape))
        self.attention = attention(shape, layer)
        self.shortcut = None if shortcut is None else shortcut(shape, layer)
        self._add_norms("ffn", partial(norm, shape))
        self.ffn = ffn(shape, layer)
        for slot in (self.attention, self.ffn):
            placement.fit(slot, lambda width: norm(replace(shape, width=width)))

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        """The stream after the block, and what its layers said."""
        side = Side()
        attend = partial(self._attend, context=context, side=side)
        x_BTD = self.placement.join(x_BTD, attend, self.norms("attention"))
        feed = partial(self._feed, context=context, side=side)
        return self.placement.join(x_BTD, feed, self.norms("ffn")), side

    def norms(self, sublayer: str) -> list[Norm]:
        """The norms of ``attention`` or ``ffn``, in the order in which the placement names them."""
        return [cast(Norm, self.get_submodule(f"{sublayer}_{name}")) for name in self.placement.norms]

    def slots(self) -> Iterator[tuple[str, Slot]]:
        """The block's parts by name, in the order of the forward; a norm after its sub-layer stands before it."""
        for name, part in self.named_children():
            yield name, cast(Slot, part)

    def _attend(self, x_BTD: Tensor, context: Context, side: Side) -> Tensor:
        y_BTD, said = self.attention(x_BTD, context)
        side.add("attention", said)
        if self.shortcut is None:
            return y_BTD
        beside_BTD, said = self.shortcut(x_BTD, context)
        side.add("shortcut", said)
        return y_BTD + beside_BTD

    def _feed(self, x_BTD: Tensor, context: Context, side: Side) -> Tensor:
        y_BTD, said = self.ffn(x_BTD, context)
        side.add("ffn", said)
        return y_BTD

    def _add_norms(self, sublayer: str, norm: Callable[[], Norm]) -> None:
        for name in self.placement.norms:
            self.add_module(f"{sublayer}_{name}", norm())
