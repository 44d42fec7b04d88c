"""Induction: what followed a word once follows it again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinylm.data.probe import Example, Task, spelled


class Induction(Task):
    """A block of different words, drawn at random, and the same block again: from its second word on it is known.

    Olsson et al. 2022 (arXiv 2209.11895), section "repeated random tokens". The distance is the block's length.

    Args:
        lengths: words of a block.
        words: how many different words there are.
    """

    unit = "words"
    shortest = 2

    def __init__(self, lengths: list[int], words: int = 64) -> None:
        self.alternatives = words
        super().__init__(lengths)

    def longest(self) -> int | None:
        return self.alternatives

    def draw(self, length: int, rng: np.random.Generator) -> Example:
        block = [f"w{n}" for n in rng.permutation(self.alternatives)[:length]]
        return spelled(block * 2, {length + place: place for place in range(1, length)})

    def predict(self, prompt: str) -> Mapping[str, float]:
        words = prompt.split()
        return {words[words.index(words[-1]) + 1]: 1.0}
