"""What a model has and what a token costs: parameters and FLOPs by part, total and active."""

from __future__ import annotations

from collections.abc import Callable

from tinylm.model.lm import LanguageModel
from tinylm.model.meta import meta
from tinylm.model.shape import Count, Shape
from tinylm.model.slots import Slot


def parameters(model: LanguageModel) -> dict[str, int]:
    """Parameters by part.

    ``total`` is the sum of ``embedding`` (token table), ``position``, ``attention``, ``shortcut``, ``ffn``, ``norm``
    and ``head`` (0 when tied: the table counts once); a norm inside attention or a feed-forward counts with these.
    ``body`` is what the blocks and the norms hold: total less embedding, position table and head, as in Kaplan et al.
    2020 (arXiv 2001.08361), section 2.1. ``active`` is total less what one token does not use.
    """
    inner = dict.fromkeys(("position", "attention", "shortcut", "ffn", "norm"), 0)
    for path, slot in model.slots():
        inner[_part(path)] += _numel(slot)
    embedding = model.embedding.weight.numel()
    head = 0 if model.unembedding is None else model.unembedding.weight.numel()
    total = embedding + head + sum(inner.values())
    return {
        "total": total,
        "active": total - _inactive(model),
        "body": total - embedding - head - inner["position"],
        "embedding": embedding,
        "head": head,
        **inner,
    }


def vocabulary_share(model: LanguageModel, vocab: int | None = None) -> float:
    """The part of all parameters that token table and head are: 2VD / (2VD + rest), VD / (VD + rest) where tied.

    Tang et al. 2024 (arXiv 2402.02791) call it the share of embedding and head.

    Args:
        vocab: count as if there were so many ids, and the rest were as it is; None: as many as there are.
    """
    counted = parameters(model)
    own = counted["embedding"] + counted["head"]
    rest = counted["total"] - own
    own = own if vocab is None else own // model.shape.vocab * vocab
    return own / (own + rest)


def flops_per_token(model: LanguageModel, T: int) -> dict[str, float]:
    """FLOPs of one token in a sequence of T, by part.

    Conventions: matrix products only, a multiply-add is 2; attention's score and value products count over all T,
    masked or not, as they are computed; training is 3 forwards (each product has two in the backward, but where
    nothing is trained).
    ``attention``, ``ffn``, ``head``, ``forward`` and ``training`` count the active parameters; ``forward_total`` and
    ``training_total`` count as if a token used all parameters.
    """
    attention = sum(block.attention.flops_per_token(T) for block in model.layers())
    shortcuts = [block.shortcut for block in model.layers() if block.shortcut is not None]
    shortcut = sum((part.flops_per_token() for part in shortcuts), 0.0)
    ffn = sum(block.ffn.flops_per_token() for block in model.layers())
    head = 2.0 * model.shape.width * model.shape.vocab
    forward = attention + shortcut + ffn + head
    forward_total = forward + 2.0 * _inactive(model)
    saved = 2.0 * sum(block.ffn.flops_without_gradient() for block in model.layers())
    return {
        "attention": attention,
        "shortcut": shortcut,
        "ffn": ffn,
        "head": head,
        "forward": forward,
        "training": 3 * forward - saved,
        "forward_total": forward_total,
        "training_total": 3 * forward_total - saved,
    }


def counter(model: Callable[[Shape], LanguageModel], count: Count) -> Callable[[Shape], int]:
    """The function that ``solve`` asks: a shape's parameters, counted on a model that takes no memory.

    Args:
        model: makes the model of a shape.
        count: which of ``parameters`` to count.
    """

    def counted(shape: Shape) -> int:
        with meta():
            return parameters(model(shape))[count]

    return counted


def _part(path: str) -> str:
    name = path.rsplit(".", 1)[-1]
    return "norm" if name.endswith("norm") else name


def _numel(slot: Slot) -> int:
    return sum(parameter.numel() for parameter in slot.parameters())


def _inactive(model: LanguageModel) -> int:
    return sum(block.ffn.inactive_parameters() for block in model.layers())
