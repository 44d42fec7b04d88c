"""How well a model does what a task asks for, by length and by distance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, ClassVar

from tinylm.data.corpus.probe import Probe
from tinylm.data.document import Corpus
from tinylm.errors import UserError
from tinylm.evaluate.answers import Outcome, ask, ideal
from tinylm.evaluate.domain import assumed, domain_of
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject


@dataclass(frozen=True)
class Probes(Evaluator):
    """Accuracy and bits of a task's answers, on texts of the test split that are made for the lengths asked for.

    A text is read from BOS in one piece, however long; see `tinylm.evaluate.answers.ask` for what is right.

    Scores: ``probe_accuracy`` and ``probe_bits`` (of an answer), means over the trained lengths; ``probe_chance``, the
    accuracy of whoever knows the format alone; ``probe_ceiling`` and ``probe_bits_floor``, accuracy and bits of whoever
    knows the task, measured on the same answers. ``probe_accuracy_beyond``, the mean over the lengths ``beyond``. For
    each length ``probe_accuracy_length_0008`` and ``probe_bits_length_0008``. Over the trained lengths
    ``probe_accuracy_distance_0016``: of the answers that are read from a word 9 to 16 words before.
    A length that learned positions do not reach has no score, and a note says so.

    Items: a row a text: length, answers, right, bits.

    Args:
        corpus: ``data=probe``, whose task is scored.
        beyond: lengths to score beside the trained ones, which the corpus says.
        texts: of each length.
        rows: tokens read in one forward.
        domain: what the texts are read as, by models that route by it; None: the first that the model knows, which a
            note says.

    Raises:
        UserError: the corpus has no task, or the task no text of a length.
    """

    name: ClassVar[str] = "probes"
    version: ClassVar[str] = "1"

    corpus: Corpus
    beyond: list[int] = field(default_factory=list)
    texts: int = 200
    rows: int = 4096
    domain: str | None = None

    def __post_init__(self) -> None:
        task = self._probe.task  # or it is refused
        for length in self.beyond:
            task.check(length, "evaluate.probes.beyond")
        if self.texts < 1:
            raise UserError(f"evaluate.probes.texts is {self.texts}; give 1 or more")

    @property
    def _probe(self) -> Probe:
        if not isinstance(self.corpus, Probe):
            raise UserError(
                "evaluate=probes: the text is of no task; train on one with data=probe, or score another one"
                " with evaluate=bits_other_probes"
            )
        return self.corpus

    def __call__(self, subject: Subject) -> Scores:
        """Ask the model.

        Raises:
            UserError: it routes by no domain, or knows none of that name.
        """
        task = self._probe.task
        domain = domain_of(subject.model, self.domain, "evaluate.probes.domain")
        told: dict[int, list[list[Outcome]]] = {}
        known: list[Outcome] = []
        notes = assumed(subject.model, self.domain, "evaluate.probes.domain")
        for length in sorted({*task.lengths, *self.beyond}):
            examples = self._probe.examples("test", length, self.texts)
            longest = max((len(subject.tokenizer.encode(example.text)) for example in examples), default=0)
            if not examples:
                notes.append(f"probes: there is no text of {length} {task.unit} in the test split; raise data.test")
            elif longest > subject.model.shape.context and not subject.model.position.any_length:
                notes.append(f"probes: learned positions do not reach {length} {task.unit}, which are not scored")
            else:
                told[length] = ask(subject, examples, self.rows, domain)
                known += [outcome for example in examples for outcome in ideal(task, example)]
        return Scores(self._scalars(told, known), _items(told), notes)

    def _scalars(self, told: dict[int, list[list[Outcome]]], known: list[Outcome]) -> dict[str, float]:
        every = {length: [outcome for text in texts for outcome in text] for length, texts in told.items()}
        right = {length: fmean(outcome.right for outcome in outcomes) for length, outcomes in every.items()}
        bits = {length: fmean(outcome.bits for outcome in outcomes) for length, outcomes in every.items()}
        trained = [length for length in every if length in self._probe.task.lengths]
        beyond = [length for length in every if length not in trained]
        near = defaultdict(list)
        for outcome in (outcome for length in trained for outcome in every[length]):
            if outcome.answer.distance is not None:
                near[1 << (outcome.answer.distance - 1).bit_length()].append(outcome.right)
        return {
            "probe_chance": 1 / self._probe.task.alternatives,
            **({"probe_ceiling": fmean(outcome.right for outcome in known)} if known else {}),
            **({"probe_bits_floor": fmean(outcome.bits for outcome in known)} if known else {}),
            **({"probe_accuracy": fmean(right[length] for length in trained)} if trained else {}),
            **({"probe_bits": fmean(bits[length] for length in trained)} if trained else {}),
            **({"probe_accuracy_beyond": fmean(right[length] for length in beyond)} if beyond else {}),
            **{f"probe_accuracy_length_{length:04d}": value for length, value in right.items()},
            **{f"probe_bits_length_{length:04d}": value for length, value in bits.items()},
            **{f"probe_accuracy_distance_{bound:04d}": fmean(near[bound]) for bound in sorted(near)},
        }


def _items(told: dict[int, list[list[Outcome]]]) -> dict[str, list[Any]]:
    texts: Sequence[tuple[int, list[Outcome]]] = [(length, text) for length, texts in told.items() for text in texts]
    return {
        "length": [length for length, _ in texts],
        "answers": [len(text) for _, text in texts],
        "right": [sum(outcome.right for outcome in text) for _, text in texts],
        "bits": [sum(outcome.bits for outcome in text) for _, text in texts],
    }
