"""A side: this project's own training, in a process set up as a run's is."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.turns import Gate
from benchmarks.workload import Words, experts, our_model, train
from tinylm.batch import Batch
from tinylm.runs.allocator import keep_memory


class GatedWords(Words):
    """Batches that are given out when it is this side's turn."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    def __getitem__(self, step: int) -> Batch:
        self.gate()
        return super().__getitem__(step)


def main() -> None:
    """``python -m benchmarks.ours --precision bf16 --compile --threads 2 --folder DIR``"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--precision", choices=["bf16", "fp32"], required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--experts", type=int, help="this many in every layer, as many active parameters as without")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    keep_memory()
    train(
        our_model() if asked.experts is None else our_model(ffn=experts(asked.experts)),
        GatedWords(Gate()),
        asked.folder,
        precision=asked.precision,
        compile=asked.compile,
        threads=asked.threads,
    )


if __name__ == "__main__":
    main()
