"""How likely a model finds continuations of contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tinylm.batch import IGNORE, Batch
from tinylm.evaluate.bits import CHUNK
from tinylm.evaluate.evaluator import refuse_foresight
from tinylm.model.cache import Cache
from tinylm.model.lm import LanguageModel

ALIKE = 0.75  # as long as the longest of the rows that it is read with, a row is at least
WORTH = 0.4  # of the ids of several rows have to be spared, for these to be read from a cache: that costs time too


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
    wanted: list[tuple[int, list[int]]] = field(default_factory=list)


@dataclass
class Question:
    """Rows whose first ``shared`` ids are the same, all of them where there is one row alone."""

    rows: list[Row]
    shared: int

    def with_row(self, row: Row) -> Question | None:
        """The question with another row, where that spares more than it costs the rows that are there."""
        pairs = zip(self.rows[0].ids[: self.shared], row.ids, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        more = Question([*self.rows, row], shared)
        return more if more.spared > self.spared and more.shared > len(row.ids) / 4 else None

    def parts(self) -> list[Question]:
        """The question, or each of its rows alone where reading them together is not worth it."""
        if self.spared >= WORTH * (self.size + self.spared):
            return [self]
        return [Question([row], len(row.ids)) for row in self.rows]

    @property
    def spared(self) -> int:
        """Ids that are read but once, each time that they would be read again."""
        return (len(self.rows) - 1) * self.shared

    @property
    def size(self) -> int:
        """Ids that are read."""
        return self.shared + sum(len(row.ids) - self.shared for row in self.rows)


def likelihoods(
    model: LanguageModel,
    pairs: Sequence[tuple[list[int], list[int]]],
    *,
    window: int,
    rows: int = 1024,
    precision: Literal["bf16", "fp32"] = "fp32",
    done: Callable[[int], object] = lambda count: None,
    domain: int | None = None,
) -> list[Likelihood]:
    """The likelihood of each continuation after its context, in the order of ``pairs``.

    Logits are made where a token is scored, and nowhere else. What neighbouring pairs begin with alike, such as the
    choices of a question, is read once, and what follows goes on from the cache. Rows of alike length are read
    together.

    Args:
        pairs: ids of context (at least one) and continuation (at least one, at most ``window``). What is read are the
            last ``window`` ids before the last one: what is too long loses its beginning.
        window: ids that the model reads at most.
        rows: ids read in one forward, about.
        done: told how many pairs are scored, batch by batch.
        domain: number of the domain that all is read as, for models that route by it.

    Raises:
        UserError: the model lets a token see later ones in evaluation.
    """
    refuse_foresight(model)
    nats, greedy = [0.0] * len(pairs), [True] * len(pairs)
    training = model.training
    model.eval()
    try:
        for batch in _batches(_questions(pairs, window), rows):
            device = next(model.parameters()).device
            autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
            with torch.inference_mode(), autocast:
                for number, value, likeliest in _scored(model, batch, domain):
                    nats[number] += value
                    greedy[number] &= likeliest
            done(sum(len(row.wanted) for question in batch for row in question.rows))
    finally:
        model.train(training)
    return [Likelihood(*one) for one in zip(nats, greedy, strict=True)]


def _questions(pairs: Sequence[tuple[list[int], list[int]]], window: int) -> list[Question]:
    """What is read, each row once; those of one row first, the longest first, so that the first takes most memory."""
    rows: dict[tuple[int, ...], Row] = {}
    for number, (context, continuation) in enumerate(pairs):
        ids = tuple([*context, *continuation][-(window + 1) : -1])
        rows.setdefault(ids, Row(ids)).wanted.append((number, continuation))
    questions: list[Question] = []
    for row in rows.values():
        more = questions[-1].with_row(row) if questions else None
        if more is None:
            questions.append(Question([row], len(row.ids)))
        else:
            questions[-1] = more
    questions = [part for question in questions for part in question.parts()]
    return sorted(questions, key=lambda question: (len(question.rows) > 1, -question.shared))


def _batches(questions: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """Questions of one row, or such of several, whose ids are about ``size``."""
    batch: list[Question] = []
    for question in questions:
        alike = not batch or (len(question.rows) > 1) == (len(batch[0].rows) > 1)
        if batch and (not alike or sum(one.size for one in batch) + question.size > size):
            yield batch
            batch = []
        batch.append(question)
    if batch:
        yield batch


def _scored(
    model: LanguageModel, questions: Sequence[Question], domain: int | None
) -> Iterator[tuple[int, float, bool]]:
    """(number of a pair, nats, whether it is the likeliest) of each scored token."""
    cache = Cache() if any(len(question.rows) > 1 for question in questions) else None
    heads = [question.rows[0].ids[: question.shared] for question in questions]
    asked = [(place, row, 0, one.shared) for place, one in enumerate(questions) for row in one.rows]
    yield from _read(model, heads, asked, cache, domain)
    tails = [(place, one.shared, row) for place, one in enumerate(questions) for row in one.rows]
    room = None if model.position.any_length else model.shape.context
    for part in _alike([tail for tail in tails if len(tail[2].ids) > tail[1]], room):
        assert cache is not None
        begun = cache.rows(torch.tensor([place for place, _, _ in part], device=next(model.parameters()).device))
        asked = [(place, row, shared, len(row.ids)) for place, (_, shared, row) in enumerate(part)]
        yield from _read(model, [row.ids[shared:] for _, shared, row in part], asked, begun, domain)


def _alike(tails: list[tuple[int, int, Row]], room: int | None) -> Iterator[list[tuple[int, int, Row]]]:
    """(question's place, ids shared, row), in parts whose rows have about as many ids left, so that little pads.

    Args:
        room: places that there are for a row with what pads it; None: any number.
    """
    tails.sort(key=lambda tail: tail[1] - len(tail[2].ids))
    part: list[tuple[int, int, Row]] = []
    for tail in tails:
        longest = len(part[0][2].ids) - part[0][1] if part else 0
        full = room is not None and tail[1] + longest > room
        if part and (full or len(tail[2].ids) - tail[1] < ALIKE * longest):
            yield part
            part = []
        part.append(tail)
    if part:
        yield part


def _read(
    model: LanguageModel,
    parts: Sequence[tuple[int, ...]],
    asked: Iterable[tuple[int, Row, int, int]],
    cache: Cache | None,
    domain: int | None,
) -> Iterator[tuple[int, float, bool]]:
    """Read parts of rows, the first of them into the cache, and score what follows the ids within them.

    Parts that begin rows which are gone on with end at one place: they are padded on the left, by ids of a document of
    their own. Others are padded on the right, where no scored token sees it.

    Args:
        asked: (place of the part, its row, the ids of the row that it begins and ends at).
    """
    longest = max(map(len, parts))
    left = [longest - len(part) if cache is not None and cache.length == 0 else 0 for part in parts]
    device = next(model.parameters()).device
    ids_BT = torch.tensor(
        [[0] * pad + list(part) + [0] * (longest - pad - len(part)) for part, pad in zip(parts, left, strict=True)]
    )
    document_BT = (torch.arange(longest) < torch.tensor(left)[:, None]).long() if any(left) else None
    places, targets, owners = [], [], []
    for place, row, begin, end in asked:
        for number, continuation in row.wanted:
            first = len(row.ids) - len(continuation)
            for at in range(max(first, begin), end):
                places.append((place, left[place] + at - begin))
                targets.append(continuation[at - first])
                owners.append(number)
    place_M, time_M = torch.tensor(places, dtype=torch.int64, device=device).view(-1, 2).unbind(1)
    target_M = torch.tensor(targets, dtype=torch.int64, device=device)

    def read(head: Callable[[Tensor], Tensor], hidden_BTD: Tensor) -> tuple[list[float], list[bool]]:
        hidden_MD = hidden_BTD[place_M, time_M]
        nats: list[float] = []
        greedy: list[bool] = []
        for part_MD, wanted_M in zip(hidden_MD.split(CHUNK), target_M.split(CHUNK), strict=True):
            logits_MV = head(part_MD).float()
            nats += (-functional.cross_entropy(logits_MV, wanted_M, reduction="none")).tolist()
            greedy += (logits_MV.argmax(dim=-1) == wanted_M).tolist()
        return nats, greedy

    domain_B = None if domain is None else torch.full((len(parts),), domain)
    batch = Batch(ids_BT, torch.full_like(ids_BT, IGNORE), document_BT=document_BT, domain_B=domain_B).to(device)
    nats, greedy = model(batch, read=read, cache=cache).read
    yield from zip(owners, nats, greedy, strict=True)
