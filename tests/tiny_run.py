"""A tiny run for the tests of training: a real model, made-up batches, a recipe; importable by child processes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from tinylm.batch import IGNORE, Batch
from tinylm.data.units import Unit, Units, WholeBatches
from tinylm.errors import Interrupted
from tinylm.evaluate.bits import token_nats
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.rms import RMS
from tinylm.model.position.rotary import Rotary
from tinylm.model.shape import Shape
from tinylm.streams import Streams
from tinylm.train.budget import Steps
from tinylm.train.checkpoint import model_tensors
from tinylm.train.fit import fit
from tinylm.train.objective.next_token import NextToken
from tinylm.train.optim.adamw import AdamW
from tinylm.train.optim.muon import Muon
from tinylm.train.recipe import Fit, Machine, Recipe
from tinylm.train.rounds.selected import Selected
from tinylm.train.rounds.selection.loss_softmax import LossSoftmax
from tinylm.train.rounds.single import Single
from tinylm.train.schedule.wsd import WarmupStableDecay
from tinylm.train.slots import Losses, Objective, Progress
from tinylm.train.update.accumulate import Accumulate

SHAPE = Shape(depth=2, width=32, heads=2, kv_heads=2, head_dim=16, hidden=64, vocab=96, context=32, tied=True)


class Chain:
    """Batches of a made-up language in which each token follows from the one before, most of the time.

    Some targets are ``IGNORE``, unevenly, and rows hold two documents.
    """

    def __init__(self, shape: Shape = SHAPE, size: int = 8) -> None:
        self.shape = shape
        self.size = size
        self.tokens_per_step = float(size * shape.context)
        self.positions_per_step = self.tokens_per_step
        self.bytes_per_step = 3 * self.tokens_per_step

    def __getitem__(self, step: int) -> Batch:
        draw = torch.Generator().manual_seed(step)
        T, V = self.shape.context, self.shape.vocab
        ids_BT = torch.randint(V, (self.size, T + 1), generator=draw)
        for t in range(1, T + 1):
            follows_B = torch.rand(self.size, generator=draw) < 0.9
            ids_BT[:, t] = torch.where(follows_B, (ids_BT[:, t - 1] * 5 + 1) % V, ids_BT[:, t])
        targets_BT = ids_BT[:, 1:].clone()
        targets_BT[: self.size // 4, T // 2 :] = IGNORE
        document_BT = (torch.arange(T) >= T // 3).long().expand(self.size, T).contiguous()
        return _counted(Batch(ids_BT[:, :-1].contiguous(), targets_BT, document_BT=document_BT))

    def rows(self, step: int, rank: int, world: int) -> Batch:
        whole = self[step]
        fields = {n: v[rank::world] for n, v in vars(whole).items() if isinstance(v, torch.Tensor)}
        return _counted(replace(whole, **fields))

    def units(self, unit: Unit, steps: int) -> Units:
        assert unit == "batch"
        return WholeBatches(self, steps)


def _counted(batch: Batch) -> Batch:
    scored = int((batch.targets_BT != IGNORE).sum())
    return replace(batch, tokens=scored, bytes=3 * scored)


def model(shape: Shape = SHAPE, seed: int = 0) -> LanguageModel:
    """A decoder with normal weights of 0.02 and gains of one."""
    built = LanguageModel(shape, attention=MultiHead, ffn=SwiGLU, norm=RMS, position=Rotary)
    draw = torch.Generator().manual_seed(seed)
    starts = built.starts()
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if name in starts:
                parameter.fill_(starts[name])
            else:
                parameter.normal_(0, 0.02, generator=draw)
    return built


def recipe(steps: int = 40, **changes: Any) -> Recipe:
    """AdamW, warm-up–stable–decay, fp32, eager."""
    plain = Recipe(
        objective=NextToken(),
        update=Accumulate(),
        optimiser=partial(AdamW, lr=1e-2),
        schedule=WarmupStableDecay(warmup=0.1),
        rounds=Single(),
        budget=Steps(steps),
        precision="fp32",
        compile=False,
    )
    return replace(plain, **changes)


def score(scored: nn.Module) -> dict[str, float]:
    """Loss on a batch that is not trained on."""
    batch = Chain()[10**6]
    scored.eval()
    with torch.no_grad():
        output = scored(batch)
        logits_NV = scored.head(output.hidden_BTD).flatten(0, 1)
    loss = nn.functional.cross_entropy(logits_NV, batch.targets_BT.flatten(), ignore_index=IGNORE)
    return {"tune_loss": loss.item()}


def nats(scored: nn.Module, batch: Batch) -> torch.Tensor:
    """Losses of each target, slowly, so that there is a moment to be killed in."""
    time.sleep(0.005)
    return token_nats(scored, batch, "fp32")


class Noisy(Objective):
    """Next-token losses, each times a random number: what a run with dropout needs restored."""

    def __call__(self, model: nn.Module, batch: Batch, progress: Progress) -> Losses:
        losses = NextToken()(model, batch, progress)
        noise = 1 + 0.1 * torch.rand(())
        return replace(losses, total=losses.total * noise, language=losses.language * noise, side={"noise": noise})


def run(
    folder: Path,
    chosen: Recipe,
    *,
    trained: LanguageModel | None = None,
    batches: Any = None,
    score: Callable[[nn.Module], dict[str, float]] | None = score,
    checkpoint_seconds: float = 1e9,
    machine: Machine | None = None,
) -> tuple[LanguageModel, Fit]:
    """Fit the tiny model in ``folder``."""
    trained = trained or model()
    answer = fit(
        trained,
        batches or Chain(),
        recipe=chosen,
        machine=machine or Machine(),
        streams=Streams(0),
        folder=folder,
        flops_per_token=1e5,
        score=score,
        checkpoint_seconds=checkpoint_seconds,
        nats=nats,
    )
    return trained, answer


RECIPES = {
    "fp32": recipe(objective=Noisy()),
    "bf16": recipe(objective=Noisy(), precision="bf16", micro=4, optimiser=partial(Muon, lr=1e-2)),
    "plain": recipe(),
    "rounds": recipe(objective=Noisy(), rounds=Selected(LossSoftmax(), number=3, forgetting=True)),
    "compiled": recipe(objective=Noisy(), precision="bf16", compile=True),
}
INTERRUPTED = 75


def child(folder: Path, name: str, checkpoint_seconds: float, machine: Machine) -> None:
    """A process of its own: fit, then leave the weights as ``final.safetensors`` and the answer as ``fit.json``."""
    try:
        trained, answer = run(folder, RECIPES[name], checkpoint_seconds=checkpoint_seconds, machine=machine)
    except Interrupted:
        sys.exit(INTERRUPTED)
    save_file(model_tensors(trained), folder / "final.safetensors")
    (folder / "fit.json").write_text(json.dumps(asdict(answer)))
