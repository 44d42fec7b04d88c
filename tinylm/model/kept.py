"""Numbers that a compiler computes once."""

from __future__ import annotations

import torch
from torch import Tensor, library


def kept(x: Tensor) -> Tensor:
    """``x``, written to memory once where code is compiled.

    Left to itself the compiler fuses what is cheap to compute into all that reads it, and computes it there anew: the
    mask for every layer, head and pass of a softmax, a rotation's sines for every head. No gradient goes through.
    """
    return _kept(x) if torch.compiler.is_compiling() else x


@library.custom_op("tinylm::kept", mutates_args=())
def _kept(x: Tensor) -> Tensor:
    return x.clone()


@_kept.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)
