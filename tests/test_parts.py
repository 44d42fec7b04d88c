"""The parts of a block: series activation, augmented shortcut, placements; each against its definition."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from tiny_model import SHAPE, random_batch, tiny_model, with_shape
from torch import nn
from torch.nn import functional

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.ffn.series import Series
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.placement.deepnorm import DeepNorm
from tinylm.model.placement.post import Post
from tinylm.model.placement.pre import Pre
from tinylm.model.placement.sandwich import Sandwich
from tinylm.model.placement.subln import SubLN
from tinylm.model.shortcut.augmented import Augmented

PACKED = torch.tensor([[0] * 7 + [1] * 12 + [2], [3] * 1 + [4] * 15 + [9] * 4])


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    "slots",
    [
        {"ffn": partial(Series, terms=1)},
        {"ffn": partial(Series, terms=3)},
        {"ffn": partial(Series, terms=1, kernel=4)},
        {"ffn": partial(Series, terms=4, kernel=2), "shortcut": partial(Augmented, number=2)},
        {"placement": Pre},
    ],
    ids=["one term", "three terms", "kernel", "all", "pre"],
)
def test_a_new_part_starts_as_the_plain_model_bitwise(slots: dict, autocast: bool) -> None:
    plain, other, batch = tiny_model(), tiny_model(**slots), random_batch(2, 20, document_BT=PACKED)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert torch.equal(plain(batch).hidden_BTD, other(batch).hidden_BTD)


def test_one_term_has_the_parameters_of_swiglu() -> None:
    assert list(tiny_model(ffn=partial(Series, terms=1)).state_dict()) == list(tiny_model().state_dict())


def shaken(module: nn.Module) -> nn.Module:
    """The module with random numbers."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module


def test_series_follows_its_definition() -> None:
    layer, batch = shaken(Series(SHAPE, 0, terms=3, kernel=3)), random_batch(2, 20, document_BT=PACKED)
    x_BTD = torch.randn(2, 20, SHAPE.width, generator=torch.Generator().manual_seed(2))
    gate_BTF = layer.gate(x_BTD)
    slopes, offsets = (
        [vector / speed for vector, speed in zip(v, (1, 1, 2), strict=True)] for v in (layer.scale, layer.bias)
    )
    opened_BTF = sum(functional.silu(a * gate_BTF + b) for a, b in zip(slopes, offsets, strict=True))
    mixed_BTF = opened_BTF.clone()
    for row in range(2):
        for t in range(20):
            for back in (1, 2):
                if t - back >= 0 and PACKED[row, t - back] == PACKED[row, t]:
                    mixed_BTF[row, t] += layer.back[back - 1] * opened_BTF[row, t - back]
    y_BTD, _ = layer(x_BTD, Context.of(batch))
    torch.testing.assert_close(y_BTD, layer.down(mixed_BTF * layer.up(x_BTD)))


def test_terms_learn_apart() -> None:
    """Of terms that start alike, three would else be two for ever, and n = 3 equal to n = 2 by construction."""
    model = tiny_model(ffn=partial(Series, terms=3))
    batch = random_batch(4, 20)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(5):
        optimiser.zero_grad()
        logits_BTV = model.head(model(batch).hidden_BTD)
        functional.cross_entropy(logits_BTV.flatten(0, 1), batch.targets_BT.flatten()).backward()
        optimiser.step()
    second_F, third_F = model.get_parameter("blocks.1.ffn.scale.1"), model.get_parameter("blocks.1.ffn.scale.2") / 2
    assert second_F.abs().median() > 0.03
    assert (second_F - third_F).abs().median() > 0.01


def test_several_shortcuts_are_one_wider() -> None:
    x_BTD = torch.randn(2, 5, SHAPE.width)
    both = shaken(Augmented(SHAPE, 0, ratio=8.0, number=2))
    assert both.down.weight.shape == (8, 32)
    expected_BTD = torch.zeros_like(x_BTD)
    for rows in (slice(0, 4), slice(4, 8)):
        expected_BTD += functional.gelu(x_BTD @ both.down.weight[rows].T) @ both.up.weight[:, rows].T
    y_BTD, _ = both(x_BTD, Context.of(random_batch(2, 5)))
    torch.testing.assert_close(y_BTD, expected_BTD)
    assert Augmented(SHAPE, 0, ratio=1000.0).down.weight.shape == (1, 32)


@pytest.mark.parametrize(
    ("made", "culprit"),
    [
        (partial(Series, terms=0), "model.ffn.terms"),
        (partial(Series, kernel=1), "model.ffn.kernel"),
        (partial(Augmented, ratio=0.0), "model.shortcut.ratio"),
        (partial(Augmented, number=0), "model.shortcut.number"),
    ],
)
def test_wrong_options_are_refused(made: partial, culprit: str) -> None:
    with pytest.raises(UserError, match=culprit):
        made(SHAPE, 0)


