"""The attention products and the turning of queries and keys, in the form that is fastest for a length and device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PLAIN_UP_TO = 512  # tokens; on CPU three plain products beat the fused kernel up to about here, and then memory decides


def attend(
    q_BHTK: Tensor,
    k_BGTK: Tensor,
    v_BGTK: Tensor,
    visible_BHTT: Tensor | None = None,
    bias_1HTT: Tensor | None = None,
    causal: bool = True,
) -> Tensor:
    """Softmax attention with grouped keys and values; scores scaled by 1 / sqrt(K). Vaswani et al. 2017, eq. 1.

    Args:
        visible_BHTT: True where a query may see a key, broadcastable to (B, H, T, T). None: by ``causal`` alone.
        bias_1HTT: added to the scaled scores.
        causal: used where ``visible_BHTT`` is None.

    Returns:
        Values (B, H, T, K).
    """
    T = q_BHTK.shape[-2]
    if q_BHTK.device.type == "cpu" and T <= PLAIN_UP_TO:
        return plain(q_BHTK, k_BGTK, v_BGTK, visible_BHTT, bias_1HTT, causal)
    return fused(q_BHTK, k_BGTK, v_BGTK, visible_BHTT, bias_1HTT, causal)


def plain(
    q_BHTK: Tensor,
    k_BGTK: Tensor,
    v_BGTK: Tensor,
    visible_BHTT: Tensor | None,
    bias_1HTT: Tensor | None,
    causal: bool,
) -> Tensor:
    """``attend`` as product, softmax in fp32, product; a group's heads are stacked in time, so no key is copied."""
    B, H, T, K = q_BHTK.shape
    G = k_BGTK.shape[1]
    scores_BHTT = (q_BHTK.reshape(B, G, H // G * T, K) @ k_BGTK.transpose(-1, -2)).view(B, H, T, T).float() * K**-0.5
    if bias_1HTT is not None:
        scores_BHTT = scores_BHTT + bias_1HTT
    if visible_BHTT is None and causal:
        visible_BHTT = _lower(T, q_BHTK.device)
    if visible_BHTT is not None:
        scores_BHTT = scores_BHTT.masked_fill(~visible_BHTT, -torch.inf)
    weights_BHTT = scores_BHTT.softmax(dim=-1).to(v_BGTK.dtype)
    return (weights_BHTT.view(B, G, H // G * T, T) @ v_BGTK).view(B, H, T, K)


def fused(
    q_BHTK: Tensor,
    k_BGTK: Tensor,
    v_BGTK: Tensor,
    visible_BHTT: Tensor | None,
    bias_1HTT: Tensor | None,
    causal: bool,
) -> Tensor:
    """``attend`` through torch's scaled_dot_product_attention, which keeps no scores."""
    copies = q_BHTK.shape[1] // k_BGTK.shape[1]
    if copies > 1:
        k_BGTK, v_BGTK = k_BGTK.repeat_interleave(copies, dim=1), v_BGTK.repeat_interleave(copies, dim=1)
    if visible_BHTT is None and bias_1HTT is None:
        return functional.scaled_dot_product_attention(q_BHTK, k_BGTK, v_BGTK, is_causal=causal)
    if visible_BHTT is None and causal:
        visible_BHTT = _lower(q_BHTK.shape[-2], q_BHTK.device)
    mask = visible_BHTT
    if bias_1HTT is not None:
        mask = bias_1HTT if visible_BHTT is None else bias_1HTT.masked_fill(~visible_BHTT, -torch.inf)
    return functional.scaled_dot_product_attention(q_BHTK, k_BGTK, v_BGTK, attn_mask=mask)


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


def _lower(T: int, device: torch.device) -> Tensor:
    return torch.ones(1, 1, T, T, dtype=torch.bool, device=device).tril()
