"""Multi-query associative recall."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinylm.data.probe import Example, Task, spelled


class Recall(Task):
    """Pairs of key and value, then each key again in another order, its value to be named.

    ``k4 v1 k9 v5 ? k9 v5 k4 v1``. Arora et al. 2023 (Zoology, arXiv 2312.04927), section 3.1 and definition 3.1; there
    the distance of a query follows a power law, here the order of queries is drawn uniformly.

    Args:
        lengths: pairs of a text.
        keys: how many different keys there are; those of a text differ.
        values: how many different values.
    """

    unit = "pairs"

    def __init__(self, lengths: list[int], keys: int = 64, values: int = 64) -> None:
        self.keys, self.alternatives = keys, values
        super().__init__(lengths)

    def longest(self) -> int | None:
        return self.keys

    def draw(self, length: int, rng: np.random.Generator) -> Example:
        keys = rng.permutation(self.keys)[:length]
        values = rng.integers(self.alternatives, size=length)
        order = rng.permutation(length)
        words = [f"{kind}{n}" for pair in zip(keys, values, strict=True) for kind, n in zip("kv", pair, strict=True)]
        words += ["?", *(word for pair in order for word in words[2 * pair : 2 * pair + 2])]
        first = 2 * length + 2
        return spelled(words, {first + 2 * rank: 2 * int(pair) + 1 for rank, pair in enumerate(order)})

    def predict(self, prompt: str) -> Mapping[str, float]:
        words = prompt.split()
        return {words[words.index(words[-1]) + 1]: 1.0}
