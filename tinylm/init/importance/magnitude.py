"""Importance by the size of the weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tinylm.init.importance.scores import Pool, gather
from tinylm.init.initialiser import Sources
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


class Magnitude:
    """The L1 or L2 norm of a group's weights, over all its matrices together; gains and biases do not count.

    Tang et al. 2024 (arXiv 2402.02791) compare both; Li et al. 2017 (arXiv 1608.08710), section 3.1,
    for L1 over whole groups.

    Args:
        power: 1 or 2.
    """

    def __init__(self, power: int) -> None:
        self.power = power

    def __call__(
        self, model: LanguageModel, budgets: Mapping[Pool, int], streams: Streams, sources: Sources
    ) -> dict[Pool, Tensor]:
        values = {
            name: parameter.detach().abs() ** self.power
            for name, parameter in model.named_parameters()
            if parameter.dim() > 1
        }
        return {pool: score ** (1 / self.power) for pool, score in gather(model, values, budgets).items()}
