"""A model small enough for tests, its slots open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tinylm.batch import Batch
from tinylm.init.initialiser import fill
from tinylm.init.scratch import Scratch
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.rms import RMS
from tinylm.model.position.rotary import Rotary
from tinylm.model.shape import Shape
from tinylm.streams import Streams

SHAPE = Shape(depth=2, width=32, heads=4, kv_heads=2, head_dim=8, hidden=48, vocab=61, context=24, tied=True)


def tiny_model(shape: Shape = SHAPE, seed: int = 0, std: float = 0.3, **slots: Any) -> LanguageModel:
    """A filled model; a large ``std`` makes attention sharp, so that a wrong mask shows."""
    chosen = {"attention": MultiHead, "ffn": SwiGLU, "norm": RMS, "position": Rotary, **slots}
    with torch.device("meta"):
        model = LanguageModel(shape, **chosen)
    fill(model, [Scratch(std=std)], Streams(seed))
    return model


def with_shape(**changes: Any) -> Shape:
    """The tests' shape with some numbers changed."""
    return replace(SHAPE, **changes)


def random_batch(B: int, T: int, vocab: int = SHAPE.vocab, seed: int = 0, document_BT: Any = None) -> Batch:
    """Random tokens and targets."""
    generator = torch.Generator().manual_seed(seed)
    ids_BT = torch.randint(0, vocab, (B, T), generator=generator)
    targets_BT = torch.randint(0, vocab, (B, T), generator=generator)
    return Batch(ids_BT, targets_BT, document_BT=document_BT)
