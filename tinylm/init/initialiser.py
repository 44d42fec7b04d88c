"""Initialisers, and the chain of them that fills every parameter of a model exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tinylm.batch import Batch
from tinylm.data.tokens import Tokenizer, Trainer
from tinylm.errors import UserError
from tinylm.model.lm import LanguageModel
from tinylm.model.slots import Counts
from tinylm.streams import Streams

UNFILLED = torch.iinfo(torch.int64).min  # in tables of integers, which have no NaN


@dataclass(frozen=True)
class Provenance:
    """What an initialiser filled.

    Fields:
        initialiser: its name.
        filled: parameter name -> what it was filled from, in few kinds: ``summary`` counts them.
        details: how it chose, and of what each tensor is made; plain data that JSON can hold.
        flops: what choosing cost.
        scores: what was measured of the child before its first step, for the record.
    """

    initialiser: str
    filled: Mapping[str, str]
    details: Mapping[str, Any] = field(default_factory=dict)
    flops: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """For the record: the initialiser, and how many tensors came from where."""
        return {"initialiser": self.initialiser, "tensors": dict(sorted(Counter(self.filled.values()).items()))}


@dataclass(frozen=True)
class Parent:
    """A trained model that a child starts from.

    Fields:
        model: in evaluation mode, fp32, on the CPU.
        name: for provenance: a run's key or a folder's name.
        ids_V: child id -> parent id, int64 (child's V,); None: the same vocabulary.
    """

    model: LanguageModel
    name: str
    ids_V: Tensor | None = None


class SmallFit(Protocol):
    """A small training loop: ``steps`` steps at ``rate`` on ``parameters`` alone, each on the loss of one batch."""

    def __call__(
        self,
        parameters: Iterable[nn.Parameter],
        loss: Callable[[Batch], Tensor],
        batches: Callable[[int], Batch],
        *,
        steps: int,
        rate: float,
    ) -> None: ...


def _unknown() -> Tensor:
    raise UserError("a layer's table is balanced by how often ids occur, and no text was given to count them in")


@dataclass(frozen=True)
class Sources:
    """What initialisers may draw upon beside randomness; ``runs`` hands in what a run has.

    Fields:
        filled: names that initialisers before this one have filled; ``fill`` keeps it.
        parent: the model to inherit from.
        loss: nats a token of a model on the parent's tune split, in the parent's ids.
        batches: step -> batch of the parent's tune split, in the parent's ids; pure.
        own: step -> batch of the child's tune split; pure.
        fit: trains a few parameters on batches that it is given.
        tokenizer: the child's own.
        counts: how often each of the child's ids occurs in the train split, by domain.
    """

    filled: frozenset[str] = frozenset()
    parent: Parent | None = None
    loss: Callable[[LanguageModel], float] | None = None
    batches: Callable[[int], Batch] | None = None
    own: Callable[[int], Batch] | None = None
    fit: SmallFit | None = None
    tokenizer: Tokenizer | None = None
    counts: Counts = _unknown


class Initialiser(Protocol):
    """Fills parameters of a model, in place.

    One with an option ``parent`` has a method ``check(child, parent, name)`` too, which is asked before either model
    is trained and raises ``UserError``.
    """

    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        """Fill parameters that are not in ``sources.filled`` and say which."""
        ...


@runtime_checkable
class Foreign(Protocol):
    """An initialiser that reads weights from elsewhere: it is asked before anything is trained."""

    def suits(self, child: LanguageModel, tokenizer: Trainer) -> None:
        """Refuse what could not be read into ``child``, which may lie on the meta device.

        Args:
            tokenizer: what makes the child's.

        Raises:
            UserError: it cannot, or the child's ids would not mean what they mean there.
        """
        ...


def fill(
    model: LanguageModel, initialisers: Sequence[Initialiser], streams: Streams, sources: Sources | None = None
) -> list[Provenance]:
    """Fill every parameter of a model once by a chain of initialisers.

    A model on the meta device is given memory on the CPU first. What a parameter held before is lost: a parameter
    that no initialiser fills cannot go unnoticed.

    Raises:
        ValueError: a parameter was filled twice or never, or still holds numbers that are not finite.
    """
    sources = sources or Sources()
    names = {name for name, _ in model.named_parameters()}
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        held = [name for name, _ in model.named_buffers()]
        if held:
            raise ValueError(f"buffer {held[0]} has no initialiser; make it in the forward or a parameter of it")
        model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan if parameter.is_floating_point() else UNFILLED)

    chain: list[Provenance] = []
    filled: set[str] = set()
    for initialiser in initialisers:
        said = initialiser(model, streams, replace(sources, filled=frozenset(filled)))
        twice = sorted(filled & set(said.filled))
        if twice:
            raise ValueError(f"parameter {twice[0]} was filled twice, the second time by {said.initialiser}")
        strange = sorted(set(said.filled) - names)
        if strange:
            raise ValueError(f"{said.initialiser} says it filled {strange[0]}, which the model does not have")
        filled |= set(said.filled)
        chain.append(said)
    never = sorted(names - filled)
    if never:
        raise ValueError(f"parameter {never[0]} was never filled ({len(never)} of {len(names)})")
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all() or (not parameter.is_floating_point() and (parameter == UNFILLED).any()):
            raise ValueError(f"parameter {name} is not finite after {[said.initialiser for said in chain]}")
    return chain
