"""Random initialisation, each tensor from (seed, its name) alone."""

from __future__ import annotations

from typing import Literal

import torch

from tinylm.init.initialiser import Provenance, Sources
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


class Scratch:
    """Normal draws for matrices and tables; what a layer declares as constant (gains, biases) starts there.

    A tensor's draw depends on the seed, its name and its size, not on what else the model holds: adding a module
    leaves every other tensor bitwise as it was, so variants stay paired by seed. Radford et al. 2019 (GPT-2),
    section 2.3, for the smaller start of what is added to the residual stream.

    Args:
        std: standard deviation of matrices and tables.
        residual: matrices that write to the residual stream start at ``std`` / sqrt(2 x depth) (``depth``) or at
            ``std`` (``plain``).
    """

    def __init__(self, std: float = 0.02, residual: Literal["depth", "plain"] = "depth") -> None:
        self.std = std
        self.residual = {"depth": lambda depth: std / (2 * depth) ** 0.5, "plain": lambda depth: std}[residual]

    @torch.no_grad()
    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        starts = model.starts()
        smaller = dict.fromkeys(model.outputs(), self.residual(model.shape.depth))
        filled: dict[str, str] = {}
        for name, parameter in model.named_parameters():
            if name in sources.filled:
                continue
            if name in starts:
                parameter.fill_(starts[name])
                filled[name] = f"constant {starts[name]:g}"
                continue
            std = smaller.get(name, self.std)
            generator = torch.Generator().manual_seed(streams.seed("init", name))
            # Drawn on the CPU wherever the model lies: the same numbers on every device.
            parameter.copy_(torch.normal(0.0, std, parameter.shape, generator=generator))
            filled[name] = f"normal {std:g}"
        return Provenance("scratch", filled)
