"""What a run scores on the way, and what that may cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from tinylm.data.loader import Batches
from tinylm.data.prepare import Prepared
from tinylm.errors import UserError, nearest
from tinylm.evaluate.bits import BitsPerByte
from tinylm.evaluate.evaluator import Evaluator, Subject
from tinylm.runs.parts import Parts
from tinylm.train.session import Score, Watches

SHARE = 0.03  # of the planned work may go into the curve on the tune split
BYTES = (8_192, 131_072)  # of text a point of it, at least and at most
TOLD = 3 * SHARE  # of the training time; where all scores on the way took more, the record warns


class Watch:
    """The curve on the tune split, which every run has, and the evaluators that it is asked to score on the way.

    One rule for their cost: no score counts as training (``cost.seconds``); what all took together is
    ``cost.watch_seconds``, and more than ``TOLD`` of the training time is warned of. The curve keeps within ``SHARE``
    of the planned work by reading fewer documents. An evaluator that was asked for reads what it always reads, so that
    its points in the history compare with its score at the end, and how often it does is the user's choice.

    Args:
        flops: of training on one position.
        subject: model -> what evaluators read.
    """

    def __init__(
        self,
        parts: Parts,
        prepared: Prepared,
        batches: Batches,
        flops: float,
        subject: Callable[[nn.Module], Subject],
    ) -> None:
        self.subject = subject
        self.asked = {name: (every, parts.evaluators[name]) for name, every in (parts.settings.watch or {}).items()}
        few = documents(parts, prepared, batches, flops)
        self.tune = BitsPerByte(split="tune", at_most=few, prefix="tune_")

    @property
    def curve(self) -> Score:
        """Scores the tune split."""
        return partial(self._scores, self.tune)

    @property
    def watches(self) -> Watches:
        """(n, score): what is scored after every n steps."""
        return [(every, partial(self._scores, evaluator)) for every, evaluator in self.asked.values()]

    def _scores(self, evaluator: Evaluator, model: nn.Module) -> dict[str, float]:
        return dict(evaluator(self.subject(model)).scalars)

    def warnings(self, cost: Mapping[str, float]) -> list[str]:
        """What a reader of the run's cost has to know."""
        share = cost["watch_seconds"] / cost["seconds"] if cost["seconds"] else 0.0
        if not self.asked or share <= TOLD:
            return []
        names = ", ".join(f"{name} every {every} steps" for name, (every, _) in self.asked.items())
        return [f"scores on the way ({names}) took {share:.0%} of the time of training; watch less often, or less text"]


def check(watch: Mapping[str, int] | None, evaluators: Mapping[str, Evaluator]) -> None:
    """Refuse to watch what is not there.

    Raises:
        UserError: no such evaluator, or no number of steps.
    """
    for name, every in (watch or {}).items():
        if name not in evaluators:
            raise UserError(f"watch.{name}: `evaluate` has no such evaluator{nearest(name, evaluators)}")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise UserError(
                f"watch.{name}: {every!r} is not a number of steps; write for example 'watch={{{name}: 500}}'"
            )


def documents(parts: Parts, prepared: Prepared, batches: Batches, flops: float) -> int:
    """How many documents of the tune split a point of the curve may cost: a function of the plan alone.

    Scoring reads a text about twice, for windows overlap by half, and costs a third of training on it.
    """
    least, most = BYTES
    points = max(1, round(1 / parts.recipe.score_every))
    plan = parts.recipe.plan(batches, flops)
    size = least
    if plan.steps is not None:
        size = min(most, max(least, round(SHARE * plan.steps * batches.bytes_per_step * 3 / 2 / points)))
    tune = prepared.store.split("tune")
    return max(1, tune.documents * size // tune.bytes)
