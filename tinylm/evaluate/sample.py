"""Text drawn from a model."""

from __future__ import annotations

from collections.abc import Sequence

from tinylm.evaluate.evaluator import Vocabulary
from tinylm.evaluate.generate import generate
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


def samples(
    model: LanguageModel,
    tokenizer: Vocabulary,
    prompts: Sequence[str],
    *,
    number: int = 1,
    tokens: int = 200,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    domain: int | None = None,
) -> list[list[str]]:
    """For each prompt ``number`` texts: the prompt and what the model goes on with, up to its end of document.

    The n-th text of a prompt depends on the seed and n alone, not on what else is asked for.

    Args:
        tokens: drawn at most for each.
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_k, top_p: choose among the likeliest tokens only, see `tinylm.evaluate.generate.distribution`.
        seed: of the draws.
        domain: number of the texts' domain, for models that route by it.

    Raises:
        UserError: an option out of range.
    """
    read = [[tokenizer.bos, *tokenizer.encode(prompt)] for prompt in prompts]
    seeds = [seed, *(Streams(seed).seed("select", "sample", place) for place in range(1, number))][:number]
    drawn = generate(
        model,
        [ids for ids in read for _ in range(number)],
        tokens=tokens,
        stop=[tokenizer.eos],
        never=[tokenizer.bos],  # it only ever opens a document
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seeds=seeds * len(read),
        domain=domain,
    )
    return [
        [tokenizer.decode([*ids[1:], *own]) for own in drawn[place * number : (place + 1) * number]]
        for place, ids in enumerate(read)
    ]
