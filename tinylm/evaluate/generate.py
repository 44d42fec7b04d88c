"""Tokens drawn from a model, a batch of texts at once, each token read once."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from tinylm.batch import IGNORE, Batch
from tinylm.errors import UserError
from tinylm.model.cache import Cache
from tinylm.model.experts import held
from tinylm.model.lm import LanguageModel


@torch.inference_mode()
def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    tokens: int,
    stop: Collection[int] = (),
    until: Callable[[list[int]], bool] | None = None,
    never: Collection[int] = (),
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seeds: Sequence[int] | None = None,
    domain: int | None = None,
    window: int | None = None,
) -> list[list[int]]:
    """What the model goes on with after each prompt: the ids drawn, without the prompt's.

    A text of more than ``window`` tokens is read in windows, as `tinylm.evaluate.bits` reads it: each begins
    half a window after the one before, at position 0, so that every token is drawn from the distribution by which
    ``bits_per_byte`` scores it. Within a window a token is read once. Prompts may be of unequal length; all are read
    together, so hand in as many as there is memory for. A text's draws depend on its own seed alone. For bf16 call it
    under autocast.

    Args:
        model: on its device.
        prompts: the ids of each, BOS included where the model is used to it.
        tokens: drawn at most for each prompt.
        stop: ids that end a text; they are not given back.
        until: asked with the ids drawn so far after each; True ends the text.
        never: ids that are not drawn.
        temperature, top_k, top_p: see ``distribution``; temperature 0 takes the likeliest token.
        seeds: of the draws, one a prompt; None: 0, 1, 2, ...
        domain: number of the text's domain, for models that route by it.
        window: tokens read at most before a draw; None: ``shape.context``.

    Raises:
        UserError: a prompt without ids, an option out of range, or a model that looks at later tokens.
    """
    refuse(temperature, top_k, top_p)
    if empty := [place for place, prompt in enumerate(prompts) if not len(prompt)]:
        raise UserError(f"prompt {empty[0]} has no ids to go on from; let it begin with BOS")
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or range(len(prompts))]
    texts, drawn = [list(prompt) for prompt in prompts], [list[int]() for _ in prompts]
    live = list(range(len(prompts))) if tokens > 0 else []
    training = model.training
    model.eval()
    try:
        if not model.causal:
            raise UserError("the model lets a token see later ones in evaluation too, so it cannot write one by one")
        reader = Reader(model, room=max(map(len, texts), default=0) + tokens, domain=domain, window=window)
        with held(model):
            while live:
                logits_BV = reader.read([texts[row] for row in live]).float().cpu()
                logits_BV[:, list(never)] = -torch.inf
                chosen = draw(logits_BV, temperature, top_k, top_p, [generators[row] for row in live])
                going = []
                for place, (row, token) in enumerate(zip(live, chosen, strict=True)):
                    if token in stop:
                        continue
                    texts[row].append(token)
                    drawn[row].append(token)
                    if len(drawn[row]) < tokens and not (until is not None and until(drawn[row])):
                        going.append(place)
                if len(going) < len(live):
                    live = [live[place] for place in going]
                    reader.leave(going)
    finally:
        model.train(training)
    return drawn


class Reader:
    """Reads texts that grow by a token at a time, and tells what may follow.

    Args:
        room: tokens that a text will have at most.
        domain: number of the texts' domain.
        window: tokens read at most before a draw; None: ``shape.context``.
    """

    def __init__(
        self, model: LanguageModel, room: int = 0, domain: int | None = None, window: int | None = None
    ) -> None:
        self.model, self.domain = model, domain
        self.window = window or model.shape.context
        self.room = min(room, self.window)
        self.cache: Cache | None = None
        self.starts: list[int] = []

    def read(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Logits (B, V) of what follows each text. After the first call each text has one id more than before."""
        starts = [start(len(text), self.window) for text in texts]
        if self.cache is None or starts != self.starts:  # some window is full: the next ones are read from their start
            self.cache, self.starts = Cache(self.room), starts
            rows = [text[begin:] for text, begin in zip(texts, starts, strict=True)]
        else:
            rows = [text[-1:] for text in texts]
        return following(self.model, rows, self.cache, self.domain)

    def leave(self, going: Sequence[int]) -> None:
        """Go on with some of the texts alone, named by their places."""
        assert self.cache is not None
        self.cache = self.cache.rows(torch.tensor(going, dtype=torch.int64))
        self.starts = [self.starts[place] for place in going]


