"""A model without one of its layers, and whole again."""

from __future__ import annotations

import pytest
import torch
from tiny_model import random_batch, tiny_model, with_shape

from tinylm.model.surgery import without_layer


@pytest.mark.parametrize("layer", range(3))
def test_without_a_layer_is_the_model_made_of_the_others(layer: int) -> None:
    model, batch = tiny_model(with_shape(depth=3)), random_batch(2, 20)
    names, whole = list(model.state_dict()), model(batch).hidden_BTD
    others = [number for number in range(3) if number != layer]
    smaller = tiny_model(with_shape(depth=2))
    smaller.load_state_dict(
        {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("blocks.")}
        | {
            f"blocks.{place}.{name}": tensor
            for place, number in enumerate(others)
            for name, tensor in model.layers()[number].state_dict().items()
        }
    )
    with without_layer(model, layer):
        assert torch.equal(model(batch).hidden_BTD, smaller(batch).hidden_BTD)
    assert torch.equal(model(batch).hidden_BTD, whole)
    assert list(model.state_dict()) == names


def test_the_layer_is_back_after_an_error() -> None:
    model = tiny_model()
    with pytest.raises(RuntimeError, match="within"), without_layer(model, 0):
        raise RuntimeError("within")
    assert len(model.layers()) == 2
    for wrong in (-1, 2):
        with pytest.raises(IndexError, match="of a model with 2"), without_layer(model, wrong):
            pass
