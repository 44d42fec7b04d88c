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
    layers: Literal["every_second", "last", "at"] = "every_second",
    last: int = 1,
    at: list[int] | None = None,
) -> FFN:
    """The feed-forward of a layer.

    Args:
        sparse: of the layers chosen.
        dense: of the others.
        layers: ``every_second`` (the second, the fourth, ..., as GLaM has it: Du et al. 2021, arXiv 2112.06905),
            ``last`` (as in PanGu-Sigma: Ren et al. 2023, arXiv 2303.10845) or ``at``.
        last: how many the last are.
        at: which layers, from 0; negative ones count from the last.

    Raises:
        UserError: layers that there are not, or none.
    """
    if not 1 <= last <= shape.depth:
        raise UserError(f"model.ffn.last is {last}; the model has {shape.depth} layers")
    wrong = [number for number in at or [] if not -shape.depth <= number < shape.depth]
    if wrong or (layers == "at" and not at):
        raise UserError(f"model.ffn.at={at}: name layers from 0 to {shape.depth - 1}, such as [{shape.depth // 2}]")
    chosen = {
        "every_second": layer % 2 == 1,
        "last": layer >= shape.depth - last,
        "at": layer in {number % shape.depth for number in at or []},
    }[layers]
    return (sparse if chosen else dense)(shape, layer)
