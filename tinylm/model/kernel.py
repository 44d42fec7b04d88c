"""The attention products and the turning of queries and keys, in the form that is fastest for a length and device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PLAIN_UP_TO = 512  # tokens; on CPU three plain products beat the fused kernel up to about here, and then memory decides


def attend(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    visible_BHTS: Tensor | None = None,
    bias_1HTS: Tensor | None = None,
    causal: bool = True,
) -> Tensor:
    """Softmax attention with grouped keys and values; scores scaled by 1 / sqrt(K). Vaswani et al. 2017, eq. 1.

    Args:
        k_BGSK, v_BGSK: of the places that the queries' T places are the last of.
        visible_BHTS: True where a query may see a key, broadcastable to (B, H, T, S), or to wider ones of which the
            last S columns count. None: by ``causal`` alone.
        bias_1HTS: added to the scaled scores; likewise.
        causal: used where ``visible_BHTS`` is None.

    Returns:
        Values (B, H, T, K).
    """
    T, S = q_BHTK.shape[-2], k_BGSK.shape[-2]
    if visible_BHTS is not None:
        visible_BHTS = visible_BHTS[..., -S:]
    elif causal and T == 1:
        causal = False  # the last place sees all
    if bias_1HTS is not None:
        bias_1HTS = bias_1HTS[..., -S:]
    if q_BHTK.device.type == "cpu" and T <= PLAIN_UP_TO:
        return plain(q_BHTK, k_BGSK, v_BGSK, visible_BHTS, bias_1HTS, causal)
    return fused(q_BHTK, k_BGSK, v_BGSK, visible_BHTS, bias_1HTS, causal)


def plain(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    visible_BHTS: Tensor | None,
    bias_1HTS: Tensor | None,
    causal: bool,
) -> Tensor:
    """``attend`` as product, softmax in fp32, product; a group's heads are stacked in time, so no key is copied."""
    B, H, T, K = q_BHTK.shape
    G, S = k_BGSK.shape[1:3]
    scores_BHTS = (q_BHTK.reshape(B, G, H // G * T, K) @ k_BGSK.transpose(-1, -2)).view(B, H, T, S).float() * K**-0.5
    if bias_1HTS is not None:
        scores_BHTS = scores_BHTS + bias_1HTS
    if visible_BHTS is None and causal:
        visible_BHTS = _lower(T, S, q_BHTK.device)
    if visible_BHTS is not None:
        scores_BHTS = scores_BHTS.masked_fill(~visible_BHTS, -torch.inf)
    weights_BHTS = scores_BHTS.softmax(dim=-1).to(v_BGSK.dtype)
    return (weights_BHTS.view(B, G, H // G * T, S) @ v_BGSK).view(B, H, T, K)


def fused(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    visible_BHTS: Tensor | None,
    bias_1HTS: Tensor | None,
    causal: bool,
) -> Tensor:
    """``attend`` through torch's scaled_dot_product_attention, which keeps no scores."""
    copies = q_BHTK.shape[1] // k_BGSK.shape[1]
    if copies > 1:
        k_BGSK, v_BGSK = k_BGSK.repeat_interleave(copies, dim=1), v_BGSK.repeat_interleave(copies, dim=1)
    T, S = q_BHTK.shape[-2], k_BGSK.shape[-2]
    if visible_BHTS is None and bias_1HTS is None and not (causal and T < S):
        return functional.scaled_dot_product_attention(q_BHTK, k_BGSK, v_BGSK, is_causal=causal)
    if visible_BHTS is None and causal:
        visible_BHTS = _lower(T, S, q_BHTK.device)
    mask = visible_BHTS
    if bias_1HTS is not None:
        mask = bias_1HTS if visible_BHTS is None else bias_1HTS.masked_fill(~visible_BHTS, -torch.inf)
    return functional.scaled_dot_product_attention(q_BHTK, k_BGSK, v_BGSK, attn_mask=mask)


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
    return torch.ones(1, 1, T, S, dtype=torch.bool, device=device).tril(S - T)
