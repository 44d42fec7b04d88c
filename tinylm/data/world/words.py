"""Made-up words that say themselves where they end.

A word is syllables, each one of 11 consonants and one of 5 vowels, and one of four other consonants, which stands
nowhere else. So no word begins another one, and whoever reads a text byte by byte knows when a word is over.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

ONSETS, VOWELS, FINALS = "bdfgklmptvz", "aeiou", "nrsx"
SYLLABLES = [onset + vowel for onset in ONSETS for vowel in VOWELS]
PIECE = re.compile(r"\.| [a-z]+")  # what a text consists of: words, each after a blank, and full stops


def spelled(number: int, syllables: int) -> str:
    """The word of a number, from 0 to ``count(syllables)`` - 1."""
    number, final = divmod(number, len(FINALS))
    word = FINALS[final]
    for _ in range(syllables):
        number, syllable = divmod(number, len(SYLLABLES))
        word = SYLLABLES[syllable] + word
    return word


def count(syllables: int) -> int:
    """How many words of so many syllables there are."""
    return len(FINALS) * len(SYLLABLES) ** syllables


class Words(ABC):
    """The words that one choice is between: none begins another."""

    @abstractmethod
    def piece(self, index: int) -> str:
        """The text of a word, the blank before it included."""

    @abstractmethod
    def index(self, piece: str) -> int | None:
        """The number of a word; None where it is none of these."""


class Listed(Words):
    """Words of a list."""

    def __init__(self, words: Iterable[str]) -> None:
        self.pieces = [word if word == "." else f" {word}" for word in words]
        self.number = {piece: number for number, piece in enumerate(self.pieces)}

    def piece(self, index: int) -> str:
        return self.pieces[index]

    def index(self, piece: str) -> int | None:
        return self.number.get(piece)


class Names(Words):
    """All words of so many syllables."""

    def __init__(self, syllables: int) -> None:
        self.syllables, self.size = syllables, count(syllables)

    def piece(self, index: int) -> str:
        return f" {spelled(index, self.syllables)}"

    def index(self, piece: str) -> int | None:
        word = piece[1:]
        if len(word) != 2 * self.syllables + 1 or word[-1] not in FINALS:
            return None
        number = 0
        for at in range(0, len(word) - 1, 2):
            if word[at : at + 2] not in SYLLABLES:
                return None
            number = number * len(SYLLABLES) + SYLLABLES.index(word[at : at + 2])
        return number * len(FINALS) + FINALS.index(word[-1])


class Coiner:
    """Coins words at random, never one twice."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.used: set[str] = set()

    def coin(self, number: int) -> list[str]:
        """``number`` new words, all of one length: the shortest of which there are four times as many, or more."""
        syllables = 1
        while count(syllables) < 4 * number + len(self.used):
            syllables += 1
        found: list[str] = []
        for one in self.random.permutation(count(syllables)):
            if len(found) == number:
                break
            word = spelled(int(one), syllables)
            if word not in self.used:
                found.append(word)
        self.used.update(found)
        return found
