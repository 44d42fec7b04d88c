"""A task that probes one ability: text whose answers follow from what stands before them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinylm.errors import UserError


@dataclass(frozen=True)
class Answer:
    """A word of an example that follows from what stands before it.

    start, stop: its bytes, the blank before it included.
    distance: how many words before it the word stands that it is read from; None where there is not one such word.
    wrong: words of which each is wrong in its place, where the right one has only to be preferred to them; empty
        where it has to be named among all there is.
    """

    start: int
    stop: int
    distance: int | None = None
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """One text of a task, in ASCII, with its answers in the order of the text."""

    text: str
    answers: tuple[Answer, ...]

    def answer(self, answer: Answer) -> str:
        """The word that the answer is, without its blank."""
        return self.text[answer.start + 1 : answer.stop]


class Task(ABC):
    """A family of texts, by length, whose answers are known.

    Attributes:
        version: changes with anything that changes the texts.
        unit: what a length counts, in the plural.
        shortest: the smallest length that there is.
        alternatives: how many words may stand where an answer does, as far as the format alone says; each is right
            alike often. Chance is 1 / ``alternatives``.

    Args:
        lengths: of the texts that are trained on.

    Raises:
        UserError: a length that the task has no text of.
    """

    version: ClassVar[str] = "1"
    unit: ClassVar[str]
    shortest: int = 1
    alternatives: int

    def __init__(self, lengths: list[int]) -> None:
        if not lengths:
            raise UserError(f"data.task.lengths is empty; give the numbers of {self.unit} to train on")
        self.lengths = lengths
        for length in lengths:
            self.check(length, "data.task.lengths")

    def check(self, length: int, option: str) -> None:
        """Raise a UserError, which names ``option``, unless there are texts of this length."""
        if length < self.shortest:
            raise UserError(f"{option}: {length} {self.unit} are too few; give {self.shortest} or more")
        longest = self.longest()
        if longest is not None and length > longest:
            raise UserError(f"{option}: there are no {length} {self.unit} here, {longest} at most")

    def longest(self) -> int | None:
        """The largest length that there is; None: there are texts of any."""
        return None

    def share(self, length: int) -> float:
        """How often a length is trained on, in any scale: all are alike unless the task says otherwise."""
        return 1.0

    @abstractmethod
    def draw(self, length: int, rng: np.random.Generator) -> Example:
        """A text of this length."""

    @abstractmethod
    def predict(self, prompt: str) -> Mapping[str, float]:
        """The best that can be known of the answer after a prompt, once it is known that the answer comes now.

        Word -> probability, of sum 1.

        Args:
            prompt: an example's text up to an answer.
        """


def spelled(
    words: Sequence[str],
    answers: Mapping[int, int | None],
    wrong: Mapping[int, tuple[str, ...]] | None = None,
) -> Example:
    """An example of these words, each with a blank before it.

    Args:
        answers: place of an answer among the words -> place of the word that it is read from, or None.
        wrong: place of an answer -> what it has to be preferred to.
    """
    stop_N = np.cumsum([len(word) + 1 for word in words]).tolist()
    return Example(
        "".join(f" {word}" for word in words),
        tuple(
            Answer(
                stop_N[place] - len(words[place]) - 1,
                stop_N[place],
                None if source is None else place - source,
                (wrong or {}).get(place, ()),
            )
            for place, source in sorted(answers.items())
        ),
    )
