"""Inheritance: exact where nothing is lost, the right parts chosen, and every misfit refused in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import yaml
from tiny_model import SHAPE, random_batch, tiny_model, with_shape
from torch import Tensor

from tinylm.batch import Batch
from tinylm.errors import UserError
from tinylm.init.inherit import Inherit
from tinylm.init.initialiser import Parent, Provenance, Sources, fill
from tinylm.init.reading import next_token_loss
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.attention.window import Window
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.series import Series
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.layer import Layer
from tinylm.model.norm.rms import RMS
from tinylm.model.placement.deepnorm import DeepNorm
from tinylm.model.placement.post import Post
from tinylm.model.placement.sandwich import Sandwich
from tinylm.model.placement.subln import SubLN
from tinylm.model.position.alibi import ALiBi
from tinylm.model.position.learned import Learned
from tinylm.model.position.rotary import Rotary
from tinylm.model.shape import Shape
from tinylm.model.shortcut.augmented import Augmented
from tinylm.streams import Streams
from tinylm.train.descent import descend

NEURONS = ["random", "l1", "l2", "taylor", "mask"]


class Tune:
    """A parent's tune split, told by the parent itself: nothing that it uses can be spared."""

    def __init__(self, parent: LanguageModel) -> None:
        self.texts, generator = [], torch.Generator().manual_seed(0)
        for seed in range(4):
            batch = random_batch(8, 20, vocab=parent.shape.vocab, seed=100 + seed)
            said = logits(parent, batch).softmax(-1).flatten(0, 1)
            self.texts.append(Batch(batch.ids_BT, torch.multinomial(said, 1, generator=generator).view(8, 20)))

    def batches(self, step: int) -> Batch:
        return self.texts[step % len(self.texts)]

    @torch.no_grad()
    def loss(self, model: LanguageModel) -> float:
        return sum(next_token_loss(model, batch).item() for batch in self.texts) / len(self.texts)


def trained(shape: Shape = SHAPE, std: float = 0.1, **slots: Any) -> LanguageModel:
    """A stand-in for a trained parent; at the default its logits are of order 1."""
    return tiny_model(shape, seed=1, std=std, **slots).eval()


def assert_same_logits(child: LanguageModel, parent: LanguageModel, error: float) -> None:
    """Equal up to ``error``, or that share of the largest where these are larger or smaller than 1."""
    expected = logits(parent)
    torch.testing.assert_close(logits(child), expected, rtol=0, atol=error * expected.abs().max().item())


def inherit(
    parent: LanguageModel, shape: Shape, ids_V: Tensor | None = None, slots: Any = None, **options: Any
) -> tuple[LanguageModel, Provenance]:
    """A child of ``parent``, and what was said of it."""
    child, tune = tiny_model(shape, seed=7, **(slots or {})), Tune(parent)
    sources = Sources(parent=Parent(parent, "p", ids_V), loss=tune.loss, batches=tune.batches, fit=descend)
    said = fill(child, [Inherit(**options)], Streams(3), sources)
    return child.eval(), said[0]


@torch.no_grad()
def logits(model: LanguageModel, batch: Batch | None = None) -> Tensor:
    batch = batch or random_batch(3, 20)
    return model.head(model(batch).hidden_BTD)


