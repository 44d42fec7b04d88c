"""Taking parts out of a model for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from tinylm.model.lm import LanguageModel


@contextmanager
def without_layer(model: LanguageModel, layer: int) -> Iterator[None]:
    """Within the ``with``, the stream passes ``layer`` by: the block before it hands on to the block after it.

    Meanwhile ``model.layers()`` is one shorter and the later blocks are numbered one less, in the names of their
    parameters too; ``model.shape`` stays. Afterwards the model is what it was, after an error too.

    Args:
        layer: the block's number, from 0.

    Raises:
        IndexError: there is no such layer.
    """
    whole = model.blocks
    if not 0 <= layer < len(whole):
        raise IndexError(f"layer {layer} of a model with {len(whole)}")
    model.blocks = nn.ModuleList(block for number, block in enumerate(whole) if number != layer)
    try:
        yield
    finally:
        model.blocks = whole
