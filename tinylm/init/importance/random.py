"""No importance: which stay is drawn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tinylm.init.importance.scores import Pool, members
from tinylm.init.initialiser import Sources
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


class Random:
    """Uniform scores from the stream ``init``: what any measure of importance has to beat."""

    def __call__(
        self, model: LanguageModel, budgets: Mapping[Pool, int], streams: Streams, sources: Sources
    ) -> dict[Pool, Tensor]:
        scores = {}
        for pool in budgets:
            generator = torch.Generator().manual_seed(streams.seed("init", "importance", *map(str, pool)))
            scores[pool] = torch.rand(members(model, pool), generator=generator)
        return scores
