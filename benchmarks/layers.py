"""A side: forward and backward of two layers of experts, with the optimiser's step or without."""

from __future__ import annotations

import argparse
import itertools

import torch

from benchmarks.turns import Gate
from tinylm.batch import Batch
from tinylm.model.context import Context
from tinylm.model.ffn.moe import MoE
from tinylm.model.shape import Shape
from tinylm.runs.allocator import keep_memory

SHAPE = Shape(depth=2, width=256, heads=4, kv_heads=4, head_dim=64, hidden=128, vocab=256, context=256, tied=True)
SIZE = 16  # sequences a step
BATCHES = 16  # read in turn: a router sends each expert another number of rows in every step


def layers(count: int) -> torch.nn.ModuleList:
    """Two layers of gated experts, 2 of which a token uses."""
    made = torch.nn.ModuleList(MoE(SHAPE, layer, experts=count) for layer in range(SHAPE.depth))
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.02, generator=draw)
    return made


def main() -> None:
    """``python -m benchmarks.layers --experts 64 --threads 2``"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--experts", type=int, required=True)
    parser.add_argument("--optimiser", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", help="not used: nothing is written")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_memory()
    made, gate = layers(asked.experts), Gate(warm=2, least=1)
    optimiser = torch.optim.AdamW(made.parameters(), lr=1e-4, fused=True)
    draw = torch.Generator().manual_seed(0)
    x_NBTD = torch.randn(BATCHES, SIZE, SHAPE.context, SHAPE.width, generator=draw)
    ids_BT = torch.zeros(SIZE, SHAPE.context, dtype=torch.int64)
    context = Context.of(Batch(ids_BT, ids_BT))
    for x_BTD in itertools.cycle(x_NBTD):
        gate()
        _step(made, x_BTD, context)
        if asked.optimiser:
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def _step(made: torch.nn.ModuleList, x_BTD: torch.Tensor, context: Context) -> None:
    losses = []
    with torch.autocast("cpu", torch.bfloat16):
        for layer in made:
            y_BTD, side = layer(x_BTD, context)
            x_BTD = x_BTD + y_BTD
            losses += side.losses.values()
    (x_BTD.float().square().mean() + sum(losses)).backward()


if __name__ == "__main__":
    main()
