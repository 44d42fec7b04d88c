"""What every variant of a model slot keeps to; variants are found by listing the folders."""

from __future__ import annotations

import importlib
import inspect
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_model import SHAPE, random_batch, tiny_model, with_shape
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from tinylm.batch import Batch
from tinylm.model import accounting, routing
from tinylm.model.lm import LanguageModel
from tinylm.model.slots import FFN, Attention, Norm, Placement, Position, Shortcut

HOUSE = Path(__file__).parents[1]
SLOTS = {
    "attention": Attention,
    "ffn": FFN,
    "norm": Norm,
    "placement": Placement,
    "position": Position,
    "shortcut": Shortcut,
}
HANDED = {"shape", "layer"}


def named_in(folder: Path, suffix: str) -> list[tuple[str, str]]:
    paths = [(slot, path) for slot in SLOTS for path in sorted((folder / slot).glob(f"*{suffix}"))]
    return [(slot, path.stem) for slot, path in paths if path.stem != "__init__"]


@cache
def node_of(slot: str, name: str) -> dict[str, Any]:
    """What the YAML says; nothing, where the option is the neutral one."""
    text = (HOUSE / "conf" / "model" / slot / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text) or {}


OPTIONS = named_in(HOUSE / "conf" / "model", ".yaml")
VARIANTS = [
    (slot, name)
    for slot, name in OPTIONS
    if str(node_of(slot, name).get("_target_", "")).startswith(f"tinylm.model.{slot}.")
]
CASES: list[tuple[str, str, dict[str, Any]]] = [
    *((slot, name, {}) for slot, name in VARIANTS),
    ("ffn", "series", {"terms": 3, "kernel": 3}),
    ("ffn", "moe", {"experts": 4, "k": 1, "unit": "gelu", "hidden": 16, "shared": True, "z_loss": 0.001}),
    ("ffn", "moe", {"experts": 4, "k": 3, "capacity": 0.5, "balance": None}),
    ("ffn", "expert_choice", {"experts": 4, "capacity": 1, "unit": "relu", "hidden": 16}),
    ("ffn", "frozen_centroid", {"experts": 4, "unit": "gelu"}),
    ("ffn", "random_routed", {"experts": 3, "unit": "gelu"}),
    ("ffn", "moefied", {"experts": 4, "k": 3, "router": "oracle", "unit": "gelu"}),
    ("ffn", "moefied", {"experts": 4, "k": 1, "router": "similarity"}),
    ("ffn", "product_key", {"keys": 8, "read": 4, "normalise": "layer", "start": "zero", "dense": "gelu"}),
    ("ffn", "product_key", {"keys": 8, "read": 8, "heads": 1, "normalise": None}),
]
each_variant = pytest.mark.parametrize(("slot", "name"), VARIANTS, ids=[f"{slot}-{name}" for slot, name in VARIANTS])
each_case = pytest.mark.parametrize(
    ("slot", "name", "other"),
    CASES,
    ids=["-".join([slot, name, *(f"{key}={value}" for key, value in other.items())]) for slot, name, other in CASES],
)


@cache
def option(slot: str, name: str) -> tuple[type, dict[str, Any]]:
    """The class and the options that the YAML names."""
    node = dict(node_of(slot, name))
    module, _, attribute = node.pop("_target_").rpartition(".")
    assert module == f"tinylm.model.{slot}.{name}"
    assert node.pop("_partial_") is True
    return getattr(importlib.import_module(module), attribute), node


def build(slot: str, name: str, other: dict[str, Any], **shape: Any) -> LanguageModel:
    """A model in which no parameter stands at its constant start, where a part might be as if it were not there."""
    variant, options = option(slot, name)
    model = tiny_model(with_shape(**shape), **{slot: partial(variant, **{**options, **other})})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for constant in model.starts():
            parameter = model.get_parameter(constant)
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


def loss(model: LanguageModel, batch: Batch) -> torch.Tensor:
    output = model(
        batch,
        read=lambda head, hidden_BTD: functional.cross_entropy(
            head(hidden_BTD).flatten(0, 1).float(), batch.targets_BT.flatten()
        ),
    )
    return output.read + sum(output.side.losses.values())


def test_every_class_has_its_option_and_every_option_its_class() -> None:
    classes = named_in(HOUSE / "tinylm" / "model", ".py")
    assert set(VARIANTS) <= set(classes) <= set(OPTIONS)
    assert set(OPTIONS) - set(VARIANTS) == {
        *(("placement", "pre"), ("shortcut", "none")),  # the neutral ones
        ("ffn", "mixed"),  # two of them
    }


@each_variant
def test_yaml_states_every_option(slot: str, name: str) -> None:
    variant, options = option(slot, name)
    assert issubclass(variant, SLOTS[slot])
    assert variant.__doc__
    parameters = {key: value for key, value in inspect.signature(variant).parameters.items() if key not in HANDED}
    assert {key: value.default for key, value in parameters.items()} == options


@each_case
def test_parameters_are_declared(slot: str, name: str, other: dict[str, Any]) -> None:
    model = build(slot, name, other, tied=False)
    names = dict(model.named_parameters())
    assert model.roles().keys() == names.keys()
    assert model.starts().keys() <= names.keys()
    assert set(model.outputs()) <= names.keys()
    for site, module in model.sites().items():
        assert model.get_submodule(site) is module
    assert not list(model.buffers())


