"""Initialisation: paired by seed and name, complete, and as the layers declare."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from tiny_model import tiny_model, with_shape

from tinylm.init.fan_in import FanIn
from tinylm.init.initialiser import Provenance, Sources, fill
from tinylm.init.scratch import Scratch
from tinylm.model.attention.window import Window
from tinylm.model.ffn.gelu import GELU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.layer import Layer
from tinylm.model.position.learned import Learned
from tinylm.streams import Streams


@pytest.mark.parametrize(
    "other",
    [
        {"shape": with_shape(tied=False)},
        {"position": Learned},
        {"norm": Layer},
        {"attention": partial(Window, window=3)},
        {"ffn": GELU},
        {"shape": with_shape(vocab=99)},
    ],
)
def test_other_tensors_stay_bitwise_as_they_were(other: dict) -> None:
    before, after = tiny_model().state_dict(), tiny_model(**other).state_dict()
    shared = [name for name in before if name in after and before[name].shape == after[name].shape]
    assert len(shared) >= len(before) - 2 * 2 - 1  # all but what the variant drops or resizes
    for name in shared:
        assert torch.equal(before[name], after[name]), name


def test_every_seed_and_name_draws_its_own() -> None:
    first, second = tiny_model(seed=0).state_dict(), tiny_model(seed=1).state_dict()
    assert not torch.equal(first["embedding.weight"], second["embedding.weight"])
    assert not torch.equal(first["blocks.0.attention.q.weight"], first["blocks.1.attention.q.weight"])
    model = tiny_model(seed=1)
    fill(model, [Scratch(std=0.3)], Streams(1, {"init": 0}))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, first[name]), name


def test_scale_and_constants_are_as_declared() -> None:
    shape = with_shape(depth=8, width=128, hidden=256, head_dim=32)
    model = tiny_model(shape, std=0.02, norm=Layer)
    state = model.state_dict()
    assert state["blocks.3.ffn.up.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert state["blocks.3.ffn.down.weight"].std().item() == pytest.approx(0.005, rel=0.05)
    assert state["blocks.3.attention.o.weight"].std().item() == pytest.approx(0.005, rel=0.05)
    assert state["norm.weight"].eq(1).all()
    assert state["norm.bias"].eq(0).all()
    fill(model, [Scratch(residual="plain")], Streams(0))
    assert model.state_dict()["blocks.3.ffn.down.weight"].std().item() == pytest.approx(0.02, rel=0.05)


def test_fan_in_keeps_the_size_of_what_passes_through() -> None:
    shape = with_shape(depth=3, width=128, hidden=256, head_dim=32)
    model = tiny_model(shape)
    fill(model, [FanIn(gain=0.5)], Streams(0))
    state = model.state_dict()
    for name, fan_in in (("attention.q", 128), ("ffn.down", 256), ("attention.o", 128)):
        found = state[f"blocks.2.{name}.weight"].std().item()
        assert found == pytest.approx(0.5 / fan_in**0.5, rel=0.05), name
    assert state["embedding.weight"].std().item() == pytest.approx(0.5 / 128**0.5, rel=0.05)
    assert state["norm.weight"].eq(1).all()


class Some:
    """Sets tensors to a number, and may say otherwise."""

    def __init__(self, filled: list[str], said: list[str]) -> None:
        self.filled, self.said = filled, said

    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        with torch.no_grad():
            for name in self.filled:
                model.get_parameter(name).fill_(5.0)
        return Provenance("some", dict.fromkeys(self.said, "five"))


def test_a_chain_fills_the_rest() -> None:
    model, table = tiny_model(), "embedding.weight"
    chain = fill(model, [Some([table], [table]), Scratch()], Streams(0))
    assert model.embedding.weight.eq(5).all()
    assert chain[0].summary() == {"initialiser": "some", "tensors": {"five": 1}}
    assert table not in chain[1].filled
    assert sum(chain[1].summary()["tensors"].values()) == len(list(model.parameters())) - 1


@pytest.mark.parametrize(
    ("chain", "complaint"),
    [
        ([Scratch(), Some(["norm.weight"], ["norm.weight"])], "norm.weight was filled twice"),
        ([Some(["norm.weight"], ["norm.weight"])], "was never filled"),
        ([Some([], ["norm.weight"]), Scratch()], "norm.weight is not finite"),
        ([Some([], ["nose.weight"]), Scratch()], "nose.weight, which the model does not have"),
    ],
)
def test_a_gap_or_an_overlap_is_refused(chain: list, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fill(tiny_model(), chain, Streams(0))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scratch", {"_target_": "tinylm.init.scratch.Scratch", "std": 0.02, "residual": "depth"}),
        ("fan_in", {"_target_": "tinylm.init.fan_in.FanIn", "gain": 1.0}),
    ],
)
def test_yaml_states_the_defaults(name: str, expected: dict) -> None:
    node = yaml.safe_load((Path(__file__).parents[1] / f"conf/init/{name}.yaml").read_text(encoding="utf-8"))
    assert node == expected
