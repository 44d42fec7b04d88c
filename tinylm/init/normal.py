"""Normal draws of what nothing else fills, each tensor from (seed, its name) alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tinylm.init.initialiser import Provenance, Sources
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


@torch.no_grad()
def draw(
    initialiser: str, std: Callable[[str, Tensor], float], model: LanguageModel, streams: Streams, sources: Sources
) -> Provenance:
    """Fill what ``sources.filled`` does not name: as the model declares, normal draws elsewhere.

    A tensor's draw depends on the seed, its name and its size, not on what else the model holds: adding a module
    leaves every other tensor bitwise as it was, so variants stay paired by seed.

    Args:
        initialiser: its name, for the provenance.
        std: standard deviation of a parameter, by name and tensor; the model's ``gains`` are multiplied in.
    """
    starts, gains, draws = model.starts(), model.gains(), model.draws()
    filled: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        if name in sources.filled:
            continue
        if name in starts:
            parameter.fill_(starts[name])
            filled[name] = f"constant {starts[name]:g}"
            continue
        generator = torch.Generator().manual_seed(streams.seed("init", name))
        # Drawn on the CPU wherever the model lies: the same numbers on every device.
        if name in draws:
            drawn = torch.empty(parameter.shape, dtype=parameter.dtype)
            draws[name](drawn, generator, sources.counts)
            parameter.copy_(drawn)
            filled[name] = "drawn by its layer"
            continue
        spread = std(name, parameter) * gains.get(name, 1.0)
        parameter.copy_(torch.normal(0.0, spread, parameter.shape, generator=generator))
        filled[name] = f"normal {spread:g}"
    return Provenance(initialiser, filled)
