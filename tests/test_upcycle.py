"""Upcycling: the first loss is the parent's where it has to be, else the gap is told; what cannot be is refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import SHAPE, random_batch, tiny_model, with_shape

from tests.commands import SMALL, text_files, tinylm
from tinylm.errors import UserError
from tinylm.init.initialiser import Parent, Provenance, Sources, fill
from tinylm.init.reading import next_token_loss
from tinylm.init.upcycle import Upcycle
from tinylm.model.accounting import flops_per_token
from tinylm.model.ffn.expert_choice import ExpertChoice
from tinylm.model.ffn.frozen_centroid import FrozenCentroid
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.moe import MoE
from tinylm.model.ffn.product_key import ProductKey
from tinylm.model.ffn.random_routed import RandomRouted
from tinylm.model.ffn.relu import ReLU
from tinylm.model.ffn.relu2 import ReLU2
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.mixed import mixed
from tinylm.report.records.collect import collect
from tinylm.streams import Streams


def upcycled(
    ffn: Any, dense: Any = SwiGLU, how: Upcycle | None = None, **shape: Any
) -> tuple[LanguageModel, LanguageModel, Provenance]:
    parent = tiny_model(with_shape(**shape), ffn=dense, std=0.15)
    child = tiny_model(with_shape(**shape), ffn=ffn)
    sources = Sources(parent=Parent(parent, "elder"), own=lambda step: random_batch(2, 12, seed=step))
    (said,) = fill(child, [how or Upcycle()], Streams(0), sources)
    return child, parent, said


EXACT = {
    "moe": (MoE, SwiGLU),
    "moe of relu": (partial(MoE, unit="relu"), ReLU),
    "moe of gelu": (partial(MoE, unit="gelu", k=3), GELU),
    "a shared expert": (partial(MoE, shared=True), SwiGLU),
    "every second": (partial(mixed, sparse=MoE, dense=SwiGLU), SwiGLU),
    "tables": (RandomRouted, SwiGLU),
    "centroids": (partial(FrozenCentroid, experts=4), SwiGLU),
    "a memory": (partial(ProductKey, keys=8, start="zero", dense="swiglu"), SwiGLU),
}


@pytest.mark.parametrize("case", EXACT)
@pytest.mark.parametrize("tied", [True, False])
def test_the_first_loss_is_the_parents(case: str, tied: bool) -> None:
    ffn, dense = EXACT[case]
    child, parent, said = upcycled(ffn, dense, tied=tied)
    batch = random_batch(2, 20)
    for train in (False, True):
        ours, theirs = (next_token_loss(model.train(train), batch) for model in (child, parent))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert said.scores["upcycle_gap"] == pytest.approx(0, abs=1e-4)
    assert said.scores["upcycle_gap_train"] == pytest.approx(0, abs=1e-4)
    assert said.filled.keys() == dict(child.named_parameters()).keys()


def test_what_is_not_exact_is_told_and_compensated() -> None:
    for ffn in (partial(MoE, normalise=False), ExpertChoice):
        gaps = [upcycled(ffn, how=Upcycle(compensate=compensate))[2].scores for compensate in (True, False)]
        assert abs(gaps[0]["upcycle_gap"]) < 0.5 * abs(gaps[1]["upcycle_gap"])
        child, parent, said = upcycled(ffn)
        batches = [random_batch(2, 12, seed=step) for step in range(4)]
        for name, train in (("upcycle_gap", False), ("upcycle_gap_train", True)):
            ours = sum(next_token_loss(child.train(train), batch).item() for batch in batches)
            theirs = sum(next_token_loss(parent.eval(), batch).item() for batch in batches)
            assert said.scores[name] == pytest.approx((ours - theirs) / 4, abs=1e-5)
        dense, sparse = (flops_per_token(model, 12)["forward"] for model in (parent, child))
        assert said.flops == 4 * 2 * 12 * (dense + 2 * sparse), "the child is read in both modes"


def test_dropped_units_are_drawn_anew_in_all_matrices() -> None:
    child, parent, said = upcycled(partial(MoE, experts=3), how=Upcycle(drop=0.5))
    assert abs(said.scores["upcycle_gap"]) > 1e-3
    experts, dense = child.layers()[0].ffn.get_submodule("experts"), parent.layers()[0].ffn
    gone = []
    for number in range(3):
        up, down = experts.get_parameter("up")[number], experts.get_parameter("down")[number]
        fresh_F = (up != dense.get_parameter("up.weight")).all(1)
        assert torch.equal(fresh_F, (down != dense.get_parameter("down.weight")).all(0))
        assert torch.equal(
            fresh_F, (experts.get_parameter("gate")[number] != dense.get_parameter("gate.weight")).all(1)
        )
        assert fresh_F.sum() == SHAPE.hidden // 2
        assert up[fresh_F].std().item() == pytest.approx(dense.get_parameter("up.weight").std().item(), rel=0.2)
        gone.append(tuple(fresh_F.tolist()))
    assert len(set(gone)) == 3
    noisy = upcycled(partial(MoE, experts=3), how=Upcycle(noise=0.1))[0].layers()[0].ffn.get_parameter("experts.up")
    apart = (noisy - dense.get_parameter("up.weight")).std(), dense.get_parameter("up.weight").std()
    assert (apart[0] / apart[1]).item() == pytest.approx(0.1, rel=0.1)
    assert not torch.equal(noisy[0], noisy[1])


@pytest.mark.parametrize(
    ("child", "dense", "shape", "words"),
    [
        (MoE, GELU, {}, "experts.gate has nothing to start from"),
        (partial(MoE, hidden=16), SwiGLU, {}, r"shape\.hidden=48"),
        (MoE, SwiGLU, {"depth": 3}, r"shape\.depth is 2"),
        (SwiGLU, SwiGLU, {}, "no experts to upcycle"),
        (partial(MoE, unit="gelu"), SwiGLU, {}, "gate.weight and no part"),
        (partial(MoE, unit="gelu"), ReLU, {}, "has gelu in the child and relu in the parent"),
        (partial(RandomRouted, unit="relu"), ReLU2, {}, "has relu in the child and relu2 in the parent"),
        (partial(MoE, unit="gelu"), partial(GELU, unit="tanh"), {}, r"gelu in the child and gelu \(tanh\)"),
        (partial(mixed, sparse=partial(MoE, unit="relu"), dense=GELU), ReLU, {}, "layer 0 has gelu in the child"),
        (partial(ProductKey, keys=8, start="zero", dense="gelu"), ReLU, {}, "has gelu in the child and relu"),
        (partial(MoE, unit="gelu"), partial(GELU, bias=True), {}, "up.bias and no part"),
    ],
)
def test_another_shape_is_refused(child: Any, dense: Any, shape: dict[str, Any], words: str) -> None:
    parent = tiny_model(with_shape(**shape), ffn=dense)
    with pytest.raises(UserError, match=words):
        fill(tiny_model(ffn=child), [Upcycle()], Streams(0), Sources(parent=Parent(parent, "elder")))


def test_a_run_begins_where_its_dense_parent_ended(tmp_path: Path) -> None:
    text = text_files(tmp_path)
    upcycle = ["model/ffn=moe", "init=upcycle", 'init.parent.overrides=["model/ffn=swiglu"]']
    ran = tinylm("run", *text, *SMALL, *upcycle, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    runs = collect(tmp_path / "runs").set_index("model/ffn")
    assert abs(runs.loc["moe", "upcycle_gap"]) < 1e-4
    assert runs.loc["moe", "cost.parent_flops"] == runs.loc["swiglu", "cost.flops"]
    wrong = tinylm("run", *text, *SMALL, *upcycle, "model.ffn.hidden=8", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "model.ffn.hidden=null" in wrong.stderr


def test_a_dense_parent_of_text_without_domains_becomes_a_child_of_several(tmp_path: Path) -> None:
    """Ren et al. 2023: experts by domain, out of a model that knew of none."""
    text = text_files(tmp_path)
    parts = [f"data.parts.{name}.{word.removeprefix('data.')}" for name in "ab" for word in text[1:]]
    mixture = ["data=mixture", "+data@data.parts.a=files", "+data@data.parts.b=files", *parts]
    small = [word for word in SMALL if not word.startswith("tokenizer")]
    plain = ",".join(json.dumps(word) for word in ["model/ffn=swiglu", *text])
    grouped = ["model/ffn=random_routed", "model.ffn.groups={a: 2, b: 3}", "init=upcycle"]
    ran = tinylm("run", *small, *mixture, "tokenizer=bytes", *grouped, f"init.parent.overrides=[{plain}]", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    runs = collect(tmp_path / "runs").set_index("model/ffn")
    assert abs(runs.loc["random_routed", "upcycle_gap"]) < 1e-4
    assert (runs["status"] == "done").all()
