"""MoEfication: all parts are the dense layer; parts are found where they are; routers rank as they should."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

import pytest
import torch
from tiny_model import SHAPE, random_batch, tiny_model, with_shape

from tinylm.batch import IGNORE, Batch
from tinylm.errors import UserError
from tinylm.init.initialiser import Parent, Provenance, Sources, fill
from tinylm.init.moefy import Moefy, clusters
from tinylm.init.reading import next_token_loss
from tinylm.model.accounting import flops_per_token
from tinylm.model.context import Context
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.moefied import Moefied, Router
from tinylm.model.ffn.relu import ReLU
from tinylm.model.ffn.relu2 import ReLU2
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


def split(
    how: Moefy | None = None, dense: Any = ReLU, **options: Any
) -> tuple[LanguageModel, LanguageModel, Provenance]:
    parent = tiny_model(ffn=dense)
    child = tiny_model(ffn=partial(Moefied, **{"experts": 6, **options}))
    sources = Sources(parent=Parent(parent, "elder"), batches=lambda step: random_batch(4, 20, seed=step))
    (said,) = fill(child, [how or Moefy(batches=4)], Streams(0), sources)
    return child, parent, said


@pytest.mark.parametrize("router", get_args(Router))
@pytest.mark.parametrize("kind", ["clusters", "coactivation", "random"])
def test_all_parts_are_the_dense_layer(router: Any, kind: Any) -> None:
    child, parent, said = split(Moefy(split=kind, batches=2, epochs=2), k=6, router=router)
    batch = random_batch(2, 20, seed=9)
    ours, theirs = child(batch).hidden_BTD, parent(batch).hidden_BTD
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert said.scores["moefy_gap"] == pytest.approx(0, abs=1e-5)
    for layer in range(SHAPE.depth):
        assert sorted(torch.tensor(said.details["parts"][str(layer)]).bincount().tolist()) == [SHAPE.hidden // 6] * 6


def test_all_parts_of_gelu_are_the_dense_layer() -> None:
    child, parent, said = split(Moefy(any_unit=True, batches=2, epochs=2), dense=GELU, k=6, unit="gelu")
    batch = random_batch(2, 20, seed=9)
    torch.testing.assert_close(child(batch).hidden_BTD, parent(batch).hidden_BTD, rtol=1e-4, atol=1e-5)
    assert said.scores["moefy_gap"] == pytest.approx(0, abs=1e-5)


def test_padding_is_not_read() -> None:
    found = []
    for length in (12, 20):
        parent, child = tiny_model(ffn=ReLU), tiny_model(ffn=partial(Moefied, experts=6))

        def batches(step: int, length: int = length) -> Batch:
            whole = random_batch(4, 20, seed=step)
            targets_BT = whole.targets_BT.clone()
            targets_BT[:, 12:] = IGNORE
            return Batch(whole.ids_BT[:, :length], targets_BT[:, :length])

        fill(
            child,
            [Moefy(split="coactivation", batches=2)],
            Streams(0),
            Sources(parent=Parent(parent, "e"), batches=batches),
        )
        found.append(child.layers()[1].ffn)
    for ours, padded in zip(*(ffn.parameters() for ffn in found), strict=True):
        torch.testing.assert_close(ours, padded)


def test_a_part_is_what_its_units_are() -> None:
    child, parent, said = split(k=2, router="oracle")
    batch = random_batch(2, 12, seed=5)
    ffn, dense = child.layers()[0].ffn, parent.layers()[0].ffn
    assert isinstance(ffn, Moefied)
    x_ND = torch.randn(10, SHAPE.width, generator=torch.Generator().manual_seed(0))
    hidden_NF = (x_ND @ dense.get_parameter("up.weight").T).relu()
    part_F = torch.tensor(said.details["parts"]["0"])
    rated_NE = torch.stack([hidden_NF[:, part_F == part].sum(-1) for part in range(6)], dim=-1)
    torch.testing.assert_close(ffn.ratings(x_ND), rated_NE)
    kept_NF = (rated_NE.topk(2).indices[..., None] == part_F).any(1)
    expected_ND = (hidden_NF * kept_NF) @ dense.get_parameter("down.weight").T
    found = ffn(x_ND[None], Context.of(batch))[0][0]
    torch.testing.assert_close(found, expected_ND, rtol=1e-4, atol=1e-5)


def test_more_parts_are_nearer_and_a_fitted_router_finds_the_oracles() -> None:
    x_ND = torch.randn(200, SHAPE.width, generator=torch.Generator().manual_seed(3))
    context = Context.of(random_batch(1, 200))

    def away(k: int) -> float:
        child, parent, _ = split(Moefy(batches=2), k=k, router="oracle")
        ours, theirs = (model.layers()[0].ffn(x_ND[None], context)[0] for model in (child, parent))
        return (ours - theirs).norm().item()

    def chosen(router: Any) -> torch.Tensor:
        ffn = split(Moefy(batches=8, epochs=60), k=2, router=router)[0].layers()[0].ffn
        assert isinstance(ffn, Moefied)
        return ffn.ratings(x_ND).topk(2).indices

    distances = [away(k) for k in (1, 3, 5, 6)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-3
    best = chosen("oracle")
    for router in ("similarity", "trained"):
        found = (chosen(router)[..., None] == best[:, None]).any(-1).float().mean().item()
        assert found > 2 / 6 + 0.1, router  # by chance a third


def test_the_gap_is_measured_on_text_that_no_router_was_fitted_to() -> None:
    child, parent, said = split(Moefy(batches=3, epochs=30), k=2)
    others = [random_batch(4, 20, seed=step) for step in range(3, 7)]
    ours, theirs = (sum(next_token_loss(model, batch).item() for batch in others) for model in (child, parent))
    assert said.scores["moefy_gap"] == pytest.approx((ours - theirs) / 4, abs=1e-6)
    dense, parts = (flops_per_token(model, 20)["forward"] for model in (parent, child))
    assert said.flops == 4 * 20 * (7 * dense + 4 * parts)


def test_clusters_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    truth_F = torch.randperm(60, generator=generator) % 5
    row_FM = torch.nn.functional.normalize(
        3 * torch.eye(5)[truth_F] + torch.randn(60, 5, generator=generator) / 4, dim=-1
    )
    found_F = clusters(row_FM, torch.arange(60) % 5, 5)
    assert found_F.bincount().tolist() == [12] * 5
    together = (truth_F[:, None] == truth_F) == (found_F[:, None] == found_F)
    assert together.float().mean() > 0.95


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(UserError, match="hardly ever 0"):
        split(dense=GELU)
    with pytest.raises(UserError, match="has gelu and the child's parts relu"):
        split(Moefy(any_unit=True), dense=GELU)
    with pytest.raises(UserError, match="has relu and the child's parts gelu"):
        split(unit="gelu")
    with pytest.raises(UserError, match="has biases"):
        split(Moefy(any_unit=True), dense=partial(GELU, bias=True), unit="gelu")
    for any_unit in (False, True):
        with pytest.raises(UserError, match="has relu2, and parts have relu or gelu"):
            split(Moefy(any_unit=any_unit), dense=ReLU2)
    with pytest.raises(UserError, match=r"gelu \(tanh\)"):
        split(Moefy(any_unit=True), dense=partial(GELU, unit="tanh"), unit="gelu")
    with pytest.raises(UserError, match="SwiGLU"):
        split(Moefy(any_unit=True), dense=SwiGLU)
    with pytest.raises(UserError, match="does not divide"):
        Moefied(SHAPE, 0, experts=5)
    narrow = Parent(tiny_model(with_shape(hidden=24), ffn=ReLU), "elder")
    sources = Sources(parent=narrow, batches=lambda step: random_batch(2, 12, seed=step))
    with pytest.raises(UserError, match=r"shape\.hidden is 48"):
        fill(tiny_model(ffn=Moefied), [Moefy()], Streams(0), sources)
