"""The slots of a decoder block: one abstract class a slot, one concrete class a file in the slot's folder.

A class is abstract or final: variants inherit from the slot's class and from nothing else. A constructor takes
``shape`` and ``layer`` first (handed by the model), then the variant's own options as keywords with defaults:
these are what its YAML may set.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor, nn

from tinylm.model.context import Context

Role = Literal["embedding", "head", "matrix", "expert", "norm", "bias", "adapter"]


@dataclass
class Side:
    """What a layer says beside its output.

    losses: auxiliary losses, already weighted; the objective adds them, and they are kept apart from the
        language-model loss everywhere.
    stats: tensors for the history (detached).
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)


class FFN(nn.Module, ABC):
    """Feed-forward slot: ``forward(x_BTD, context) -> (y_BTD, Side)``; the residual is added by the block."""

    causal_train: ClassVar[bool] = True
    causal_eval: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]: ...

    @abstractmethod
    def flops_per_token(self) -> float:
        """Multiply-adds times two of one token's forward, active experts only."""

    def inactive_parameters(self) -> int:
        """Parameters that one token does not use; 0 for dense variants."""
        return 0


class Attention(nn.Module, ABC):
    """Attention slot: ``forward(x_BTD, context) -> (y_BTD, Side)``. Causality comes from the context."""

    causal_train: ClassVar[bool] = True
    causal_eval: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]: ...

    @abstractmethod
    def flops_per_token(self, T: int) -> float:
        """Forward FLOPs of one token in a sequence of T, the score and value products over all T included."""


class Norm(nn.Module, ABC):
    """Normalisation slot: ``forward(x_BTD) -> y_BTD``."""

    @abstractmethod
    def forward(self, x_BTD: Tensor) -> Tensor: ...


class Position(nn.Module, ABC):
    """Position slot, shared by all layers: it may act on the embedding, on queries and keys, or on the scores."""

    @abstractmethod
    def embed(self, x_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        """Token embeddings with position added (or as they are)."""

    @abstractmethod
    def rotate(self, q_BHTK: Tensor, k_BGTK: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Queries and keys with position in them (or as they are)."""

    @abstractmethod
    def bias(self, context: Context) -> Tensor | None:
        """What is added to the scores before the softmax, broadcastable to (B, H, T, T), or None."""
