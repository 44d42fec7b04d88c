"""Measures of importance: each score is what its formula gives by hand, and the formulas do not rank alike."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import pytest
import torch
from tiny_model import random_batch, tiny_model, with_shape
from torch import Tensor

from tinylm.batch import IGNORE, Batch
from tinylm.init.importance.magnitude import Magnitude
from tinylm.init.importance.scores import Pool
from tinylm.init.importance.taylor import Taylor
from tinylm.init.inherit import Inherit
from tinylm.init.initialiser import Parent, Sources, fill
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams

# No two of width, hidden, heads x head_dim and kv_heads x head_dim are equal: a wrong axis does not fit.
SHAPE = with_shape(width=10, heads=4, kv_heads=2, head_dim=4, hidden=7, vocab=13, tied=False)
HEADS = {0: (0, 1), 1: (2, 3)}  # of each key group
POOLS: dict[Pool, int] = {
    (None, "D"): SHAPE.width,
    **{(layer, "F"): SHAPE.hidden for layer in range(SHAPE.depth)},
    **{(layer, "H"): SHAPE.heads for layer in range(SHAPE.depth)},
    **{(layer, "G"): SHAPE.kv_heads for layer in range(SHAPE.depth)},
}


def parent() -> LanguageModel:
    """With biases and gains, all weights random, as after training."""
    model = tiny_model(SHAPE, attention=partial(MultiHead, bias="all")).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return model


def text(step: int) -> Batch:
    """Another batch each step; some of its targets do not count."""
    batch = random_batch(2, 9, vocab=SHAPE.vocab, seed=10 + step)
    targets_BT = batch.targets_BT.clone()
    targets_BT[0, : 2 + step] = IGNORE
    return Batch(batch.ids_BT, targets_BT)


def lines(pool: Pool, member: int) -> Iterator[tuple[str, int, int]]:
    """What goes with a member, written out: (parameter, axis, index along it)."""
    layer, letter = pool
    block, K = f"blocks.{layer}", SHAPE.head_dim
    if letter == "D":
        yield from (("embedding.weight", 1, member), ("norm.weight", 0, member), ("unembedding.weight", 1, member))
        for every in range(SHAPE.depth):
            block = f"blocks.{every}"
            for name in ("attention.q", "attention.k", "attention.v", "ffn.gate", "ffn.up"):
                yield f"{block}.{name}.weight", 1, member
            for name in ("attention.o.weight", "attention.o.bias", "ffn.down.weight"):
                yield f"{block}.{name}", 0, member
            yield f"{block}.attention_norm.weight", 0, member
            yield f"{block}.ffn_norm.weight", 0, member
    elif letter == "F":
        yield from ((f"{block}.ffn.gate.weight", 0, member), (f"{block}.ffn.up.weight", 0, member))
        yield f"{block}.ffn.down.weight", 1, member
    else:
        for index in range(member * K, member * K + K):
            for name in ("q",) if letter == "H" else ("k", "v"):
                yield f"{block}.attention.{name}.weight", 0, index
                yield f"{block}.attention.{name}.bias", 0, index
            if letter == "H":
                yield f"{block}.attention.o.weight", 1, index
        if letter == "G":
            for head in HEADS[member]:
                yield from lines((layer, "H"), head)


def weights(values: dict[str, Tensor], pool: Pool, member: int) -> Iterator[tuple[str, float]]:
    """(parameter, number) of each weight of a member, one by one."""
    for name, axis, index in lines(pool, member):
        for number in values[name].select(axis, index).flatten().tolist():
            yield name, number


def assert_scores(scores: dict[Pool, Tensor], expected: dict[Pool, list[float]]) -> None:
    assert scores.keys() == expected.keys()
    for pool, score_N in scores.items():
        assert score_N.tolist() == pytest.approx(expected[pool], rel=1e-4, abs=1e-6), pool


@pytest.mark.parametrize("power", [1, 2])
def test_a_magnitude_is_the_norm_of_all_weights_of_a_group(power: int) -> None:
    """Of its matrices, that is: the gains and biases here are as large as the weights, and do not count."""
    model = parent()
    values = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def norm(pool: Pool, member: int) -> float:
        found = [abs(number) for name, number in weights(values, pool, member) if values[name].dim() == 2]
        return sum(found) if power == 1 else sum(number * number for number in found) ** 0.5

    expected = {pool: [norm(pool, member) for member in range(size)] for pool, size in POOLS.items()}
    assert_scores(Magnitude(power)(model, POOLS, Streams(0), Sources()), expected)


def test_taylor_is_the_change_to_first_order_of_each_batch() -> None:
    """Three batches, whose changes differ in sign: the sizes are averaged, not the changes, nor those of each weight.

    Gains and biases count, for a group is set to zero with them.
    """
    model, batches = parent(), 3
    changes: dict[Pool, list[list[float]]] = {pool: [[] for _ in range(size)] for pool, size in POOLS.items()}
    parameters = dict(model.named_parameters())
    for step in range(batches):
        batch = text(step)
        said_BTV = model.head(model(batch).hidden_BTD).log_softmax(-1)
        right_BT = said_BTV.gather(2, batch.targets_BT.clamp(min=0)[..., None])[..., 0]
        gradients = torch.autograd.grad(-right_BT[batch.targets_BT != IGNORE].mean(), list(parameters.values()))
        products = {
            name: parameter.detach() * gradient
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
        }
        for pool, members in changes.items():
            for member, found in enumerate(members):
                found.append(sum(number for _, number in weights(products, pool, member)))
    for letter in "DFHG":  # else the mean of sizes could not be told from the size of the mean
        mixed = [min(found) < 0 < max(found) for pool in changes if pool[1] == letter for found in changes[pool]]
        assert any(mixed), letter
    expected = {pool: [sum(map(abs, found)) / batches for found in members] for pool, members in changes.items()}
    assert_scores(Taylor(batches)(model, POOLS, Streams(0), Sources(batches=text)), expected)


@pytest.mark.parametrize(("neurons", "best"), [("l1", "1"), ("l2", "0"), ("taylor", "2")])
def test_the_measures_keep_different_units(neurons: Literal["l1", "l2", "taylor"], best: str) -> None:
    """Unit 0 has one large weight, unit 1 many small ones, and both are never open; unit 2, the smallest, is."""
    shape = with_shape(hidden=3, depth=1)
    model, D = tiny_model(shape, std=0.1).eval(), shape.width
    with torch.no_grad():
        for unit, down_D in enumerate((torch.eye(D)[0] * 4.0, torch.full((D,), 0.5), torch.full((D,), 0.1))):
            model.get_parameter("blocks.0.ffn.gate.weight")[unit] = 0.05
            model.get_parameter("blocks.0.ffn.up.weight")[unit] = 0.05 if unit == 2 else 0.0
            model.get_parameter("blocks.0.ffn.down.weight")[:, unit] = down_D
    child = tiny_model(with_shape(hidden=1, depth=1), seed=7)
    sources = Sources(parent=Parent(model, "p"), batches=lambda step: random_batch(2, 9, seed=step))
    (said,) = fill(child, [Inherit(neurons=neurons)], Streams(3), sources)
    assert said.details["kept"] == {"blocks.0.hidden": best}
