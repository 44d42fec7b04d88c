"""What every side of the training benchmark does: the shape, the tokens, the recipe's numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tinylm.batch import Batch
from tinylm.init.initialiser import fill
from tinylm.init.scratch import Scratch
from tinylm.model.accounting import flops_per_token
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.ffn.moe import MoE
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.rms import RMS
from tinylm.model.position.rotary import Rotary
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN
from tinylm.streams import Streams
from tinylm.train.budget import Steps
from tinylm.train.fit import fit
from tinylm.train.objective.next_token import NextToken
from tinylm.train.optim.adamw import AdamW
from tinylm.train.recipe import Batches, Fit, Machine, Recipe
from tinylm.train.rounds.single import Single
from tinylm.train.schedule.constant import Constant
from tinylm.train.update.accumulate import Accumulate

# 5.9 M parameters: conf/shape/6m.yaml at the default tokenizer's vocabulary.
SHAPE = Shape(depth=6, width=256, heads=4, kv_heads=4, head_dim=64, hidden=704, vocab=4096, context=256, tied=True)
SIZE = 16  # sequences a step
RATE = 1e-3  # learning rate
STEPS = 1_000_000  # more than anyone waits for: the measuring process ends the loop
DOCUMENT = 600  # tokens a document, about what 2 KB of text are


class Words:
    """Batches of made-up text: tokens of Zipf's frequencies, in documents as long as a passage of a corpus.

    Gives our loop what its own loader gives: rows that know where documents begin.
    """

    def __init__(self, shape: Shape = SHAPE, size: int = SIZE, different: int = 32) -> None:
        self.size, self.tokens_per_step = size, float(size * shape.context)
        self.positions_per_step = self.tokens_per_step
        self.bytes_per_step = 4 * self.tokens_per_step
        self.ids_NT = words(shape, different * size)
        self.document_NT = torch.arange(different * size * shape.context).view(-1, shape.context) // DOCUMENT

    def __getitem__(self, step: int) -> Batch:
        first = step * self.size % len(self.ids_NT)
        ids_BT = self.ids_NT[first : first + self.size]
        document_BT = self.document_NT[first : first + self.size]
        scored = document_BT.numel()
        return Batch(
            ids_BT[:, :-1].contiguous(),
            ids_BT[:, 1:].contiguous(),
            document_BT=document_BT - document_BT[:, :1],
            bytes=4 * scored,
            tokens=scored,
        )

    def rows(self, step: int, rank: int, world: int) -> Batch:
        whole = self[step]
        mine = {name: value[rank::world] for name, value in vars(whole).items() if isinstance(value, Tensor)}
        return replace(whole, **mine, tokens=whole.tokens // world, bytes=whole.bytes // world)


def words(shape: Shape, count: int) -> Tensor:
    """``count`` sequences of ``context`` + 1 tokens (N, T); the r-th token comes with a frequency of 1 / r."""
    draw = torch.Generator().manual_seed(0)
    weights_V = 1 / torch.arange(1, shape.vocab + 1, dtype=torch.float64)
    return torch.multinomial(weights_V, count * (shape.context + 1), replacement=True, generator=draw).view(count, -1)


def experts(count: int, k: int = 2) -> partial[MoE]:
    """Experts of which a token uses as many parameters as the dense feed-forward has."""
    return partial(MoE, experts=count, k=k, hidden=SHAPE.hidden // k)


def our_model(shape: Shape = SHAPE, ffn: Callable[[Shape, int], FFN] = SwiGLU) -> LanguageModel:
    """The model of the shape, filled as a run's is."""
    with torch.device("meta"):
        model = LanguageModel(shape, attention=MultiHead, ffn=ffn, norm=RMS, position=Rotary)
    fill(model, [Scratch()], Streams(0))
    return model


def train(
    model: LanguageModel,
    batches: Batches,
    folder: Path,
    *,
    precision: Literal["bf16", "fp32"],
    compile: bool,
    steps: int = STEPS,
    threads: int,
) -> Fit:
    """Our training, as a run does it, without scores and checkpoints on the way."""
    return fit(
        model,
        batches,
        recipe=Recipe(
            objective=NextToken(),
            update=Accumulate(),
            optimiser=partial(AdamW, lr=RATE),
            schedule=Constant(),
            rounds=Single(),
            budget=Steps(steps),
            precision=precision,
            compile=compile,
        ),
        machine=Machine(threads=threads),
        streams=Streams(0),
        folder=folder,
        flops_per_token=flops_per_token(model, model.shape.context)["training"],
        score=None,
        checkpoint_seconds=1e9,
    )
