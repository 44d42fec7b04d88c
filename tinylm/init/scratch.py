"""Random initialisation at one standard deviation, each tensor from (seed, its name) alone."""

from __future__ import annotations

from typing import Literal

from tinylm.init.initialiser import Provenance, Sources
from tinylm.init.normal import draw
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


class Scratch:
    """Normal draws for matrices and tables; what a layer declares as constant (gains, biases) starts there.

    Radford et al. 2019 (GPT-2), section 2.3, for the smaller start of what is added to the residual stream. A
    placement of norms may scale some draws (``model.gains``).

    Args:
        std: standard deviation of matrices and tables.
        residual: matrices that write to the residual stream start at ``std`` / sqrt(2 x depth) (``depth``) or at
            ``std`` (``plain``).
    """

    def __init__(self, std: float = 0.02, residual: Literal["depth", "plain"] = "depth") -> None:
        self.std = std
        self.residual = {"depth": lambda depth: std / (2 * depth) ** 0.5, "plain": lambda depth: std}[residual]

    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        smaller = dict.fromkeys(model.outputs(), self.residual(model.shape.depth))
        return draw("scratch", lambda name, _: smaller.get(name, self.std), model, streams, sources)