@each_case
def test_declared_axes_have_the_sizes_of_the_shape(slot: str, name: str, other: dict[str, Any]) -> None:
    model = build(slot, name, other, tied=False)
    shape = model.shape
    heads = {"H": shape.heads * shape.head_dim, "G": shape.kv_heads * shape.head_dim}
    sizes = {"V": shape.vocab, "D": shape.width, "F": shape.hidden, "T": shape.context, **heads}
    for parameter_name, letters in model.axes().items():
        sizes_found = model.get_parameter(parameter_name).shape
        assert len(letters) == len(sizes_found), parameter_name
        for letter, size in zip(letters, sizes_found, strict=True):
            assert size == sizes.get(letter, size), (parameter_name, letter)


@each_case
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_causal_as_declared(slot: str, name: str, other: dict[str, Any], mode: str) -> None:
    """A later token touches no earlier one where that is declared, and does, for some of these texts, where not."""
    model = build(slot, name, other).train(mode == "train")
    routed = any(block.ffn.inactive_parameters() for block in model.layers())
    rounding = 1e-4 if routed else 0.0  # a row's product rounds by how many rows there are
    leaks = []
    for seed in range(4):
        batch = random_batch(2, 20, seed=seed)
        changed = batch.ids_BT.clone()
        changed[:, 12] = (changed[:, 12] + 1) % SHAPE.vocab
        before, after = model(batch).hidden_BTD, model(Batch(changed, batch.targets_BT)).hidden_BTD
        assert before.shape == (2, 20, SHAPE.width)
        leaks.append((before[:, :12] - after[:, :12]).abs().max().item())
        moved_T = (before - after).abs().amax(-1).amin(0)[12:]
        assert moved_T.max() > 1e-3  # the change reaches what follows
        if (slot, name) == ("attention", "none"):
            assert moved_T[0] > 1e-3
            assert moved_T[1:].max() == 0  # nothing is mixed
        else:
            assert moved_T.min() > (0 if routed else 1e-4)
    assert (max(leaks) <= rounding) is model.causal


@each_case
def test_packed_documents_are_read_as_if_alone(slot: str, name: str, other: dict[str, Any]) -> None:
    model = build(slot, name, other).eval()
    document_BT = torch.tensor([[0] * 7 + [1] * 12 + [2], [3] * 1 + [4] * 15 + [9] * 4])
    batch = random_batch(2, 20, document_BT=document_BT)
    packed = model(batch).hidden_BTD
    for row in range(2):
        for number in document_BT[row].unique():
            own = document_BT[row] == number
            alone = model(Batch(batch.ids_BT[row : row + 1, own], batch.targets_BT[row : row + 1, own])).hidden_BTD
            torch.testing.assert_close(packed[row, own], alone[0], rtol=1e-4, atol=1e-5)


@each_case
def test_gradient_reaches_every_parameter(slot: str, name: str, other: dict[str, Any]) -> None:
    model = build(slot, name, other, tied=False)
    loss(model, random_batch(2, 20)).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.requires_grad is (model.roles()[parameter_name] != "fixed"), parameter_name
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@each_case
@pytest.mark.parametrize("tied", [True, False])
def test_accounting_agrees_with_torch(
    monkeypatch: pytest.MonkeyPatch, slot: str, name: str, other: dict[str, Any], tied: bool
) -> None:
    monkeypatch.setattr(routing, "FILL", 1)  # rows of nobody are the machine's work, not the model's
    model, batch = build(slot, name, other, tied=tied), random_batch(2, 20)
    parts = accounting.parameters(model)
    assert parts["total"] == sum(parameter.numel() for parameter in model.parameters())
    body = ("attention", "shortcut", "ffn", "norm")
    assert parts["body"] == sum(parts[part] for part in body)
    assert parts["total"] == sum(parts[part] for part in (*body, "embedding", "position", "head"))
    flops = accounting.flops_per_token(model, 20)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        loss(model, batch)
    with FlopCounterMode(display=False) as training:
        loss(model, batch).backward()
    assert flops["forward"] * 40 == forward.get_total_flops()
    assert flops["training"] * 40 == training.get_total_flops()
    assert flops["forward"] == sum(flops[part] for part in ("attention", "shortcut", "ffn", "head"))


@each_case
def test_deterministic_under_a_seed(slot: str, name: str, other: dict[str, Any]) -> None:
    batch = random_batch(2, 20)
    first, second = build(slot, name, other), build(slot, name, other)
    for (parameter_name, left), right in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(left, right), parameter_name
    assert torch.equal(loss(first, batch), loss(second, batch))


@each_case
def test_bf16_is_near_fp32(slot: str, name: str, other: dict[str, Any]) -> None:
    model, batch = build(slot, name, other), random_batch(2, 20)
    exact = loss(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = loss(model, batch)
    rounded.backward()
    torch.testing.assert_close(rounded, exact, rtol=0.03, atol=0)


@each_case
def test_compiles_as_one_graph(slot: str, name: str, other: dict[str, Any]) -> None:
    torch._dynamo.reset()
    model = build(slot, name, other)
    document_BT = (torch.arange(20) > 7).long().expand(2, 20)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for documents in (None, document_BT):
        batch = random_batch(2, 20, document_BT=documents)
        torch.testing.assert_close(compiled(batch).hidden_BTD, model(batch).hidden_BTD)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # of torch itself
def test_compiled_equals_eager() -> None:
    torch._dynamo.reset()
    model = tiny_model(with_shape(depth=1))
    batch = random_batch(2, 20, document_BT=(torch.arange(20) > 7).long().expand(2, 20))
    expected = loss(model, batch)
    expected.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    found = loss(torch.compile(model, fullgraph=True), batch)  # type: ignore[arg-type]
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-5)
