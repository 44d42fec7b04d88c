"""Bracket matching: what was opened is closed, the last first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinylm.data.probe import Example, Task, spelled
from tinylm.errors import UserError

PAIRS = ("()", "[]", "{}", "<>")
MARK = "="
OPENING = 0.6  # share of brackets that open where both could stand


class Brackets(Task):
    """Brackets of several kinds, some left open, then what closes them: ``( [ ] { ( = ) } )``.

    The language is Dyck's (Hewitt et al. 2020, arXiv 2010.07515); asking for the closing part is our construction, so
    that each answer is certain.

    Args:
        lengths: brackets before the mark.
        kinds: how many kinds of brackets, up to 4.
    """

    unit = "brackets"

    def __init__(self, lengths: list[int], kinds: int = 4) -> None:
        if not 2 <= kinds <= len(PAIRS):
            raise UserError(f"data.task.kinds={kinds}: there are 2 to {len(PAIRS)} kinds of brackets")
        self.alternatives = kinds
        super().__init__(lengths)

    def draw(self, length: int, rng: np.random.Generator) -> Example:
        while True:
            words: list[str] = []
            opened: list[int] = []
            kind_N = rng.integers(self.alternatives, size=length)
            for opens, kind in zip(rng.random(length) < OPENING, kind_N, strict=True):
                if opens or not opened:
                    opened.append(len(words))
                    words.append(PAIRS[kind][0])
                else:
                    words.append(_closing(words[opened.pop()]))
            if opened:
                break
        words.append(MARK)
        answers = {}
        for place in reversed(opened):
            answers[len(words)] = place
            words.append(_closing(words[place]))
        return spelled(words, answers)

    def predict(self, prompt: str) -> Mapping[str, float]:
        opened: list[str] = []
        for word in prompt.replace(MARK, "").split():
            if word in {pair[0] for pair in PAIRS}:
                opened.append(word)
            else:
                opened.pop()
        return {_closing(opened[-1]): 1.0}


def _closing(word: str) -> str:
    return next(pair[1] for pair in PAIRS if pair[0] == word)
