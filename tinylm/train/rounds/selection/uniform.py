"""All alike."""

from __future__ import annotations

import numpy as np

from tinylm.train.slots import Selection


class Uniform(Selection):
    """Every unit is as likely as any other: plain re-reading, the control of a selection by loss."""

    blind = True

    def __call__(self, loss_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(len(loss_N))
