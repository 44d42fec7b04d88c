"""In proportion to the exponential of the loss."""

from __future__ import annotations

import numpy as np

from tinylm.errors import UserError
from tinylm.train.slots import Selection


class LossSoftmax(Selection):
    """p_i = exp(l_i) / sum_j exp(l_j), drawn without replacement (Tang et al. 2024, arXiv:2402.02791, README).

    Drawn by the Gumbel top-k trick (Kool et al. 2019, arXiv:1903.06059): the order of l_i / temperature + Gumbel noise
    is that of drawing one unit after another in proportion to p among those left, for any number of units.

    Args:
        temperature: nats by which losses are divided; the source's is 1. A large one makes the draw uniform, a small
            one takes the hardest.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        if not temperature > 0:
            raise UserError(f"rounds.selection.temperature: {temperature} is not positive")
        self.temperature = temperature

    def __call__(self, loss_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.argsort(-(loss_N / self.temperature + rng.gumbel(size=len(loss_N))), kind="stable")
