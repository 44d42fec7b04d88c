"""The decoder language model, put together from slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast, overload

from torch import Tensor, nn
from torch.nn import functional

from tinylm.batch import Batch
from tinylm.model.block import Block
from tinylm.model.cache import Cache
from tinylm.model.context import Context
from tinylm.model.kept import kept
from tinylm.model.placement.pre import Pre
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Attention, Draw, Norm, Placement, Position, Role, Shortcut, Side, Slot

Read = TypeVar("Read")


@dataclass(frozen=True)
class Output(Generic[Read]):
    """What a forward gives.

    Fields:
        hidden_BTD: the stream at the end, normalised; ``model.head`` makes logits of it.
        side: losses and statistics of the layers, by layer name.
        read: what the ``read`` function returned, None without one.
    """

    hidden_BTD: Tensor
    side: Side
    read: Read


class LanguageModel(nn.Module):
    """Token table, blocks, last norm (where the placement has one) and head; what they hold is up to the factories.

    Parameters are left as they were allocated: an initialiser fills them, so a model is best made under
    ``tinylm.model.meta.meta``.

    Args:
        shape: sizes.
        attention, ffn: called as ``(shape, layer)``, once a block.
        norm: called as ``(shape)``.
        position: called as ``(shape)``, once.
        placement: called as ``(shape)``, once; None: norms before the sub-layers.
        shortcut: called as ``(shape, layer)``, once a block; None: attention has none beside it.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        attention: Callable[[Shape, int], Attention],
        ffn: Callable[[Shape, int], FFN],
        norm: Callable[[Shape], Norm],
        position: Callable[[Shape], Position],
        placement: Callable[[Shape], Placement] | None = None,
        shortcut: Callable[[Shape, int], Shortcut] | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.placement = Pre(shape) if placement is None else placement(shape)
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.position = position(shape)
        self.blocks = nn.ModuleList(
            Block(
                shape,
                layer,
                attention=attention,
                ffn=ffn,
                norm=norm,
                placement=self.placement,
                shortcut=shortcut,
            )
            for layer in range(shape.depth)
        )
        self.norm = norm(shape) if self.placement.last else None
        self.unembedding = None if shape.tied else nn.Linear(shape.width, shape.vocab, bias=False)

    @overload
    def forward(self, batch: Batch, *, cache: Cache | None = None) -> Output[None]: ...

    @overload
    def forward(
        self, batch: Batch, read: Callable[[Callable[[Tensor], Tensor], Tensor], Read], cache: Cache | None = None
    ) -> Output[Read]: ...

    def forward(
        self,
        batch: Batch,
        read: Callable[[Callable[[Tensor], Tensor], Tensor], Read] | None = None,
        cache: Cache | None = None,
    ) -> Output[Read] | Output[None]:
        """Read a batch.

        Args:
            read: called as ``read(head, hidden_BTD)`` inside the forward, where sharded weights are gathered; what it
                returns comes back as ``Output.read``. Losses are computed here.
            cache: of the rows that the batch goes on with; it holds the batch afterwards. Models whose ``causal`` is
                False read otherwise with it than without.
        """
        context = Context.of(batch, cache=cache)
        rotation_BTK = self.position.rotation(context.positions_BT)
        bias_1HTS = self.position.bias(context.positions_BT, context.before)
        context = replace(
            context,
            rotation_BTK=None if rotation_BTK is None else (kept(rotation_BTK[0]), kept(rotation_BTK[1])),
            bias_1HTS=None if bias_1HTS is None else kept(bias_1HTS),
        )
        side = Side()
        x_BTD = self.position.embed(self.embedding(batch.ids_BT), context.positions_BT)
        for layer, block in enumerate(self.layers()):
            x_BTD, said = block(x_BTD, context)
            side.add(f"blocks.{layer}", said)
        if cache is not None:
            cache.advance(batch)
        hidden_BTD = x_BTD if self.norm is None else self.norm(x_BTD)
        if read is None:
            return Output(hidden_BTD, side, None)
        return Output(hidden_BTD, side, read(self.head, hidden_BTD))

    def head(self, hidden_BTD: Tensor) -> Tensor:
        """Logits (B, T, V) of hidden states, in the precision of the matrix products; any leading axes will do."""
        table_VD = self.embedding.weight if self.unembedding is None else self.unembedding.weight
        return functional.linear(hidden_BTD, table_VD)

    def layers(self) -> list[Block]:
        """The blocks, in the order of the forward."""
        return [cast(Block, block) for block in self.blocks]

    def slots(self) -> Iterator[tuple[str, Slot]]:
        """Every part made by a factory, by its module name, in the order of the forward."""
        yield "position", self.position
        for layer, block in enumerate(self.layers()):
            yield from ((f"blocks.{layer}.{name}", slot) for name, slot in block.slots())
        if self.norm is not None:
            yield "norm", self.norm

    def roles(self) -> dict[str, Role]:
        """Parameter name -> what it is; a tied head is the one parameter of role ``embedding``."""
        roles: dict[str, Role] = {"embedding.weight": "embedding"}
        for path, slot in self.slots():
            roles.update({f"{path}.{name}": role for name, role in slot.roles().items()})
        if self.unembedding is not None:
            roles["unembedding.weight"] = "head"
        return roles

    def starts(self) -> dict[str, float]:
        """Parameter name -> the constant that it starts from; the others are drawn."""
        return {f"{path}.{name}": value for path, slot in self.slots() for name, value in slot.starts().items()}

    def draws(self) -> dict[str, Draw]:
        """Parameter name -> how it is drawn, of those that an initialiser's spread will not do for."""
        return {f"{path}.{name}": draw for path, slot in self.slots() for name, draw in slot.draws().items()}

    def gains(self) -> dict[str, float]:
        """Parameter name -> factor on the spread that it is drawn with, as the placement wants; the others have 1."""
        gain = self.placement.gain()
        if gain == 1:
            return {}
        names = []
        for layer, block in enumerate(self.layers()):
            names += [
                f"blocks.{layer}.attention.{name}" for name in (*block.attention.values, *block.attention.outputs)
            ]
            drawn = [name for name, role in block.ffn.roles().items() if role in ("matrix", "expert")]
            names += [f"blocks.{layer}.ffn.{name}" for name in drawn]
        return dict.fromkeys(names, gain)

    def outputs(self) -> list[str]:
        """Names of the matrices whose product is added to the residual stream."""
        return [f"{path}.{name}" for path, slot in self.slots() for name in slot.outputs]

    def axes(self) -> dict[str, str]:
        """Parameter name -> a letter for each axis, as ``Slot.axes`` says; what no slot declares is left out."""
        axes = {"embedding.weight": "VD", "unembedding.weight": "VD"}
        for path, slot in self.slots():
            axes.update({f"{path}.{name}": letters for name, letters in slot.axes.items()})
        return {name: axes[name] for name, _ in self.named_parameters() if name in axes}

    def sites(self) -> dict[str, nn.Module]:
        """Stable name, which is its path -> module that others may wrap: ``blocks.0.attention.q``, ``norm``, ..."""
        sites: dict[str, nn.Module] = {"embedding": self.embedding}
        for path, slot in self.slots():
            sites.update({f"{path}.{name}" if name else path: site for name, site in slot.sites().items()})
        if self.unembedding is not None:
            sites["unembedding"] = self.unembedding
        return sites

    @property
    def by_domain(self) -> bool:
        """Whether a layer routes by the domain of a text, so that every batch has to say it."""
        return any(block.ffn.by_domain for block in self.layers())

    @property
    def causal(self) -> bool:
        """Whether no layer lets a token see later ones, as the layers declare for training or evaluation."""
        repeated = [(block.attention, block.ffn, block.shortcut) for block in self.layers()]
        parts = [part for block in repeated for part in block if part is not None]
        return all(part.causal_train if self.training else part.causal_eval for part in parts)
