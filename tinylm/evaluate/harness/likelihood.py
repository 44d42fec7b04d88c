"""How likely a model finds continuations of contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinylm.batch import IGNORE, Batch
from tinylm.evaluate.bits import CHUNK
from tinylm.model.lm import LanguageModel


class Likelihood(NamedTuple):
    """``nats``: log-probability of a continuation.  ``greedy``: whether each of its tokens is the likeliest."""

    nats: float
    greedy: bool


@dataclass
class Row:
    """Ids that are read once, and the continuations that end with them.

    ids: what is read.  wanted: (number of the pair, its continuation), whose last token follows the last id.
    """

    ids: tuple[int, ...]
    wanted: list[tuple[int, list[int]]]


def likelihoods(
    model: LanguageModel,
    pairs: Sequence[tuple[list[int], list[int]]],
    *,
    window: int,
    rows: int = 4096,
    precision: Literal["bf16", "fp32"] = "fp32",
    done: Callable[[int], object] = lambda count: None,
) -> list[Likelihood]:
    """The likelihood of each continuation after its context, in the order of ``pairs``.

    Logits are made where a token is scored, and nowhere else. Pairs that differ in the last token alone are read
    together; rows of alike length are read together.

    Args:
        pairs: ids of context (at least one) and continuation (at least one, at most ``window``). What is read are the
            last ``window`` ids before the last one: what is too long loses its beginning.
        window: ids that the model reads at most.
        rows: ids read in one forward, about.
        done: told how many pairs are scored, batch by batch.
    """
    found: list[Likelihood | None] = [None] * len(pairs)
    training = model.training
    model.eval()
    try:
        for batch in _batches(_rows(pairs, window), rows):
            for number, likelihood in _score(model, batch, precision):
                found[number] = likelihood
            done(sum(len(row.wanted) for row in batch))
    finally:
        model.train(training)
    return [one for one in found if one is not None]


def _rows(pairs: Sequence[tuple[list[int], list[int]]], window: int) -> list[Row]:
    """What is read, each once, the longest first: so the first forward takes the most memory."""
    rows: dict[tuple[int, ...], Row] = {}
    for number, (context, continuation) in enumerate(pairs):
        ids = tuple([*context, *continuation][-(window + 1) : -1])
        rows.setdefault(ids, Row(ids, [])).wanted.append((number, continuation))
    return sorted(rows.values(), key=lambda row: -len(row.ids))


def _batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    at = 0
    while at < len(rows):
        count = max(1, size // len(rows[at].ids))
        yield rows[at : at + count]
        at += count


def _score(
    model: LanguageModel, rows: Sequence[Row], precision: Literal["bf16", "fp32"]
) -> Iterator[tuple[int, Likelihood]]:
    """One forward over rows of about one length; what pads them stands behind, where no scored token sees it."""
    ids_BT = np.zeros((len(rows), len(rows[0].ids)), dtype=np.int64)
    place, target, owner = [], [], []
    for index, row in enumerate(rows):
        ids_BT[index, : len(row.ids)] = row.ids
        for number, continuation in row.wanted:
            first = len(row.ids) - len(continuation)
            place += [(index, first + offset) for offset in range(len(continuation))]
            target += continuation
            owner += [number] * len(continuation)
    device = next(model.parameters()).device
    row_M, time_M = torch.tensor(place, device=device).unbind(1)
    target_M = torch.tensor(target, device=device)

    def read(head: Callable[[Tensor], Tensor], hidden_BTD: Tensor) -> tuple[Tensor, Tensor]:
        hidden_MD = hidden_BTD[row_M, time_M]
        nats, greedy = [], []
        for part_MD, wanted_M in zip(hidden_MD.split(CHUNK), target_M.split(CHUNK), strict=True):
            logits_MV = head(part_MD).float()
            nats.append(-functional.cross_entropy(logits_MV, wanted_M, reduction="none"))
            greedy.append(logits_MV.argmax(dim=-1) == wanted_M)
        return torch.cat(nats), torch.cat(greedy)

    ids = torch.from_numpy(ids_BT).to(device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), autocast:
        nats_M, greedy_M = model(Batch(ids, torch.full_like(ids, IGNORE)), read=read).read
    total: dict[int, Likelihood] = {}
    for number, nats, greedy in zip(owner, nats_M.double().tolist(), greedy_M.tolist(), strict=True):
        before = total.get(number, Likelihood(0.0, True))
        total[number] = Likelihood(before.nats + nats, before.greedy and greedy)
    yield from total.items()
