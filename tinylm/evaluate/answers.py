"""Asking a model for the answers of examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinylm.batch import IGNORE, Batch
from tinylm.data.probe import Answer, Example, Task
from tinylm.evaluate.bits import CHUNK
from tinylm.evaluate.evaluator import Subject, Vocabulary, refuse_foresight


@dataclass(frozen=True)
class Outcome:
    """What was said to one answer: the bits of the right word, and whether it was found."""

    answer: Answer
    bits: float
    right: bool


@dataclass(frozen=True)
class _Text:
    """A text as ids from BOS on, and the targets that each of some words is, as (first, stop)."""

    ids: list[int]
    words: list[tuple[int, int]]


def ask(subject: Subject, examples: Sequence[Example], rows: int, domain: int | None = None) -> list[list[Outcome]]:
    """What a model says to each answer of each example, every text read in one piece.

    An answer is right where each of its ids is the likeliest of all; one with wrong words to compare it with, where
    it is likelier than each of them in its place.

    Args:
        rows: tokens read in one forward.
        domain: number of the texts' domain, for models that route by it.

    Raises:
        UserError: the model lets a token see later ones in evaluation.
    """
    texts: list[_Text] = []
    places: list[tuple[int, list[list[int]]]] = []  # an example's own text, and for each answer those of wrong words
    for example in examples:
        own = len(texts)
        texts.append(_read(subject.tokenizer, example.text, [(a.start, a.stop) for a in example.answers]))
        compared: list[list[int]] = []
        for answer in example.answers:
            compared.append([len(texts) + n for n in range(len(answer.wrong))])
            for word in answer.wrong:
                changed = f"{example.text[: answer.start]} {word}"
                texts.append(_read(subject.tokenizer, changed, [(answer.start, len(changed))]))
        places.append((own, compared))
    said = _scored(subject, texts, rows, domain)
    told = []
    for example, (own, compared) in zip(examples, places, strict=True):
        outcomes = []
        for answer, (bits, likeliest), wrong in zip(example.answers, said[own], compared, strict=True):
            right = bits < min(said[other][0][0] for other in wrong) if wrong else likeliest
            outcomes.append(Outcome(answer, bits, right))
        told.append(outcomes)
    return told


def ideal(task: Task, example: Example) -> list[Outcome]:
    """What the task's own predictor says to each answer of an example."""
    outcomes = []
    for answer in example.answers:
        chance = task.predict(example.text[: answer.start])
        own = chance.get(example.answer(answer), 0.0)
        others = answer.wrong or [word for word in chance if word != example.answer(answer)]
        right = own > max((chance.get(word, 0.0) for word in others), default=0.0)
        outcomes.append(Outcome(answer, -math.log2(own) if own else math.inf, right))
    return outcomes


def _read(tokenizer: Vocabulary, text: str, words: Sequence[tuple[int, int]]) -> _Text:
    """The ids of a text; a word's are those that hold a byte of it."""
    ids = list(tokenizer.encode(text))
    stop_T = np.cumsum(tokenizer.bytes_V[ids])
    firsts = np.searchsorted(stop_T, [start for start, _ in words], side="right")
    lasts = np.searchsorted(stop_T, [stop for _, stop in words], side="left")
    return _Text([tokenizer.bos, *ids], [(int(a), int(b) + 1) for a, b in zip(firsts, lasts, strict=True)])


def _scored(subject: Subject, texts: Sequence[_Text], rows: int, domain: int | None) -> list[list[tuple[float, bool]]]:
    """For each text, the bits of each of its words and whether its ids are the likeliest."""
    refuse_foresight(subject.model)
    said: list[list[tuple[float, bool]]] = [[] for _ in texts]
    training = subject.model.training
    subject.model.eval()
    try:
        for picked in _alike([len(text.ids) for text in texts], rows):
            nats_BT, likeliest_BT = _forward(subject, [texts[index].ids for index in picked], domain)
            for row, index in enumerate(picked):
                said[index] = [
                    (float(nats_BT[row, a:b].sum()) / math.log(2), bool(likeliest_BT[row, a:b].all()))
                    for a, b in texts[index].words
                ]
    finally:
        subject.model.train(training)
    return said


def _alike(lengths: Sequence[int], rows: int) -> Iterator[list[int]]:
    """Indices in groups of about ``rows`` ids, alike lengths together."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    at = 0
    while at < len(order):
        size = max(1, rows // lengths[order[at]])
        yield order[at : at + size]
        at += size


def _forward(subject: Subject, texts: Sequence[list[int]], domain: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Nats of every target of some texts, and whether it is the likeliest id, each (B, T); padding's mean nothing."""
    longest = max(map(len, texts)) - 1
    ids_BT = torch.full((len(texts), longest), subject.tokenizer.eos)
    targets_BT = torch.full_like(ids_BT, IGNORE)
    for row, ids in enumerate(texts):
        ids_BT[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        targets_BT[row, : len(ids) - 1] = torch.tensor(ids[1:])
    device = next(subject.model.parameters()).device
    domain_B = None if domain is None else torch.full((len(texts),), domain)
    batch = Batch(ids_BT, targets_BT, domain_B=domain_B).to(device)

    def read(head: Callable[[Tensor], Tensor], hidden_BTD: Tensor) -> tuple[Tensor, Tensor]:
        nats, best = [], []
        for rows_MD, wanted_M in zip(
            hidden_BTD.flatten(0, 1).split(CHUNK), batch.targets_BT.flatten().split(CHUNK), strict=True
        ):
            scores_MV = head(rows_MD).float().log_softmax(-1)
            nats.append(-scores_MV.gather(1, wanted_M.clamp(min=0)[:, None])[:, 0])
            best.append(scores_MV.argmax(-1) == wanted_M)
        return torch.cat(nats).view_as(ids_BT), torch.cat(best).view_as(ids_BT)

    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=subject.precision == "bf16"):
        nats_BT, likeliest_BT = subject.model(batch, read=read).read
    return nats_BT.double().cpu().numpy(), likeliest_BT.cpu().numpy()
