"""A model with fewer tokens: the rows of its table and head that are left."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from tinylm.model.lm import LanguageModel


def with_vocabulary(model: LanguageModel, ids_V: Tensor) -> LanguageModel:
    """A copy of ``model`` that knows some of its tokens alone, in step with a pruned tokenizer (``Origin.ids_V``).

    Its logits of these, fed these, are those of ``model``: no token's row depends on another's, and only the softmax
    over them is taken over fewer.

    Args:
        model: tied or not.
        ids_V: int64, for every id of the copy the id in ``model``.

    Raises:
        IndexError: ``model`` has no such id.
    """
    vocab = model.shape.vocab
    if not len(ids_V) or ids_V.min() < 0 or ids_V.max() >= vocab:
        raise IndexError(f"the ids to keep are not all (or none are) among the model's 0 to {vocab - 1}")
    smaller = copy.deepcopy(model)
    smaller.shape = replace(model.shape, vocab=len(ids_V))
    with torch.no_grad():
        table_VD = model.embedding.weight[ids_V]
        smaller.embedding = nn.Embedding(len(ids_V), model.shape.width, _weight=table_VD)
        if model.unembedding is not None:
            head = nn.Linear(model.shape.width, len(ids_V), bias=False, device="meta")
            head.weight = nn.Parameter(model.unembedding.weight[ids_V])
            smaller.unembedding = head
    return smaller.train(model.training)
