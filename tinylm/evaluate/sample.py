"""Text drawn from a model."""

from __future__ import annotations

import torch

from tinylm.batch import IGNORE, Batch
from tinylm.errors import UserError
from tinylm.evaluate.evaluator import Vocabulary
from tinylm.model.lm import LanguageModel


@torch.inference_mode()
def sample(
    model: LanguageModel,
    tokenizer: Vocabulary,
    prompt: str,
    *,
    tokens: int = 200,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> str:
    """The prompt and what the model goes on with, up to its end of document.

    Each token is one forward over the last ``shape.context`` ids.

    Args:
        tokens: drawn at most.
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_k: draw among the k likeliest tokens (Fan et al. 2018, arXiv 1805.04833, section 5.1); None: among all.
        seed: of the draws.

    Raises:
        UserError: a temperature below 0, or a top_k below 1.
    """
    if temperature < 0:
        raise UserError(f"temperature is {temperature}; give 0 (the likeliest token) or more")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k is {top_k}; give 1 or more tokens to choose among")
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    ids = [tokenizer.bos, *tokenizer.encode(prompt)]
    training = model.training
    model.eval()
    try:
        for _ in range(tokens):
            ids_1T = torch.tensor([ids[-model.shape.context :]], device=device)
            output = model(Batch(ids_1T, torch.full_like(ids_1T, IGNORE)))
            logits_V = model.head(output.hidden_BTD[0, -1]).float().cpu()
            logits_V[tokenizer.bos] = -torch.inf  # it only ever opens a document
            drawn = _draw(logits_V, temperature, top_k, generator)
            if drawn == tokenizer.eos:
                break
            ids.append(drawn)
    finally:
        model.train(training)
    return tokenizer.decode(ids[1:])


def _draw(logits_V: torch.Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    """One token's id."""
    if temperature == 0:
        return int(logits_V.argmax())
    if top_k is not None and top_k < len(logits_V):
        least = logits_V.topk(top_k).values[-1]
        logits_V = logits_V.masked_fill(logits_V < least, -torch.inf)
    return int(torch.multinomial((logits_V / temperature).softmax(dim=-1), 1, generator=generator))
