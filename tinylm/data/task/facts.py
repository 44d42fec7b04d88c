"""Recall of facts, by how often they were told."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from tinylm.data.probe import Example, Task, spelled
from tinylm.errors import UserError
from tinylm.streams import Streams

FILLERS, PLACES = 16, 3  # words before a fact that say nothing, and how many of them a text has


class Facts(Task):
    """One fact a text, after words that say nothing: ``x5 x0 x9 e17 is v3``. An entity's value is the same everywhere.

    The facts that are scored are those that were trained on, in texts that were not; a length is how often an entity
    is told of, in relation to one of length 1. Entities of all lengths have all values alike often. After Mallen et
    al. 2022 (arXiv 2212.10511), who sort real facts by popularity; the table is our construction.

    Args:
        lengths: relative frequencies, each with entities of its own.
        entities: of each frequency; a multiple of ``values``.
        values: how many different values there are.
        table: seed of who has which value.
    """

    unit = "mentions"

    def __init__(self, lengths: list[int], entities: int = 192, values: int = 16, table: int = 0) -> None:
        if values < 2 or entities < 1 or entities % values:
            raise UserError(
                f"data.task.entities={entities} is no multiple of data.task.values={values}, so values would not be"
                " alike often; change one of them"
            )
        self.entities, self.alternatives, self.table = entities, values, table
        super().__init__(lengths)

    def check(self, length: int, option: str) -> None:
        if length not in self.lengths:
            known = ", ".join(map(str, self.lengths))
            raise UserError(f"{option}: no entity is told of {length} times as often; the frequencies are {known}")
        super().check(length, option)

    def share(self, length: int) -> float:
        return float(length)

    def draw(self, length: int, rng: np.random.Generator) -> Example:
        entity = self.lengths.index(length) * self.entities + int(rng.integers(self.entities))
        words = [
            *(f"x{n}" for n in rng.integers(FILLERS, size=PLACES)),
            f"e{entity}",
            "is",
            f"v{self._value_E[entity]}",
        ]
        return spelled(words, {len(words) - 1: None})

    def predict(self, prompt: str) -> Mapping[str, float]:
        return {f"v{self._value_E[int(prompt.split()[-2][1:])]}": 1.0}

    @cached_property
    def _value_E(self) -> np.ndarray:
        rng = Streams(self.table).numpy("data", "facts")
        values = np.arange(self.entities) % self.alternatives
        return np.concatenate([rng.permutation(values) for _ in self.lengths])
