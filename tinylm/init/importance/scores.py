"""Scores of what can be cut from a model: residual channels, hidden units, heads and key groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from tinylm.init.initialiser import Sources
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams

Pool = tuple[int | None, str]
"""What competes for places: (layer, letter of ``tinylm.dims``); residual channels are one pool, ``(None, "D")``."""


class Importance(Protocol):
    """Scores every group of weights that could go; the higher, the sooner it stays."""

    def __call__(
        self, model: LanguageModel, budgets: Mapping[Pool, int], streams: Streams, sources: Sources
    ) -> dict[Pool, Tensor]:
        """A score for each member of each pool.

        Args:
            model: the parent, without the layers that the child leaves out; left as it was.
            budgets: pool -> how many of its members will stay.
        """
        ...


def members(model: LanguageModel, pool: Pool) -> int:
    """How many the pool has."""
    shape = model.shape
    return {"D": shape.width, "F": shape.hidden, "H": shape.heads, "G": shape.kv_heads}[pool[1]]


def gather(model: LanguageModel, values: Mapping[str, Tensor], pools: Iterable[Pool]) -> dict[Pool, Tensor]:
    """Numbers given for every weight, summed over each member's weights: over all matrices, for channels all layers.

    A hidden unit has its rows and columns of the feed-forward matrices; a head those of the query and output
    matrices; a key group those of the key and value matrices and of all its heads.

    Args:
        values: parameter name -> a number for each of its weights.
    """
    sums = {pool: torch.zeros(members(model, pool)) for pool in pools}
    axes = model.axes()
    for name, value in values.items():
        layer = layer_of(name)
        for axis, letter in enumerate(axes.get(name, "")):
            line = value.sum([other for other in range(value.dim()) if other != axis]) if value.dim() > 1 else value
            for counted in {"H": "HG", "G": "G"}.get(letter, letter):
                pool = (None if counted == "D" else layer, counted)
                if pool in sums:
                    sums[pool] += line.view(len(sums[pool]), -1).sum(1)
    return sums


def layer_of(name: str) -> int | None:
    """The number of the block that a parameter stands in."""
    words = name.split(".")
    return int(words[1]) if words[0] == "blocks" else None


def highest(score_N: Tensor, number: int) -> Tensor:
    """Indices of the ``number`` highest scores, in ascending order; of equal ones the first."""
    return score_N.sort(descending=True, stable=True).indices[:number].sort().values
