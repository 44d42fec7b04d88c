"""The slots of a decoder block: one abstract class a slot, one concrete class a file in the slot's folder.

A class is abstract or final: variants inherit from the slot's class and from nothing else. A constructor takes
``shape`` (and ``layer``, for layers that are repeated) first, handed by the model, then the variant's own options as
keywords with defaults: these are what its YAML may set. Layers hold no buffers: a model is made on the meta device
and every tensor in it is a parameter that an initialiser fills.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from tinylm.model.context import Context
from tinylm.model.shape import Shape

Role = Literal["embedding", "head", "matrix", "expert", "memory", "norm", "bias", "adapter", "fixed"]
Counts = Callable[[], Tensor]  # how often each id occurs in the text of each domain (domains, V); one row without any
Draw = Callable[[Tensor, torch.Generator, Counts], None]  # fills a parameter


@dataclass
class Side:
    """What a layer says beside its output.

    losses: auxiliary losses, already weighted; the objective adds them, and they are kept apart from the
        language-model loss everywhere.
    stats: tensors for the history (detached).
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)

    def add(self, layer: str, side: Side) -> None:
        """Take in what a layer said, each name after the layer's: ``blocks.0.ffn.balance``."""
        self.losses.update({f"{layer}.{name}": value for name, value in side.losses.items()})
        self.stats.update({f"{layer}.{name}": value for name, value in side.stats.items()})


class Slot(nn.Module, ABC):
    """A part of the model that declares its parameters: what each is, and how it starts.

    Attributes:
        outputs: own matrices whose product is added to the residual stream; initialisers may start them smaller.
        axes: own parameter name -> a letter of ``tinylm.dims`` for each of its axes (``{"down.weight": "DF"}``), by
            which a smaller model is cut out of it. H and G stand for heads of K numbers each, one after the other; D,
            F, H, G, T and V are cut, other letters are kept whole. A slot that leaves a parameter out is never cut.
        fixed: own parameters that are drawn and never trained, such as tables: they have no gradient.
    """

    outputs: tuple[str, ...] = ()
    axes: Mapping[str, str] = {}
    fixed: tuple[str, ...] = ()

    def roles(self) -> Mapping[str, Role]:
        """Own parameter name -> role: matrices have two axes, experts three, biases one; others say so themselves.

        A slot within the slot, such as a norm before a projection, speaks for its own.
        """
        by_axes: dict[int, Role] = {1: "bias", 2: "matrix", 3: "expert"}
        inner = {f"{path}.{name}": role for path, slot in self._inner() for name, role in slot.roles().items()}
        own = {name: p for name, p in self.named_parameters() if name not in inner}
        told: dict[str, Role] = {
            name: "fixed" if name in self.fixed else by_axes[parameter.dim()] for name, parameter in own.items()
        }
        return {**told, **inner}

    def starts(self) -> Mapping[str, float]:
        """Own parameter name -> the constant it starts from; the others are drawn. Biases start at 0."""
        inner = {f"{path}.{name}": value for path, slot in self._inner() for name, value in slot.starts().items()}
        return {**{name: 0.0 for name, role in self.roles().items() if role == "bias"}, **inner}

    def draws(self) -> Mapping[str, Draw]:
        """Own parameter name -> how it is drawn, where a normal draw of an initialiser's spread will not do."""
        return {f"{path}.{name}": draw for path, slot in self._inner() for name, draw in slot.draws().items()}

    def sites(self) -> Mapping[str, nn.Module]:
        """Own modules that others may wrap or replace, by their names within the slot: the children."""
        return dict(self.named_children())

    def _inner(self) -> Iterator[tuple[str, Slot]]:
        """Slots within the slot, the deepest first: whoever holds another has the last word."""
        for path, module in reversed(list(self.named_modules())):
            if module is not self and isinstance(module, Slot):
                yield path, module


class FFN(Slot):
    """Feed-forward slot: ``forward(x_BTD, context) -> (y_BTD, Side)``; the residual is added by the block."""

    causal_train: bool = True  # some options let a later token touch an earlier one in training
    causal_eval: bool = True
    k: int = 1  # experts of a token, where there are any
    sender: ClassVar[str] = "router"  # what sends a token to its experts, in a word
    pools: ClassVar[bool] = False  # whether it chooses, counts or normalises over all positions of a forward
    groups: Sequence[int] = ()  # sizes of the sets of experts, each with text of its own; none: all are one set
    by_domain: bool = False  # some read ``context.domain_B``, and nothing can be read without it

    @abstractmethod
    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]: ...

    @property
    def activation(self) -> str | None:
        """Between its matrices, or its experts': of one activation and of the same matrices, two are one function.
        None: what it computes is not told by that."""
        return None

    @abstractmethod
    def flops_per_token(self) -> float:
        """Multiply-adds times two of one token's forward, active experts only."""

    def flops_without_gradient(self) -> float:
        """Those of ``flops_per_token`` that have no backward."""
        return 0.0

    def least_tokens(self) -> float:
        """Tokens of a training forward below which an expert would get less than one, and take one all the same."""
        return 0.0

    def inactive_parameters(self) -> int:
        """Parameters that one token does not use; 0 for dense variants."""
        return 0


