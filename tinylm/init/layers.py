"""Which layers of a deep model a shallow one keeps."""

from __future__ import annotations

from collections.abc import Callable

from tinylm.errors import UserError
from tinylm.init.initialiser import Sources
from tinylm.model.lm import LanguageModel
from tinylm.model.surgery import without_layer

Rule = Callable[[int, int], list[int]]
"""``(deep, few)`` -> the ``few`` layers of ``deep`` that stay, ascending."""


def ends(head: int | None = None, tail: int | None = None) -> Rule:
    """The first and the last; the middle goes. Tang et al. 2024 (arXiv 2402.02791).

    Args:
        head, tail: how many of either; of what is null the rest, and of both null half, the odd one at the head.
    """

    def rule(deep: int, few: int) -> list[int]:
        first = head if head is not None else (few + 1) // 2 if tail is None else few - tail
        last = tail if tail is not None else few - first
        if first < 0 or last < 0 or first + last != few:
            raise UserError(
                f"init.head={head} and init.tail={tail} do not make the {few} layers to keep; leave one of them null"
            )
        return [*range(first), *range(deep - last, deep)]

    return rule


def uniform(deep: int, few: int) -> list[int]:
    """Evenly spaced, the first and the last among them."""
    return [round(place * (deep - 1) / (few - 1)) for place in range(few)] if few > 1 else [0]


def middle(deep: int, few: int) -> list[int]:
    """The innermost: what the claim for the ends says is worst."""
    first = (deep - few) // 2
    return list(range(first, first + few))


def losses_without(model: LanguageModel, sources: Sources) -> tuple[float, list[float]]:
    """The loss on the parent's tune split, in nats a token: of the whole model, and with each layer skipped."""
    if sources.loss is None:
        raise UserError("init.layers=importance asks for the parent's loss on its tune split, and is given none")
    whole, without = sources.loss(model), []
    for layer in range(len(model.layers())):
        with without_layer(model, layer):
            without.append(sources.loss(model))
    return whole, without


def most_important(without: list[float]) -> Rule:
    """Those without which the loss is highest, each skipped alone; of equal ones the first."""

    def rule(deep: int, few: int) -> list[int]:
        return sorted(sorted(range(deep), key=lambda layer: -without[layer])[:few])

    return rule
