"""A side: the loop that one writes first, around our model, in fp32 and eager."""

from __future__ import annotations

import argparse
from itertools import count

import torch
from torch.nn import functional

from benchmarks.turns import Gate
from benchmarks.workload import RATE, Words, our_model


def main() -> None:
    """``python -m benchmarks.plain --threads 2``"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", help="not used: nothing is written")
    torch.set_num_threads(parser.parse_args().threads)
    gate, words, model = Gate(), Words(), our_model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    for step in count():
        gate()
        batch = words[step]
        logits_BTV = model.head(model(batch).hidden_BTD)
        loss = functional.cross_entropy(logits_BTV.flatten(0, 1), batch.targets_BT.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()


if __name__ == "__main__":
    main()
