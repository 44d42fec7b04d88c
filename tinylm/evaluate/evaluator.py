"""What is scored, and what a score is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from tinylm.data.document import Span
from tinylm.errors import UserError
from tinylm.model.lm import LanguageModel


class Vocabulary(Protocol):
    """What an evaluator reads of a tokenizer."""

    @property
    def bos(self) -> int:
        """The id that opens a document."""
        ...

    @property
    def eos(self) -> int:
        """The id that closes it."""
        ...

    @property
    def bytes_V(self) -> np.ndarray:
        """How many bytes of text each id stands for; 0 for the two marks."""
        ...

    def encode(self, text: str) -> Sequence[int]:
        """The ids of a text, without the two marks."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of ids; marks are nothing."""
        ...


class Text(NamedTuple):
    """One document: ``ids`` from BOS to EOS, how many ``bytes`` of UTF-8 it has, the number of its ``domain``."""

    ids: np.ndarray
    bytes: int
    domain: int | None = None


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Fields:
        model: on its device. Windows come in many lengths: hand in the plain module, not a compiled one.
        tokenizer: its vocabulary.
        context: tokens in a window.
        documents: split -> its documents, in their fixed order; plain triples will do.
        precision: ``bf16`` (autocast) or ``fp32``.
        domains: the names that a text's ``domain`` numbers; empty where texts have none.
        floor: a text's bits under the law that it was drawn from, in spans that tile it; None where that is not known.
    """

    model: LanguageModel
    tokenizer: Vocabulary
    context: int
    documents: Callable[[str], Sequence[Text]]
    precision: Literal["bf16", "fp32"] = "fp32"
    domains: Sequence[str] = ()
    floor: Callable[[str], Sequence[Span]] | None = None

    def domain(self, number: int | None) -> str | None:
        """The name of a text's domain; None where it has none."""
        return None if number is None else self.domains[number]


@dataclass(frozen=True)
class Scores:
    """scalars: name -> number.  items: column -> a value a document, or None.  notes: what a reader of the numbers has
    to know, such as why one is not there.  about: what else the record tells of them, such as the version of a task."""

    scalars: dict[str, float]
    items: dict[str, list[Any]] | None = None
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] | None = None


def refuse_foresight(model: LanguageModel) -> None:
    """Raise where a token's probability would be read off a model that has seen what comes after.

    Raises:
        UserError: a part of the model is not causal in evaluation.
    """
    for path, part in model.slots():
        if not getattr(part, "causal_eval", True):
            raise UserError(
                f"{path} ({type(part).__name__}) lets a token see later ones in evaluation too, so what the model says "
                "of a text is no score; only what is causal there is scored"
            )


class Evaluator(ABC):
    """Scores a subject.

    Attributes:
        name: of the evaluator, for the record.
        version: changes with anything that changes the numbers; numbers of two versions are never compared.
        needs_law: it takes a subject with a ``floor``.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    needs_law: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, subject: Subject) -> Scores: ...
