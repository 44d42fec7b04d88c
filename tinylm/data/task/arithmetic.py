"""Modular arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinylm.data.probe import Example, Task, spelled
from tinylm.errors import UserError


class Arithmetic(Task):
    """A sum of residues, each added or taken away, modulo a prime or any other number: ``5 + 3 - 6 = 2``.

    Power et al. 2022 (arXiv 2201.02177) train on a part of all pairs and score the others. Here a text is one sum, so
    the sums that are scored are never trained on.

    Args:
        lengths: terms of a sum.
        modulus: residues there are.
    """

    unit = "terms"

    def __init__(self, lengths: list[int], modulus: int = 23) -> None:
        if modulus < 2:
            raise UserError(f"data.task.modulus={modulus} leaves nothing to know; give 2 or more")
        self.alternatives = modulus
        super().__init__(lengths)

    def draw(self, length: int, rng: np.random.Generator) -> Example:
        terms = [str(n) for n in rng.integers(self.alternatives, size=length)]
        signs = ["+-"[n] for n in rng.integers(2, size=length - 1)]
        words = [terms[0], *(word for pair in zip(signs, terms[1:], strict=True) for word in pair), "="]
        (right,) = self.predict(" ".join(words))
        return spelled([*words, right], {len(words): None})

    def predict(self, prompt: str) -> Mapping[str, float]:
        words = ["+", *prompt.split()[:-1]]
        terms = zip(words[::2], words[1::2], strict=True)
        return {str(sum(int(term) if sign == "+" else -int(term) for sign, term in terms) % self.alternatives): 1.0}
