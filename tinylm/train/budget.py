"""Budgets: what a run may spend, turned into steps before the schedule is built."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from tinylm.errors import UserError

LINES = 400  # at most this many lines in a history, and at least half of it where there are as many steps


@dataclass(frozen=True)
class Plan:
    """When a run ends and what happens on the way.

    steps: planned steps, or None where ``seconds`` of training end the run.
    scores: evenly spaced scores on the tune split, the last at the end.
    """

    steps: int | None
    seconds: float | None
    scores: int

    @property
    def every(self) -> int:
        """Steps a line of history stands for: the smallest number that keeps it within 400 lines."""
        return math.ceil(self.steps / LINES) if self.steps is not None else 1

    def fraction(self, steps: float, seconds: float) -> float:
        """The part of the budget that is done."""
        if self.steps is not None:
            return steps / self.steps
        return min(1.0, seconds / (self.seconds or math.inf))

    def end(self, fraction: float) -> int | None:
        """Steps done when ``fraction`` of the budget is; None where a clock tells."""
        return None if self.steps is None else math.ceil(self.steps * fraction - 1e-6)

    def logs(self, step: int, before: float, after: float) -> bool:
        """Whether ``step`` (1-based), which led from ``before`` to ``after``, gets a line of history."""
        if self.steps is None:
            return _passes(LINES, before, after) or after >= 1
        return step % self.every == 0 or step == self.steps

    def scored(self, step: int, before: float, after: float) -> bool:
        """Whether the model is scored after ``step``."""
        if self.steps is None:
            return _passes(self.scores, before, after) or after >= 1
        return step * self.scores // self.steps > (step - 1) * self.scores // self.steps


class Budget(ABC):
    """An amount in one unit.

    Args:
        amount: how much may be spent, in the unit that the class is named after.
    """

    def __init__(self, amount: float) -> None:
        if not amount > 0 or math.isinf(amount):
            raise UserError(f"budget.amount: {amount:g} is not a positive number")
        self.amount = amount

    @abstractmethod
    def plan(self, tokens: float, bytes: float, flops: float, scores: int) -> Plan:
        """The plan, given what one step reads and computes; the nearest whole number of steps, at least one."""


class Steps(Budget):
    """Optimiser steps."""

    def plan(self, tokens: float, bytes: float, flops: float, scores: int) -> Plan:
        return Plan(max(1, round(self.amount)), None, scores)


class Tokens(Budget):
    """Tokens read."""

    def plan(self, tokens: float, bytes: float, flops: float, scores: int) -> Plan:
        return Plan(max(1, round(self.amount / tokens)), None, scores)


class Bytes(Budget):
    """Bytes of text read."""

    def plan(self, tokens: float, bytes: float, flops: float, scores: int) -> Plan:
        return Plan(max(1, round(self.amount / bytes)), None, scores)


class Flops(Budget):
    """Training FLOPs (forward and backward)."""

    def plan(self, tokens: float, bytes: float, flops: float, scores: int) -> Plan:
        return Plan(max(1, round(self.amount / flops)), None, scores)


class Seconds(Budget):
    """Seconds of training steps; the run then depends on the machine."""

    def plan(self, tokens: float, bytes: float, flops: float, scores: int) -> Plan:
        return Plan(None, self.amount, scores)


def _passes(marks: int, before: float, after: float) -> bool:
    return int(after * marks) > int(before * marks)