@torch.no_grad()
def scaled(model: LanguageModel, letter: str, members: list[int], factor: float, layer: int = 0) -> LanguageModel:
    """Multiplies members' weights: hidden units and heads of one layer, channels of all."""
    K, shape = model.shape.head_dim, model.shape
    for name, letters in model.axes().items():
        if letter != "D" and not name.startswith(f"blocks.{layer}."):
            continue
        if model.roles()[name] == "norm":
            continue
        for axis, found in enumerate(letters):
            size, wanted = {"H": K, "G": K}.get(found, 1), {"G": "HG"}.get(letter, letter)
            if found in wanted:
                each = size if found == letter else K * (shape.heads // shape.kv_heads)
                lines = [member * each + n for member in members for n in range(each)]
                view = model.get_parameter(name).transpose(0, axis)
                view[lines] = view[lines] * factor
    return model


@pytest.mark.parametrize(
    "slots",
    [
        {},
        {"norm": Layer, "position": Learned, "ffn": GELU},
        {"position": ALiBi, "attention": partial(Window, window=5)},
        {"ffn": Series, "shortcut": Augmented, "placement": SubLN},
        {"placement": DeepNorm},
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_full_size_inheritance_gives_the_parents_logits(slots: dict[str, Any], tied: bool) -> None:
    parent = trained(with_shape(tied=tied), **slots)
    child, said = inherit(parent, parent.shape, slots=slots)
    assert torch.equal(logits(child), logits(parent))
    assert said.flops == 0


def test_a_tied_parent_gives_its_table_as_a_head() -> None:
    parent = trained()
    child, said = inherit(parent, with_shape(tied=False))
    assert torch.equal(logits(child), logits(parent))
    assert said.details["tensors"]["unembedding.weight"]["from"] == "embedding.weight"
    narrow, _ = inherit(scaled(parent, "D", [3, 9], 0.0), with_shape(tied=False, width=30))
    assert_same_logits(narrow, parent, 1e-5)


@pytest.mark.parametrize("heads", [(8, 8), (8, 4), (8, 2)], ids=str)
def test_removing_zero_heads_and_units_changes_nothing(heads: tuple[int, int]) -> None:
    shape = with_shape(heads=heads[0], kv_heads=heads[1])
    parent = trained(shape)
    scaled(parent, "F", [0, 5, 40, 47], 0.0, layer=0)
    scaled(parent, "F", [1, 2, 3, 4], 0.0, layer=1)
    fewer = with_shape(hidden=44, heads=heads[0] // 2, kv_heads=max(1, heads[1] // 2))
    scaled(parent, "G", list(range(0, heads[1], 2)), 0.0, layer=0)
    scaled(parent, "G", list(range(heads[1] // 2)), 0.0, layer=1)
    child, said = inherit(parent, fewer, neurons="l2")
    assert_same_logits(child, parent, 1e-6)
    assert said.details["kept"]["blocks.1.hidden"] == "0,5-47"


def test_heads_of_a_group_go_one_by_one() -> None:
    parent = trained(with_shape(heads=8, kv_heads=2), std=0.3)
    scaled(scaled(parent, "H", [0, 6], 0.0, layer=0), "H", [3, 4], 0.0, layer=1)
    for neurons in ("l1", "taylor", "mask"):
        child, said = inherit(parent, with_shape(heads=6, kv_heads=2), neurons=neurons, steps=60, rate=0.1)
        assert_same_logits(child, parent, 1e-6)
        assert said.details["kept"]["blocks.0.heads"] == "1-5,7"
        assert "blocks.0.key_groups" not in said.details["kept"]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("size", [1.0, 1e-3])
@pytest.mark.parametrize("position", [None, Learned])
def test_removing_zero_channels_needs_the_rescale(tied: bool, size: float, position: Any) -> None:
    slots: dict[str, Any] = {"ffn": Series, **({"position": position} if position else {})}
    shape, narrow = with_shape(tied=tied), with_shape(tied=tied, width=24)
    parent = scaled(trained(shape, **slots), "D", [0, 3, 4, 10, 20, 21, 30, 31], 0.0)
    with torch.no_grad():  # a small stream, where epsilon counts
        for name in ["embedding.weight", *parent.outputs(), *(["position.table.weight"] if position else [])]:
            parent.get_parameter(name).mul_(size)
    child, said = inherit(parent, narrow, neurons="l1", slots=slots)
    spread = logits(parent).abs().max().item()
    assert_same_logits(child, parent, 1e-5)
    assert said.details["kept"]["channels"] == "1-2,5-9,11-19,22-29"
    plain, _ = inherit(parent, narrow, neurons="l1", slots=slots, rescale=False)
    assert (logits(plain) - logits(parent)).abs().max() > 1e-3 * spread


@pytest.mark.parametrize("neurons", NEURONS[1:])
def test_planted_dead_members_go_first(neurons: str) -> None:
    """All three kinds at once, under a budget that keeps exactly the live."""
    parent = trained(with_shape(heads=4, kv_heads=4), std=0.3)
    scaled(parent, "D", [2, 17, 31], 0.0)
    scaled(parent, "F", [0, 11, 30, 31, 32, 33, 34, 35], 0.0, layer=0)
    scaled(parent, "F", [40, 41, 42, 43, 44, 45, 46, 47], 0.0, layer=1)
    scaled(scaled(parent, "G", [1], 0.0, layer=0), "G", [3], 0.0, layer=1)
    narrow = with_shape(width=29, hidden=40, heads=3, kv_heads=3)
    before = logits(parent)
    child, said = inherit(parent, narrow, neurons=neurons, steps=200, rate=0.05)
    assert said.details["kept"] == {
        "channels": "0-1,3-16,18-30",
        "blocks.0.hidden": "1-10,12-29,36-47",
        "blocks.1.hidden": "0-39",
        "blocks.0.heads": "0,2-3",
        "blocks.1.heads": "0-2",
        "blocks.0.key_groups": "0,2-3",
        "blocks.1.key_groups": "0-2",
    }
    assert_same_logits(child, parent, 1e-5)
    assert torch.equal(logits(parent), before)
    assert all(parameter.requires_grad for parameter in parent.parameters())
    assert (said.flops > 0) == (neurons in ("taylor", "mask"))


def test_a_mask_keeps_to_its_budget_where_that_costs_loss() -> None:
    """A weak penalty leaves all channels open, and their logits then rank nothing."""
    parent = trained(with_shape(heads=4, kv_heads=4), std=0.3)
    narrow = with_shape(width=16, hidden=24, heads=2, kv_heads=2)
    _, said = inherit(parent, narrow, neurons="mask", steps=200, rate=0.05)
    assert set(said.details["mask"]) >= {"channels", "blocks.0.hidden", "blocks.1.key_groups"}
    for pool, told in said.details["mask"].items():
        assert told["open"] == pytest.approx(told["budget"], rel=0.08), pool


def test_random_draws_follow_the_stream() -> None:
    parent = trained()
    kept = [inherit(parent, with_shape(hidden=24), neurons="random")[1].details["kept"] for _ in range(2)]
    assert kept[0] == kept[1]
    assert kept[0]["blocks.0.hidden"] != kept[0]["blocks.1.hidden"]


def test_kept_ids_of_a_pruned_vocabulary_have_the_parents_logits() -> None:
    ids_V = torch.tensor([4, 0, 60, 7, 8, 31, 30])
    for tied in (True, False):
        parent = trained(with_shape(tied=tied))
        child, _ = inherit(parent, with_shape(tied=tied, vocab=7), ids_V=ids_V)
        batch = random_batch(2, 20, vocab=7)
        theirs = logits(parent, Batch(ids_V[batch.ids_BT], batch.targets_BT))
        torch.testing.assert_close(logits(child, batch), theirs[..., ids_V], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [0, 1, 5]),
        ({"head": 1}, [0, 4, 5]),
        ({"tail": 0}, [0, 1, 2]),
        ({"layers": "uniform"}, [0, 2, 5]),
        ({"layers": "middle"}, [1, 2, 3]),
        ({"layers": "importance"}, [1, 3, 4]),
    ],
)
def test_layers_are_chosen_as_the_rule_says(options: dict[str, Any], kept: list[int]) -> None:
    """Layers 0, 2 and 5 are muted: skipping them costs nothing, and the three others give all the logits."""
    parent = trained(with_shape(depth=6))
    with torch.no_grad():
        for layer in (0, 2, 5):
            for name in ("attention.o.weight", "ffn.down.weight"):
                parent.get_parameter(f"blocks.{layer}.{name}").zero_()
    child, said = inherit(parent, with_shape(depth=3), **options)
    assert said.details["layers"] == {str(place): layer for place, layer in enumerate(kept)}
    exact = torch.equal(logits(child), logits(parent))
    assert exact == (options.get("layers") == "importance")
    if exact:
        losses = said.details["layer_losses"]
        assert [without == losses["whole"] for without in losses["without"]] == [True, False, True, False, False, True]
        assert said.flops > 0


def test_neurons_are_ranked_without_the_layers_that_go() -> None:
    """A channel that only a layer left out uses is the first to go."""
    parent = scaled(trained(with_shape(depth=3)), "D", [5], 0.0)
    with torch.no_grad():
        parent.get_parameter("blocks.1.ffn.down.weight")[5] = 9.0
    assert inherit(parent, with_shape(depth=2, width=31), neurons="l1")[1].details["kept"]["channels"] == "0-4,6-31"
    whole = inherit(parent, with_shape(depth=3, width=31), neurons="l1")[1].details["kept"]["channels"]
    assert whole != "0-4,6-31"


def test_provenance_tells_the_origin_of_every_tensor() -> None:
    parent = trained(with_shape(depth=4))
    child, said = inherit(parent, with_shape(width=24, hidden=40, heads=2, kv_heads=1))
    names = [name for name, _ in child.named_parameters()]
    assert list(said.details["tensors"]) == names
    assert json.loads(json.dumps(said.details))["layers"] == {"0": 0, "1": 3}
    down = said.details["tensors"]["blocks.1.ffn.down.weight"]
    assert down == {"from": "blocks.3.ffn.down.weight", "kept": ["channels", "blocks.1.hidden"]}
    assert {entry for told in said.details["tensors"].values() for entry in told["kept"]} == said.details["kept"].keys()
    rows = [n for span in said.details["kept"]["blocks.1.hidden"].split(",") for n in _numbers(span)]
    columns = [n for span in said.details["kept"]["channels"].split(",") for n in _numbers(span)]
    expected = parent.get_parameter("blocks.3.ffn.up.weight")[rows][:, columns]
    assert torch.equal(child.get_parameter("blocks.1.ffn.up.weight"), expected)


def _numbers(span: str) -> range:
    first, _, last = span.partition("-")
    return range(int(first), int(last or first) + 1)


def test_a_part_that_the_parent_lacks_is_drawn_or_refused() -> None:
    parent, slots = trained(), {"shortcut": Augmented}
    with pytest.raises(UserError, match=r"nothing to fill blocks\.0\.shortcut\.down\.weight from"):
        inherit(parent, SHAPE, slots=slots)
    child, said = inherit(parent, SHAPE, slots=slots, rest="scratch")
    assert torch.equal(logits(child), logits(parent))  # a shortcut starts at zero
    assert said.filled["blocks.0.shortcut.down.weight"] == "normal 0.02"
    assert "blocks.0.shortcut.down.weight" not in said.details["tensors"]
    with pytest.raises(UserError, match=r"has blocks\.0\.shortcut and the child has no such part"):
        inherit(child, SHAPE)


def test_a_deeper_child_draws_the_layers_between() -> None:
    parent = trained()
    with pytest.raises(UserError, match="rest=scratch"):
        inherit(parent, with_shape(depth=5))
    child, said = inherit(parent, with_shape(depth=5), rest="scratch")
    assert said.details["layers"] == {"0": 0, "4": 1}
    assert torch.equal(child.get_parameter("blocks.4.ffn.up.weight"), parent.get_parameter("blocks.1.ffn.up.weight"))
    assert said.filled["blocks.2.ffn.up.weight"] == "normal 0.02"
    assert sum(kind == "parent p" for kind in said.filled.values()) == len(list(parent.parameters()))


@pytest.mark.parametrize(
    ("shape", "slots", "options", "complaint"),
    [
        (with_shape(depth=3), {}, {}, "depth 2 < 3"),
        (with_shape(width=40), {}, {}, "width 32 < 40"),
        (with_shape(hidden=56), {}, {}, "hidden 48 < 56"),
        (with_shape(heads=6, kv_heads=2), {}, {}, "heads 4 < 6"),
        (with_shape(kv_heads=4), {}, {}, "kv_heads 2 < 4"),
        (with_shape(heads=4, kv_heads=1), {}, {}, "serves 2 heads and the child's 4"),
        (with_shape(head_dim=4), {}, {}, "shape.head_dim=8"),
        (with_shape(vocab=50), {}, {}, "no map leads"),
        (SHAPE, {"ffn": GELU}, {}, "blocks.0.ffn is GELU in the child and SwiGLU"),
        (SHAPE, {"attention": partial(Window, window=4)}, {}, "blocks.0.attention is Window"),
        (SHAPE, {"norm": partial(RMS, epsilon=1e-3)}, {}, "epsilon=0.001"),
        (SHAPE, {"position": Learned}, {}, "position is Learned"),
        (SHAPE, {"placement": Sandwich}, {}, "model/placement is Sandwich"),
        (with_shape(depth=1), {}, {"head": 2, "tail": 2}, "leave one of them null"),
    ],
)
def test_a_parent_that_does_not_fit_is_refused(
    shape: Shape, slots: dict[str, Any], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        inherit(trained(), shape, slots=slots, **options)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_cut_is_refused() -> None:
    refused: list[tuple[dict[str, Any], Shape, Shape, str]] = [
        ({"norm": Layer}, SHAPE, with_shape(width=24), "whose mean would lack the channels"),
        ({"placement": Post}, SHAPE, with_shape(width=24), "init.rescale=false"),
        ({"placement": SubLN}, SHAPE, with_shape(hidden=40), "o.norm.weight cannot be cut"),
        ({"position": ALiBi}, SHAPE, with_shape(heads=2, kv_heads=1), "position has heads=2 in the child and 4"),
        ({"position": Learned}, SHAPE, with_shape(context=30), "24 places and the child 30"),
        ({"ffn": Undeclared}, SHAPE, with_shape(hidden=24), "up.weight cannot be cut, its axes are not declared"),
        ({}, with_shape(tied=False), SHAPE, "a head of its own"),
    ]
    for slots, shape, smaller, complaint in refused:
        with pytest.raises(UserError, match=complaint):
            inherit(trained(shape, **slots), smaller, slots=slots)
    undeclared = tiny_model(seed=1, ffn=Undeclared)
    assert torch.equal(logits(inherit(undeclared, SHAPE, slots={"ffn": Undeclared})[0]), logits(undeclared))


class Undeclared(GELU):
    """A part that says nothing of its axes."""

    axes: ClassVar[Mapping[str, str]] = {}


def test_nothing_of_a_parent_is_dropped_in_silence() -> None:
    """Sizes, classes and plain options agree; what the parent has beside them would be lost."""
    dropped: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"attention": partial(MultiHead, bias="qkv")}, {}, r"has blocks\.0\.attention\.q\.bias"),
        ({"ffn": partial(GELU, bias=True)}, {"ffn": GELU}, r"has blocks\.0\.ffn\.up\.bias"),
        ({"ffn": partial(Series, terms=3)}, {"ffn": Series}, r"has blocks\.0\.ffn\.scale\.2"),
        ({"ffn": partial(Series, kernel=2)}, {"ffn": Series}, r"has blocks\.0\.ffn\.back\.0"),
        ({"placement": partial(DeepNorm, alpha=3.0)}, {"placement": DeepNorm}, r"set model\.placement\.alpha=3\.0"),
    ]
    for theirs, ours, complaint in dropped:
        for rest in ("refuse", "scratch"):
            with pytest.raises(UserError, match=complaint):
                inherit(trained(**theirs), SHAPE, slots=ours, rest=rest)
    deep = trained(with_shape(depth=4), placement=SubLN)  # its only option scales draws, and follows the depth
    inherit(deep, SHAPE, slots={"placement": SubLN})


def test_what_would_not_fit_is_refused_before_either_is_trained() -> None:
    narrower = (with_shape(width=128), with_shape(width=64))
    pairs: list[tuple[dict[str, Any], Shape, Shape, str]] = [
        ({"shortcut": partial(Augmented, ratio=16.0)}, *narrower, r"down\.weight is \[4, 64\] .* \[8, 64\]"),
        ({"position": Learned}, SHAPE, with_shape(context=30), "24 places and the child 30"),
    ]
    for slots, theirs, ours, complaint in pairs:
        parent, child = (untrained(shape, **slots) for shape in (theirs, ours))
        with pytest.raises(UserError, match=complaint):
            Inherit().check(child, parent, "p")
    vocabulary = [untrained(with_shape(vocab=vocab, tied=False)) for vocab in (61, 40)]  # not known yet for sure
    Inherit().check(vocabulary[1], vocabulary[0], "p")


def untrained(shape: Shape, **slots: Any) -> LanguageModel:
    with torch.device("meta"):
        return LanguageModel(shape, **{"attention": MultiHead, "ffn": SwiGLU, "norm": RMS, "position": Rotary, **slots})


def test_what_is_needed_and_not_given_is_refused() -> None:
    with pytest.raises(UserError, match="has no parent"):
        fill(tiny_model(), [Inherit()], Streams(0))
    parent = Sources(parent=Parent(tiny_model(with_shape(depth=3)), "p"))
    for options in ({"layers": "importance"}, {"neurons": "taylor"}, {"neurons": "mask"}):
        with pytest.raises(UserError, match="tune split"):
            fill(tiny_model(with_shape(hidden=40)), [Inherit(**options)], Streams(0), parent)


def test_yaml_states_the_defaults() -> None:
    import inspect

    node = yaml.safe_load((Path(__file__).parents[1] / "conf/init/inherit.yaml").read_text(encoding="utf-8"))
    assert node.pop("_target_") == "tinylm.init.inherit.Inherit"
    node.pop("parent")
    defaults = {name: option.default for name, option in inspect.signature(Inherit).parameters.items()}
    defaults.pop("parent")
    assert node == defaults
