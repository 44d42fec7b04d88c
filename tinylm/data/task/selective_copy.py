"""Selective copying: what counts is repeated, and what does not is left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinylm.data.probe import Example, Task, spelled

NOISE, MARK = "-", "="


class SelectiveCopy(Task):
    """Some words among noise, then the words alone in their order: ``- a3 - - a7 a3 - = a3 a7 a3``.

    Jing et al. 2019 (arXiv 1706.02761), section 4.1, in the form of Gu and Dao 2023 (Mamba, arXiv 2312.00752),
    section 4.1.1.

    Args:
        lengths: words before the mark, noise included.
        items: words to be copied.
        words: how many different ones there are.
    """

    unit = "places"

    def __init__(self, lengths: list[int], items: int = 4, words: int = 16) -> None:
        self.items, self.alternatives = items, words
        self.shortest = items
        super().__init__(lengths)

    def draw(self, length: int, rng: np.random.Generator) -> Example:
        places = np.sort(rng.permutation(length)[: self.items]).tolist()
        words = [NOISE] * length
        for place, n in zip(places, rng.integers(self.alternatives, size=self.items), strict=True):
            words[place] = f"a{n}"
        words += [MARK, *(words[place] for place in places)]
        return spelled(words, {length + 1 + rank: place for rank, place in enumerate(places)})

    def predict(self, prompt: str) -> Mapping[str, float]:
        before, after = (part.split() for part in prompt.split(MARK))
        return {[word for word in before if word != NOISE][len(after)]: 1.0}
