"""A table of facts: every entity has a value in every relation."""

from __future__ import annotations

import math

import numpy as np

from tinylm.data.world.law import Table, Uniform
from tinylm.data.world.words import Coiner, Listed


class Facts:
    """Values drawn alike and independently, so that knowing the table is worth ``bits`` exactly.

    Args:
        coiner: of the words; entities and values are called the same in all languages.
        random: draws the values.
        entities, relations, values: how many of each.
        zipf: a mention is of the n-th entity in proportion to n^-zipf, and of any relation alike.

    Attributes:
        size: facts in the table.
        bits: of the whole table: size x log2(values).
    """

    def __init__(
        self, coiner: Coiner, random: np.random.Generator, entities: int, relations: int, values: int, zipf: float
    ) -> None:
        self.relations = relations
        self.entity_words = Listed(coiner.coin(entities))
        self.value_words = Listed(coiner.coin(values))
        self.entity = Table.zipf(range(entities), zipf)
        self.relation, self.any_value = Uniform(relations), Uniform(values)
        self.table = random.integers(values, size=(entities, relations)).tolist()
        self.size = entities * relations
        self.ignorance = math.log2(values)
        self.bits = self.size * self.ignorance

    def value(self, entity: int, relation: int) -> int:
        """What the table says."""
        found: int = self.table[entity][relation]
        return found

    def share(self, entity: int, relation: int) -> float:
        """The probability that a mention is of this fact."""
        return self.entity.p(entity) * self.relation.p(relation)