def following(
    model: LanguageModel, rows: Sequence[Sequence[int]], cache: Cache | None = None, domain: int | None = None
) -> Tensor:
    """Logits (B, V) of what follows each row, in one forward on the model's device.

    Args:
        rows: ids, as many as one likes; with a cache that has read the rows so far, what is new of each, as many of
            each.
        cache: of the rows.
        domain: number of the rows' domain.
    """
    longest = max(map(len, rows))
    padding = [longest - len(row) for row in rows]
    # What pads stands on the left, as a document of its own, so that all rows go on at one place.
    ids_BT = torch.tensor([[0] * pad + list(row) for row, pad in zip(rows, padding, strict=True)])
    document_BT = (torch.arange(longest) < torch.tensor(padding)[:, None]).long() if any(padding) else None
    batch = Batch(
        ids_BT,
        torch.full_like(ids_BT, IGNORE),
        document_BT=document_BT,
        domain_B=None if domain is None else torch.full((len(rows),), domain),
    ).to(next(model.parameters()).device)
    return model(batch, read=lambda head, hidden_BTD: head(hidden_BTD[:, -1]), cache=cache).read


def start(length: int, context: int) -> int:
    """Where the window begins in which what follows a text of ``length`` tokens is predicted."""
    half = max(1, context // 2)
    return -(-max(0, length - context) // half) * half


def distribution(
    logits_BV: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Probabilities (B, V) that tokens are drawn by.

    Args:
        temperature: above 0; logits are divided by it, before anything is left out.
        top_k: keep the k likeliest tokens (Fan et al. 2018, arXiv 1805.04833, section 5.1) and those as likely as the
            last of them; None: all.
        top_p: then keep the fewest likeliest tokens whose probabilities sum to p or more (nucleus sampling, Holtzman
            et al. 2020, arXiv 1904.09751, eq. 2), one at least; None: all.
    """
    logits_BV = logits_BV / temperature
    if top_k is not None and top_k < logits_BV.shape[-1]:
        least_B1 = logits_BV.topk(top_k).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    probability_BV = logits_BV.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        sorted_BV, order_BV = probability_BV.sort(dim=-1, descending=True, stable=True)
        above_BV = sorted_BV.cumsum(dim=-1) - sorted_BV  # of all likelier ones
        sorted_BV = sorted_BV.masked_fill(above_BV >= top_p, 0.0)
        probability_BV = torch.zeros_like(sorted_BV).scatter(-1, order_BV, sorted_BV)
        probability_BV = probability_BV / probability_BV.sum(dim=-1, keepdim=True)
    return probability_BV


def draw(
    logits_BV: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generators: Sequence[torch.Generator],
) -> list[int]:
    """A token for each row, by the row's own generator."""
    if temperature == 0:
        return logits_BV.argmax(dim=-1).tolist()
    probability_BV = distribution(logits_BV, temperature, top_k, top_p)
    return [
        int(torch.multinomial(probability_V, 1, generator=generator))
        for probability_V, generator in zip(probability_BV, generators, strict=True)
    ]


def refuse(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise on options that no draw can follow."""
    if not 0 <= temperature < math.inf:  # NaN too
        raise UserError(f"temperature is {temperature}; give 0 (the likeliest token) or more")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k is {top_k}; give 1 or more tokens to choose among")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p is {top_p}; give a probability above 0, 1 at most")
