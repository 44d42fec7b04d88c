"""Objective, update, schedules, budgets, optimisers and the loop around them."""

from __future__ import annotations

import importlib
import json
import math
import signal
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from tiny_model import random_batch, tiny_model
from torch import nn

from tinylm.batch import IGNORE, Batch
from tinylm.errors import Diverged, UserError
from tinylm.model.ffn.product_key import ProductKey
from tinylm.streams import Streams
from tinylm.train import budget, compilation
from tinylm.train.checkpoint import Checkpoints, Snapshot, load_model, load_optimiser, model_tensors, optimiser_state
from tinylm.train.objective.next_token import NextToken
from tinylm.train.optim.adamw import AdamW
from tinylm.train.optim.lion import Lion
from tinylm.train.optim.muon import Muon
from tinylm.train.recipe import Machine
from tinylm.train.roles import DECAYED
from tinylm.train.schedule.constant import Constant
from tinylm.train.schedule.cosine import Cosine
from tinylm.train.schedule.linear import Linear
from tinylm.train.schedule.wsd import WarmupStableDecay
from tinylm.train.session import Session
from tinylm.train.signals import StopSignals
from tinylm.train.slots import Progress
from tinylm.train.update.accumulate import Accumulate

CONF = Path(__file__).parents[1] / "conf"
GROUPS = ["optim", "schedule", "objective", "update", "rounds", "rounds/selection", "budget", "machine"]
FIRST = Progress(0, 1, 0.5, 0)
OPTIMISERS = [AdamW, Muon, Lion]


def options() -> list[Path]:
    return sorted(path for group in GROUPS for path in (CONF / group).glob("*.yaml"))


