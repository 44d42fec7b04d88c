"""Softmax and product in one, for compiled code on a CPU, where every exponential is dear."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def softmax_product(scores_NTS: Tensor, v_NSK: Tensor) -> Tensor:
    """``softmax(scores) @ v``, with one exponential a score for value and gradients.

    Left to itself the compiler takes exponentials once for their sum, again for the weights and often a third time for
    the gradient. Here they are written down once, rounded; the product is divided by their sum, not each of them, as in
    Dao et al. 2022 (FlashAttention, arXiv 2205.14135), algorithm 1, without its blocks. The gradient's mean is taken
    over the weights, not over the rounded product as there: a query that sees one key has a gradient of exactly 0.

    Args:
        scores_NTS: fp32, leading dimensions as those of ``v_NSK``; every row has a score above minus infinity.

    Returns:
        Values (N, T, K) in v's dtype, in which both products are computed.
    """
    return _SoftmaxProduct.apply(scores_NTS, v_NSK)


class _SoftmaxProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores_NTS: Tensor, v_NSK: Tensor) -> Tensor:
        weights_NTS = (scores_NTS - scores_NTS.amax(-1, keepdim=True)).exp().to(v_NSK.dtype)
        sum_NT1 = weights_NTS.float().sum(-1, keepdim=True)  # of what is multiplied, so that the weights add up to 1
        y_NTK = ((weights_NTS @ v_NSK).float() / sum_NT1).to(v_NSK.dtype)
        ctx.save_for_backward(weights_NTS, sum_NT1, v_NSK)
        return y_NTK

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        weights_NTS, sum_NT1, v_NSK = ctx.saved_tensors
        gradient_NTK = (gradients[0].float() / sum_NT1).to(v_NSK.dtype)
        of_weights_NTS = (gradient_NTK @ v_NSK.transpose(-1, -2)).float()
        mean_NT1 = (weights_NTS.float() * of_weights_NTS).sum(-1, keepdim=True) / sum_NT1
        return weights_NTS.float() * (of_weights_NTS - mean_NT1), weights_NTS.transpose(-1, -2) @ gradient_NTK
