"""The attention products and the turning of queries and keys, in the form that is fastest for a length and device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinylm.model.kept import kept
from tinylm.model.softmax_product import softmax_product

# Tokens up to which three plain products beat the fused kernel on a CPU; beyond, memory decides.
PLAIN_UP_TO = 512  # trained, for the fused kernel's backward is slow, or compiled
PLAIN_UP_TO_EAGERLY = 64  # only read


def attend(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    mask_BHTS: Tensor | None = None,
    bias_1HTS: Tensor | None = None,
    causal: bool = True,
) -> Tensor:
    """Softmax attention with grouped keys and values; scores scaled by 1 / sqrt(K). Vaswani et al. 2017, eq. 1.

    Args:
        k_BGSK, v_BGSK: of the places that the queries' T places are the last of.
        mask_BHTS: added to the scaled scores, minus infinity where a query may not see a key; broadcastable to
            (B, H, T, S), or to wider ones of which the last S columns count. None: by ``causal`` alone.
        bias_1HTS: added to the scaled scores; likewise.
        causal: used where ``mask_BHTS`` is None.

    Returns:
        Values (B, H, T, K).
    """
    T, S = q_BHTK.shape[-2], k_BGSK.shape[-2]
    if mask_BHTS is not None:
        mask_BHTS = mask_BHTS[..., -S:]
    elif causal and T == 1:
        causal = False  # the last place sees all
    if bias_1HTS is not None:
        bias_1HTS = bias_1HTS[..., -S:]
    only_read = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    longest = PLAIN_UP_TO_EAGERLY if only_read else PLAIN_UP_TO
    if q_BHTK.device.type == "cpu" and longest >= T:
        return plain(q_BHTK, k_BGSK, v_BGSK, mask_BHTS, bias_1HTS, causal)
    return fused(q_BHTK, k_BGSK, v_BGSK, mask_BHTS, bias_1HTS, causal)


def plain(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    mask_BHTS: Tensor | None,
    bias_1HTS: Tensor | None,
    causal: bool,
) -> Tensor:
    """``attend`` as product, softmax in fp32, product; a group's heads are stacked in time, so no key is copied."""
    B, H, T, K = q_BHTK.shape
    G, S = k_BGSK.shape[1:3]
    scores_BHTS = (q_BHTK.reshape(B, G, H // G * T, K) @ k_BGSK.transpose(-1, -2)).view(B, H, T, S).float() * K**-0.5
    if mask_BHTS is None and causal:
        mask_BHTS = _lower(T, S, q_BHTK.device)
    for added in (bias_1HTS, mask_BHTS):
        if added is not None:
            scores_BHTS = scores_BHTS + added
    scores_BGNS = scores_BHTS.view(B, G, H // G * T, S)
    if torch.compiler.is_compiling():
        return softmax_product(scores_BGNS, v_BGSK).view(B, H, T, K)
    return (scores_BGNS.softmax(dim=-1).to(v_BGSK.dtype) @ v_BGSK).view(B, H, T, K)


def fused(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    mask_BHTS: Tensor | None,
    bias_1HTS: Tensor | None,
    causal: bool,
) -> Tensor:
    """``attend`` through torch's scaled_dot_product_attention, which keeps no scores."""
    copies = q_BHTK.shape[1] // k_BGSK.shape[1]
    if copies > 1:
        k_BGSK, v_BGSK = k_BGSK.repeat_interleave(copies, dim=1), v_BGSK.repeat_interleave(copies, dim=1)
    T, S = q_BHTK.shape[-2], k_BGSK.shape[-2]
    if mask_BHTS is None and bias_1HTS is None and not (causal and T < S):
        return functional.scaled_dot_product_attention(q_BHTK, k_BGSK, v_BGSK, is_causal=causal)
    if mask_BHTS is None and causal:
        mask_BHTS = _lower(T, S, q_BHTK.device)
    added = [part for part in (bias_1HTS, mask_BHTS) if part is not None]
    return functional.scaled_dot_product_attention(
        q_BHTK, k_BGSK, v_BGSK, attn_mask=sum(added[1:], added[0]).to(q_BHTK)
    )


def mask(visible: Tensor) -> Tensor:
    """What attention adds to its scores: 0 where ``visible``, minus infinity elsewhere; fp32."""
    return torch.zeros_like(visible, dtype=torch.float32).masked_fill(~visible, -torch.inf)


def rotate(x_BHTK: Tensor, rotation_BTK: tuple[Tensor, Tensor] | None) -> Tensor:
    """Queries or keys turned by position: the pair (i, i + K / 2) by the i-th angle, in fp32, given back in x's dtype.

    Su et al. 2021 (arXiv 2104.09864), eq. 34, in the halved order that Llama checkpoints use.
    """
    if rotation_BTK is None:
        return x_BHTK
    cos_B1TK, sin_B1TK = rotation_BTK[0][:, None], rotation_BTK[1][:, None]
    left, right = x_BHTK.float().chunk(2, dim=-1)
    turned = torch.cat((left * cos_B1TK - right * sin_B1TK, right * cos_B1TK + left * sin_B1TK), dim=-1)
    return turned.to(x_BHTK.dtype)


def _lower(T: int, S: int, device: torch.device) -> Tensor:
    return kept(mask(torch.ones(1, 1, T, S, dtype=torch.bool, device=device).tril(S - T)))
