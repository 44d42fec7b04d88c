"""The highest losses."""

from __future__ import annotations

import numpy as np

from tinylm.train.slots import Selection


class Hardest(Selection):
    """Units by falling loss; equal ones in random order."""

    def __call__(self, loss_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        order_N = rng.permutation(len(loss_N))
        return order_N[np.argsort(-loss_N[order_N], kind="stable")]