def by_hand(model: LanguageModel, placement: str, x_BTD: torch.Tensor, context: Context) -> torch.Tensor:
    """A block's output from its layers and the placement's formula."""
    block = model.layers()[1]
    for name, layer in (("attention", block.attention), ("ffn", block.ffn)):
        norm = block.get_submodule(f"{name}_norm")

        def f(z_BTD: torch.Tensor, layer: nn.Module = layer) -> torch.Tensor:
            y_BTD: torch.Tensor = layer(z_BTD, context)[0]
            return y_BTD

        if placement == "pre":
            x_BTD = x_BTD + f(norm(x_BTD))
        elif placement == "post":
            x_BTD = norm(x_BTD + f(x_BTD))
        elif placement == "sandwich":
            x_BTD = x_BTD + block.get_submodule(f"{name}_exit_norm")(f(norm(x_BTD)))
        else:
            x_BTD = norm(4**0.25 * x_BTD + f(x_BTD))
    return x_BTD


@pytest.mark.parametrize(
    ("name", "placement"), [("pre", Pre), ("post", Post), ("sandwich", Sandwich), ("deepnorm", DeepNorm)]
)
def test_placements_follow_their_definition(name: str, placement: type) -> None:
    model, batch = tiny_model(placement=placement), random_batch(2, 20)
    shaken(model)
    x_BTD = torch.randn(2, 20, SHAPE.width)
    found_BTD, _ = model.layers()[1](x_BTD, Context.of(batch))
    torch.testing.assert_close(found_BTD, by_hand(model, name, x_BTD, Context.of(batch)))
    assert (model.norm is None) == (name in ("post", "deepnorm"))


def test_subln_normalises_what_the_output_projections_read() -> None:
    model, batch = tiny_model(placement=SubLN), random_batch(2, 20)
    context, x_BTD = Context.of(batch), torch.randn(2, 20, SHAPE.width)
    ffn, attention = model.layers()[0].ffn, model.layers()[0].attention
    read_BTF = functional.silu(ffn.gate(x_BTD)) * ffn.up(x_BTD)
    unit_BTF = read_BTF / (read_BTF.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(ffn(x_BTD, context)[0], unit_BTF @ ffn.down.weight.T)
    before = attention(x_BTD, context)[0]
    with torch.no_grad():
        attention.v.weight.mul_(7)
    torch.testing.assert_close(attention(x_BTD, context)[0], before, rtol=1e-4, atol=1e-4)
    names = {name for name, role in model.roles().items() if role == "norm"}
    assert {"blocks.0.attention.o.norm.weight", "blocks.1.ffn.down.norm.weight"} <= names
    assert model.starts()["blocks.0.ffn.down.norm.weight"] == 1.0
    assert model.outputs() == tiny_model().outputs()

    class Bare(SwiGLU):
        outputs = ("mixture",)

    with pytest.raises(UserError, match="Bare's mixture, which is no linear layer"):
        tiny_model(ffn=Bare, placement=SubLN)


def test_post_norm_streams_have_unit_rows_and_deepnorm_of_weight_one_is_post() -> None:
    batch, post = random_batch(2, 20), tiny_model(placement=Post)
    rows_BT = post(batch).hidden_BTD.square().mean(-1)
    torch.testing.assert_close(rows_BT, torch.ones(2, 20), rtol=1e-3, atol=1e-3)
    same = tiny_model(placement=partial(DeepNorm, alpha=1.0, beta=1.0))
    assert torch.equal(same(batch).hidden_BTD, post(batch).hidden_BTD)
    assert same.state_dict().keys() == post.state_dict().keys()


@pytest.mark.parametrize(
    ("placement", "gain"), [(DeepNorm, (8 * 3) ** -0.25), (SubLN, math.sqrt(math.log(2 * 3))), (Post, 1.0)]
)
def test_the_start_is_scaled_where_the_placement_says(placement: type, gain: float) -> None:
    plain, other = tiny_model(with_shape(depth=3)), tiny_model(with_shape(depth=3), placement=placement)
    for name, tensor in plain.state_dict().items():
        if name == "norm.weight" or tensor.dim() != 2:
            continue
        scaled = name.split(".", 2)[-1] in ("attention.v.weight", "attention.o.weight") or ".ffn." in name
        expected = tensor * gain if scaled else tensor
        torch.testing.assert_close(other.state_dict()[name], expected, rtol=1e-5, atol=1e-7)
