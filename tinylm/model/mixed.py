"""One feed-forward in some layers, another in the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tinylm.errors import UserError
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN


def mixed(
    shape: Shape,
    layer: int,
    *,
    sparse: Callable[[Shape, int], FFN],
    dense: Callable[[Shape, int], FFN],
    layers: Literal["every_second", "last"] = "every_second",
    last: int = 1,
) -> FFN:
    """The feed-forward of a layer.

    Args:
        sparse: of the layers chosen.
        dense: of the others.
        layers: ``every_second`` (the second, the fourth, ..., as GLaM has it: Du et al. 2021, arXiv 2112.06905) or
            ``last`` (as in PanGu-Sigma: Ren et al. 2023, arXiv 2303.10845).
        last: how many the last are.

    Raises:
        UserError: more last layers than there are, or none.
    """
    if not 1 <= last <= shape.depth:
        raise UserError(f"model.ffn.last is {last}; the model has {shape.depth} layers")
    chosen = layer % 2 == 1 if layers == "every_second" else layer >= shape.depth - last
    return (sparse if chosen else dense)(shape, layer)