def whole_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Cross-entropy over all logits at once."""
    logits_BTV = model.head(model(batch).hidden_BTD)
    return nn.functional.cross_entropy(logits_BTV.flatten(0, 1), batch.targets_BT.flatten(), ignore_index=IGNORE)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def train(model: nn.Module, optimiser: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        Accumulate()(model, NextToken(), optimiser, [tiny_run.Chain()[step]], FIRST, torch.Tensor.backward)


# ---- options -----------------------------------------------------------------------------------------------------


def build(path: Path) -> Any:
    node: Any = OmegaConf.to_container(OmegaConf.load(path))
    for default in node.pop("defaults", []):
        if default != "_self_":
            node |= {group: build(path.parent / group / f"{option}.yaml") for group, option in default.items()}
    module, _, name = node.pop("_target_").rpartition(".")
    constructor = getattr(importlib.import_module(module), name)
    arguments = [tiny_run.model()] if node.pop("_partial_", False) else []
    if path.parent.name not in ("budget", "machine"):
        assert module.endswith(f"{path.parent.name}.{path.stem}")
    return constructor(*arguments, **node)


@pytest.mark.parametrize("path", options(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_option_builds(path: Path) -> None:
    assert build(path) is not None


def test_every_variant_has_its_option() -> None:
    for group in GROUPS[:6]:
        classes = {path.stem for path in (CONF.parent / "tinylm" / "train" / group).glob("[!_]*.py")}
        assert classes == {path.stem for path in (CONF / group).glob("*.yaml")}


# ---- objective and update ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [7, 64, 4096])
def test_chunked_loss_is_the_cross_entropy(chunk: int) -> None:
    model, batch = tiny_run.model(), tiny_run.Chain()[0]
    expected = whole_loss(model, batch)
    expected.backward()
    reference = gradients(model)
    model.zero_grad()
    losses = NextToken(chunk=chunk)(model, batch, FIRST)
    losses.total.backward()
    assert losses.language.item() == pytest.approx(expected.item(), rel=1e-6)
    assert losses.side == {}
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, reference[name], rtol=1e-4, atol=1e-7)


def test_z_loss_is_kept_apart() -> None:
    model, batch = tiny_run.model(), tiny_run.Chain()[0]
    losses = NextToken(chunk=50, z_loss=0.1)(model, batch, FIRST)
    logits_NV = model.head(model(batch).hidden_BTD).flatten(0, 1)[batch.targets_BT.flatten() != IGNORE]
    expected = 0.1 * logits_NV.logsumexp(-1).square().mean()
    assert losses.side["z_loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses.total.item() == pytest.approx((losses.language + expected).item(), rel=1e-6)
    assert losses.language.item() == pytest.approx(whole_loss(model, batch).item(), rel=1e-6)


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_accumulation_is_the_whole_batch(micro: int, tmp_path: Path) -> None:
    """Targets are ignored unevenly, so a plain mean over micro batches would be wrong."""
    whole = tiny_run.run(tmp_path / "whole", tiny_run.recipe(5))[0]
    parts = tiny_run.run(tmp_path / "parts", tiny_run.recipe(5, micro=micro))[0]
    for (name, ours), theirs in zip(parts.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=name)
    read = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert read[0] == pytest.approx(read[1], rel=1e-5)


def test_clipping_bounds_the_gradient() -> None:
    """With plain descent at rate 1 the step is the gradient that was left."""
    for clip, bound in ((None, math.inf), (0.01, 0.01)):
        model = tiny_run.model()
        before = [p.detach().clone() for p in model.parameters()]
        optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
        _, norm = Accumulate(clip)(model, NextToken(), optimiser, [tiny_run.Chain()[0]], FIRST, torch.Tensor.backward)
        moved = math.sqrt(sum((p - q).square().sum().item() for p, q in zip(model.parameters(), before, strict=True)))
        assert moved == pytest.approx(min(norm.item(), bound), rel=1e-3)


# ---- optimisers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_decay_follows_the_roles(optimiser: type) -> None:
    """A step without a gradient signal shrinks matrices and embeddings by lr x decay, and leaves norms alone."""
    model = tiny_run.model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    stepper = optimiser(model, lr=0.1, weight_decay=0.5, **({"adamw_lr": 0.1} if optimiser is Muon else {}))
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    stepper.step()
    for name, p in model.named_parameters():
        kept = 0.95 if model.roles()[name] in DECAYED else 1.0
        torch.testing.assert_close(p.detach(), before[name] * kept)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_frozen_parameters_stay(optimiser: type) -> None:
    model = tiny_run.model()
    model.embedding.weight.requires_grad_(False)
    before = model.embedding.weight.detach().clone()
    train(model, optimiser(model), range(2))
    assert model.embedding.weight.equal(before)
    assert not model.blocks[0].attention_norm.weight.equal(torch.ones(32))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_optimiser_state_goes_to_disk_and_back_exactly(optimiser: type, tmp_path: Path) -> None:
    model = tiny_run.model()
    stepper = optimiser(model)
    train(model, stepper, range(3))
    tensors, rest = optimiser_state(stepper)
    Checkpoints(tmp_path).save(Snapshot(3, model_tensors(model), tensors, {"optimiser": rest}, ""))
    found = Checkpoints(tmp_path).load()
    assert found is not None
    other = tiny_run.model(seed=1)
    again = optimiser(other, lr=1.0)
    load_model(other, found.model)
    load_optimiser(again, found.optimiser, found.state["optimiser"])
    assert again.param_groups[0]["lr"] == stepper.param_groups[0]["lr"]
    train(model, stepper, range(3, 6))
    train(other, again, range(3, 6))
    assert all(p.equal(q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_muon_orthogonalises_matrices_only() -> None:
    """Without decay a hidden matrix moves by a step whose singular values are nearly all 0.2 sqrt(side)."""
    model = tiny_run.model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, Muon(model, lr=0.1, adamw_lr=1e-3, weight_decay=0.0), range(1))
    roles = model.roles()
    for name, p in model.named_parameters():
        step = p.detach() - before[name]
        if roles[name] == "matrix":
            sides = 0.1 * 0.2 * math.sqrt(max(p.shape))
            values = torch.linalg.svdvals(step) / sides
            assert 0.6 < values.quantile(0.1) < values.max() < 1.3, name
        else:
            assert step.abs().max() <= 1.001e-3, name


def test_lion_moves_by_the_sign() -> None:
    """First step: the sign of the gradient; second: of beta1 momentum + (1 - beta1) gradient. Algorithm 2."""
    p = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    model = nn.Module()
    model.weight = p
    model.roles = lambda: {"weight": "matrix"}
    stepper = Lion(model, lr=0.1, beta1=0.9, beta2=0.99, weight_decay=0.0)
    p.grad = torch.tensor([0.5, -0.1, 0.0])
    stepper.step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.9, -1.9, 3.0]))
    p.grad = torch.tensor([-0.01, -0.1, 1.0])  # momentum 0.005: 0.9 x 0.005 - 0.1 x 0.01 > 0
    stepper.step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.8, -1.8, 2.9]))


# ---- schedules and budgets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule", [Constant(0.1), Cosine(0.1, 0.2), Linear(0.1, 0.2), WarmupStableDecay(0.1, 0.3, 0.2)]
)
def test_schedules_rise_and_fall(schedule: Any) -> None:
    values = [schedule(k / 1000) for k in range(1001)]
    assert (values[0], max(values)) == (0.0, 1.0)
    assert values[50] == pytest.approx(0.5)
    assert values[100] == pytest.approx(1.0)
    assert all(a >= b for a, b in pairwise(values[100:]))
    assert values[-1] == pytest.approx(1.0 if isinstance(schedule, Constant) else 0.2)
    assert max(abs(a - b) for a, b in pairwise(values)) < 0.011  # no jump


def test_stable_means_stable() -> None:
    schedule = WarmupStableDecay(0.1, 0.3)
    assert {schedule(k / 100) for k in range(10, 71)} == {1.0}
    assert schedule(0.85) == pytest.approx(0.5)
    with pytest.raises(UserError, match="whole budget"):
        WarmupStableDecay(0.5, 0.6)


def test_budgets_become_steps() -> None:
    def plan(of: budget.Budget) -> budget.Plan:
        return of.plan(tokens=4096, bytes=12000, flops=1e9, scores=10)

    assert plan(budget.Steps(100)).steps == 100
    assert plan(budget.Tokens(6e6)).steps == 1465
    assert plan(budget.Bytes(1.2e6)).steps == 100
    assert plan(budget.Flops(5e10)).steps == 50
    assert plan(budget.Tokens(1)).steps == 1
    assert plan(budget.Seconds(60)).steps is None
    with pytest.raises(UserError, match=r"budget\.amount"):
        budget.Steps(0)


@given(steps=st.integers(1, 20_000), scores=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_history_has_a_few_hundred_lines_and_evenly_spaced_scores(steps: int, scores: int) -> None:
    plan = budget.Plan(steps, None, scores)
    made = range(1, steps + 1)
    lines = [s for s in made if plan.logs(s, plan.fraction(s - 1, 0), plan.fraction(s, 0))]
    assert min(steps, 200) <= len(lines) <= 401
    assert lines[-1] == steps
    scored = [s for s in made if plan.scored(s, plan.fraction(s - 1, 0), plan.fraction(s, 0))]
    assert len(scored) == min(steps, scores)
    assert scored[-1] == steps


# ---- the loop ----------------------------------------------------------------------------------------------------


def test_history_tells_what_the_run_did(tmp_path: Path) -> None:
    _, answer = tiny_run.run(tmp_path, tiny_run.recipe(20, score_every=0.25))
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    batches = [tiny_run.Chain()[step] for step in range(20)]
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert lines[-1]["tokens"] == answer.tokens == sum(batch.tokens for batch in batches)
    assert lines[-1]["bytes"] == answer.bytes == sum(batch.bytes for batch in batches)
    assert answer.flops == pytest.approx(20 * 8 * 32 * 1e5)
    assert [line["step"] for line in lines if "tune_loss" in line] == [5, 10, 15, 20]
    assert answer.scores["tune_loss"] == lines[-1]["tune_loss"] < 0.9 * lines[4]["tune_loss"]
    assert lines[0]["learning_rate"] == pytest.approx(1e-2 * 0.25)  # the middle of the first of 2 warm-up steps
    assert lines[0]["loss"] == pytest.approx(math.log(96), rel=0.05)
    assert json.loads((tmp_path / "status.json").read_text())["phase"] == "trained"
    assert (answer.steps, answer.resumed, answer.compiled, answer.warnings) == (20, 0, False, [])
    assert answer.peak_memory_bytes > 1e8


@pytest.mark.parametrize(
    "optimiser", [partial(AdamW, lr=1e-2), partial(Muon, lr=1e-2, adamw_lr=1e-2), partial(Lion, lr=3e-3)]
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_optimiser_learns(optimiser: Any, precision: Any, tmp_path: Path) -> None:
    """The chain is predictable nine times in ten: far below the uniform loss of log 96 = 4.56 within 60 steps."""
    _, answer = tiny_run.run(tmp_path, tiny_run.recipe(60, optimiser=optimiser, precision=precision, score_every=1.0))
    assert answer.scores["tune_loss"] < 2.0


def test_rows_of_the_ranks_make_the_batch() -> None:
    chain = tiny_run.Chain()
    whole, parts = chain[3], [chain.rows(3, rank, 2) for rank in range(2)]
    assert whole.ids_BT[1::2].equal(parts[1].ids_BT)
    assert whole.tokens == sum(part.tokens for part in parts)


def test_seconds_end_a_run(tmp_path: Path) -> None:
    _, answer = tiny_run.run(tmp_path, tiny_run.recipe(budget=budget.Seconds(0.3), score_every=0.5))
    assert 0.3 <= answer.seconds < 1.5
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == answer.steps > 1
    assert "tune_loss" in lines[-1]


@pytest.mark.parametrize("where", ["loss", "score"])
def test_divergence_is_an_outcome(where: str, tmp_path: Path) -> None:
    class Exploding(NextToken):
        def __call__(self, model: nn.Module, batch: Batch, progress: Progress) -> Any:
            losses = super().__call__(model, batch, progress)
            return replace(losses, language=losses.language / (0.0 if progress.step == 6 else 1.0))

    chosen = tiny_run.recipe(20, objective=Exploding(), score_every=1.0)
    if where == "score":
        chosen = tiny_run.recipe(20, score_every=7 / 20)
    score = (lambda model: {"tune_loss": math.nan}) if where == "score" else None
    with pytest.raises(Diverged) as caught:
        tiny_run.run(tmp_path, chosen, score=score, checkpoint_seconds=0.0)
    assert caught.value.step == 7
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    snapshot = Checkpoints(tmp_path / "checkpoint").load()
    assert snapshot is not None
    assert snapshot.step == 6
    assert json.loads((tmp_path / "status.json").read_text())["phase"] == "diverged"


def test_wrong_numbers_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"batch\.micro: 3 does not divide"):
        tiny_run.run(tmp_path, tiny_run.recipe(2, micro=3))
    with pytest.raises(UserError, match="score_every"):
        tiny_run.run(tmp_path, tiny_run.recipe(2, score_every=0.0))


def test_stop_signals_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    tiny_run.run(tmp_path, tiny_run.recipe(2))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert not torch.are_deterministic_algorithms_enabled()


# ---- compilation -------------------------------------------------------------------------------------------------


def test_compiled_losses_are_the_eager_ones(tmp_path: Path) -> None:
    """To 1e-4 over 12 steps in fp32, one graph for all of them, compilation not among the seconds."""
    shape = replace(tiny_run.SHAPE, depth=1)
    eager = tiny_run.run(tmp_path / "eager", tiny_run.recipe(12), trained=tiny_run.model(shape), score=None)[1]
    with torch._dynamo.config.patch(error_on_recompile=True):
        chosen = tiny_run.recipe(12, compile=True)
        answer = tiny_run.run(tmp_path / "compiled", chosen, trained=tiny_run.model(shape), score=None)[1]
    read = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("eager", "compiled")
    ]
    assert read[1] == pytest.approx(read[0], rel=1e-4)
    assert (eager.compiled, answer.compiled) == (False, True)
    assert answer.compile_seconds > answer.seconds


def test_compilation_pays_by_the_plan_alone() -> None:
    plan = budget.Plan(1465, None, 10)
    assert compilation.pays(plan, 4096, 38, 1_000_000)
    assert not compilation.pays(replace(plan, steps=20), 4096, 38, 1_000_000)
    assert compilation.pays(replace(plan, steps=50_000), 512, 20, 37_000)  # of small models calls are the cost
    assert compilation.pays(budget.Plan(None, 600.0, 10), 4096, 38, 1)
    assert not compilation.pays(budget.Plan(None, 60.0, 10), 4096, 38, 1_000_000)
    assert compilation.decide(True, replace(plan, steps=1), 1, tiny_run.model())
    assert not compilation.decide(False, plan, 1e12, tiny_run.model())


def test_a_trial_of_the_compiler_leaves_running_moments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "compiled", lambda model: model)
    model = tiny_model(ffn=partial(ProductKey, keys=8, read=4)).train()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    compilation.attempt(model, lambda tried: whole_loss(tried, random_batch(2, 12)).backward(), True)
    for name, parameter in model.named_parameters():
        assert parameter.equal(before[name]), name
    assert {name for name, parameter in model.named_parameters() if name.endswith(("mean", "variance"))}


def test_without_a_compiler_auto_trains_eagerly_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler")

    broken = partial(torch.compile, backend=fail)
    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(compilation, "PAYS", 0.0)
    answer = tiny_run.run(tmp_path / "auto", tiny_run.recipe(3, compile="auto"))[1]
    assert not answer.compiled
    assert len(answer.warnings) == 1
    assert answer.warnings[0].startswith("not compiled")
    with pytest.raises(UserError, match="compile=false"):
        tiny_run.run(tmp_path / "true", tiny_run.recipe(3, compile=True))


def test_dropout_depends_on_the_step_alone(tmp_path: Path) -> None:
    chosen = tiny_run.recipe(3, objective=tiny_run.Noisy())
    session = Session(tiny_run.model(), tiny_run.Chain(), chosen, Streams(0), tmp_path, 1.0, None, 1e9, StopSignals())
    session._seed(5)
    first = torch.rand(3)
    torch.rand(10)
    session._seed(5)
    assert torch.rand(3).equal(first)
    session._seed(6)
    assert not torch.rand(3).equal(first)


def test_machine_defaults_are_one_thread_of_a_processor() -> None:
    assert Machine() == Machine("cpu", 1, "auto", 1)
