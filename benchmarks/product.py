"""A side: large bf16 matrix products, the most that this machine can do of what training mostly does."""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from benchmarks.turns import Gate

SIZES = (1024, 2048, 4096)  # rows and columns; the quickest counts
STEP_FLOPS = 2 * 4096**3  # of one step, whatever the size


def pair(size: int) -> tuple[Tensor, Tensor]:
    """Two square matrices of normal numbers."""
    draw = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, size, size, generator=draw).to(torch.bfloat16)
    return left, right


def rate(size: int, seconds: float = 0.5) -> float:
    """FLOPs a second at a size."""
    left, right = pair(size)
    left @ right
    began, products = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        left @ right
        products += 1
    return 2 * size**3 * products / (time.perf_counter() - began)


def main() -> None:
    """``python -m benchmarks.product --threads 2``"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", help="not used: nothing is written")
    torch.set_num_threads(parser.parse_args().threads)
    gate = Gate(warm=0, least=1)
    size = max(SIZES, key=rate)
    left, right = pair(size)
    while True:
        gate()
        for _ in range(STEP_FLOPS // (2 * size**3)):
            left @ right


if __name__ == "__main__":
    main()
