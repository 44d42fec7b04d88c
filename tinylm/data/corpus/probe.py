"""Text made by a task, whose answers are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinylm.data.document import Corpus, Document, check_fractions
from tinylm.data.probe import Example, Task
from tinylm.data.split import SplitName, split_of
from tinylm.errors import UserError
from tinylm.streams import Streams

TRIES = 50  # draws for each example that is wanted, before a task counts as exhausted


class Probe(Corpus):
    """Examples of a task as documents; the hash of its text puts each into a split, so none is in two.

    Args:
        task: makes the texts.
        size: documents in all.
        seed: of the texts; the run's own seed does not change them.
        tune, test: fractions of documents in these splits.
    """

    def __init__(self, task: Task, size: int = 20_000, seed: int = 0, tune: float = 0.05, test: float = 0.1) -> None:
        check_fractions(tune, test)
        if size < 1:
            raise UserError(f"data.size={size} leaves no document; give 1 or more")
        self.task = task
        self.size = size
        self.tune, self.test = tune, test
        self._streams = Streams(seed)

    def documents(self) -> Iterator[Document]:
        rng = self._streams.numpy("data", "probe")
        lengths = self.task.lengths
        share_L = np.array([self.task.share(length) for length in lengths])
        for number in range(self.size):
            length = lengths[rng.choice(len(lengths), p=share_L / share_L.sum())]
            yield Document(self.task.draw(length, rng).text, f"probe:{number}")

    def held_out(self) -> Iterator[Document] | None:
        return None

    def content(self) -> dict[str, str | None]:
        return {"version": self.task.version}

    def examples(self, split: SplitName, length: int, count: int) -> list[Example]:
        """Different examples of a length, of those that the hash puts into ``split``: any length keeps splits apart.

        Args:
            count: how many; fewer come where the task has hardly as many.
        """
        rng = self._streams.numpy("data", "probe", "examples", split, length)
        found: dict[str, Example] = {}
        share = {"train": 1 - self.tune - self.test, "tune": self.tune, "test": self.test}[split]
        for _ in range(round(TRIES * count / share)):
            if len(found) == count:
                break
            example = self.task.draw(length, rng)
            if split_of(example.text, self.tune, self.test) == split:
                found[example.text] = example
        return list(found.values())
