"""Probabilities of the outcomes of one choice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from random import Random


class Law(ABC):
    """A distribution over 0 ... ``size`` - 1.

    Attributes:
        size: how many outcomes there are, those of probability 0 among them.
    """

    size: int

    @abstractmethod
    def p(self, index: int) -> float:
        """The probability of an outcome."""

    @abstractmethod
    def draw(self, random: Random) -> int:
        """An outcome. Reads ``random.random()`` alone, whose numbers are the same in every version of Python."""

    @abstractmethod
    def groups(self) -> Iterable[tuple[float, int]]:
        """(probability, how many outcomes have it); every outcome is in one group."""


class Uniform(Law):
    """All outcomes alike."""

    def __init__(self, size: int) -> None:
        self.size = size

    def p(self, index: int) -> float:
        return 1 / self.size

    def draw(self, random: Random) -> int:
        return int(random.random() * self.size)

    def groups(self) -> Iterable[tuple[float, int]]:
        return [(1 / self.size, self.size)]


class Certain(Law):
    """One outcome, always."""

    def __init__(self, size: int, index: int) -> None:
        self.size, self.index = size, index

    def p(self, index: int) -> float:
        return float(index == self.index)

    def draw(self, random: Random) -> int:
        return self.index

    def groups(self) -> Iterable[tuple[float, int]]:
        return [(1.0, 1), (0.0, self.size - 1)]


class Table(Law):
    """Outcomes in proportion to their weights."""

    def __init__(self, weights: Sequence[float]) -> None:
        total = sum(weights)
        self.size = len(weights)
        self.share = [weight / total for weight in weights]
        self.until = list(accumulate(self.share))

    @classmethod
    def zipf(cls, ranks: Sequence[int], exponent: float) -> Table:
        """Outcome i in proportion to (rank of i + 1)^-exponent; 0: all alike."""
        return cls([(rank + 1) ** -exponent for rank in ranks])

    def p(self, index: int) -> float:
        return self.share[index]

    def draw(self, random: Random) -> int:
        found = min(bisect_right(self.until, random.random()), self.size - 1)  # the sum may round to below 1
        while not self.share[found]:
            found -= 1
        return found

    def groups(self) -> Iterable[tuple[float, int]]:
        return [(share, 1) for share in self.share]


class Noisy(Law):
    """A law whose outcome is with probability ``noise`` replaced by any, all alike: the two ways are summed over."""

    def __init__(self, law: Law, noise: float) -> None:
        self.law, self.noise, self.size = law, noise, law.size

    def p(self, index: int) -> float:
        return (1 - self.noise) * self.law.p(index) + self.noise / self.size

    def draw(self, random: Random) -> int:
        if random.random() < self.noise:
            return int(random.random() * self.size)
        return self.law.draw(random)

    def groups(self) -> Iterable[tuple[float, int]]:
        return [((1 - self.noise) * p + self.noise / self.size, count) for p, count in self.law.groups()]