class Attention(Slot):
    """Attention slot: ``forward(x_BTD, context) -> (y_BTD, Side)``. Causality comes from the context.

    It attends to the keys and values that ``context.recall`` gives back for those that it makes.

    Attributes:
        values: own matrices that make the values; with ``outputs``, what a token's features pass through.
    """

    values: ClassVar[tuple[str, ...]] = ("v.weight",)
    causal_train: ClassVar[bool] = True
    causal_eval: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]: ...

    @abstractmethod
    def flops_per_token(self, T: int) -> float:
        """Forward FLOPs of one token in a sequence of T, the score and value products over all T included."""


class Shortcut(Slot):
    """Shortcut slot, beside attention: ``forward(x_BTD, context) -> (y_BTD, Side)`` of what attention reads.

    Its output is added to attention's.
    """

    causal_train: ClassVar[bool] = True
    causal_eval: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]: ...

    @abstractmethod
    def flops_per_token(self) -> float:
        """Multiply-adds times two of one token's forward."""


class Norm(Slot):
    """Normalisation slot: ``forward(x_BTD) -> y_BTD``. Its gains have the role ``norm`` and start at 1.

    Attributes:
        by_mean_square: whether it divides by the root of the mean square and does nothing else to a row: then channels
            that are zero can be taken away, and larger gains make up for it.
    """

    by_mean_square: ClassVar[bool] = False

    @abstractmethod
    def forward(self, x_BTD: Tensor) -> Tensor: ...

    def sites(self) -> Mapping[str, nn.Module]:
        """The norm itself, as the site without a name of its own."""
        return {"": self}


class Position(Slot):
    """Position slot, one for all layers: it acts on the embedding, on queries and keys, or on the scores.

    What the layers share is made once a forward and travels in the context.

    Attributes:
        any_length: whether sequences may be longer than ``shape.context``.
    """

    any_length: ClassVar[bool] = True

    @abstractmethod
    def embed(self, x_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        """Token embeddings with position added (or as they are)."""

    @abstractmethod
    def rotation(self, positions_BT: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines (B, T, K / 2) by which every layer turns its queries and keys, or None."""

    @abstractmethod
    def bias(self, positions_BT: Tensor, before: int = 0) -> Tensor | None:
        """What every layer adds to its scores before the softmax, (1, H, T, S), or None.

        Args:
            before: places of the rows that stand before these T: S = ``before`` + T.
        """


class Placement(ABC):
    """Placement slot, one for all layers: where the norms stand, and how a sub-layer joins the stream.

    A sub-layer is attention (with its shortcut) or the feed-forward. The block makes the norms that ``norms`` names
    and holds them as ``attention_<name>`` and ``ffn_<name>``; a placement holds no parameter.

    Attributes:
        norms: names of a sub-layer's norms, each ending in ``norm``.
        last: whether the model ends in a norm of its own. Without it, the last block ends in one.
        any_scale: whether the stream is a plain sum that everybody reads through a norm, so that a factor on all that
            is added to it changes nothing.
    """

    norms: ClassVar[tuple[str, ...]] = ("norm",)
    last: ClassVar[bool] = True
    any_scale: ClassVar[bool] = False

    def __init__(self, shape: Shape) -> None:  # noqa: B027 most have nothing to work out
        """Made once for a model of ``shape``."""

    @abstractmethod
    def join(self, x_BTD: Tensor, sublayer: Callable[[Tensor], Tensor], norms: Sequence[Norm]) -> Tensor:
        """The stream after a sub-layer; ``norms`` come in the order of their names."""

    def fit(self, slot: Attention | FFN, norm: Callable[[int], Norm]) -> None:  # noqa: B027 most change nothing
        """Change attention or a feed-forward before it holds numbers; ``norm`` is called with a width."""

    def gain(self) -> float:
        """Factor on the spread that an initialiser draws the features' path with: attention's values and outputs,
        and the matrices of the feed-forward."""
        return 1.0
