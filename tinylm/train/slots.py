"""The slots of training: schedule, objective, update and rounds; one abstract class each, one concrete class a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from tinylm.batch import Batch
from tinylm.data.units import Unit


@dataclass(frozen=True)
class Progress:
    """Where a run stands when a step begins.

    step: steps done before (from 0).  steps: planned steps, None where a clock ends the run.
    fraction: the middle of this step as a fraction of the budget, so within (0, 1) for the first and the last.
    round: the round, from 0.
    """

    step: int
    steps: int | None
    fraction: float
    round: int


@dataclass
class Losses:
    """What an objective says of one batch, scalars.

    total: what is differentiated.  language: the language-model loss, nats a scored token.
    side: everything else that went into ``total``, by name.  stats: detached quantities for the history.
    """

    total: Tensor
    language: Tensor
    side: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)


class Schedule(ABC):
    """Learning rate over the budget."""

    @abstractmethod
    def __call__(self, fraction: float) -> float:
        """What to multiply the peak learning rate by when ``fraction`` of the budget is done."""


class Objective(ABC):
    """What is minimised."""

    @abstractmethod
    def __call__(self, model: nn.Module, batch: Batch, progress: Progress) -> Losses:
        """The losses of ``batch``: means over its scored tokens.

        ``model`` is called, never opened: it may be a compiled stand-in for the module.
        """


Loss = Callable[[nn.Module, Batch, Progress], Losses]  # an Objective, possibly under autocast


class Update(ABC):
    """One optimiser step."""

    @abstractmethod
    def __call__(
        self,
        model: nn.Module,
        objective: Loss,
        optimiser: Optimizer,
        batches: Sequence[Batch],
        progress: Progress,
        backward: Callable[[Tensor], None],
    ) -> tuple[Losses, Tensor]:
        """Change ``model`` by what ``batches`` (the micro batches of one batch) teach.

        Gradients are computed by ``backward(loss)``, which several devices need. Returns the losses of the whole
        batch, detached, and the norm of its gradient before clipping.
        """


class Selection(ABC):
    """What a later round reads.

    Attributes:
        blind: whether it chooses without looking at the losses.
    """

    blind: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, loss_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """All N units in the order in which they are drawn, none twice; a round that reads M takes the first M.

        ``loss_N`` is each unit's loss under the model of that moment, nats a token.
        """


class Rounds(ABC):
    """How the budget is cut into rounds, each with a loop of its own, and what the later ones read.

    Attributes:
        selection: draws the text of every round but the first, from that of the first; None where nothing is drawn.
        unit: what is drawn.
        forgetting: score the text of the first round after the last one too.
    """

    selection: Selection | None = None
    unit: Unit = "batch"
    forgetting: bool = False

    @abstractmethod
    def ends(self) -> tuple[float, ...]:
        """Rising fractions of the budget at which the rounds end; the last is 1."""

    def scoring(self) -> float:
        """FLOPs of the scoring that chooses text, as a share of the FLOPs of all training.

        Before each later round the text of the first is read once more, by a forward alone: a third of its training.
        """
        first, *later = self.ends()
        return len(later) * first / 3
