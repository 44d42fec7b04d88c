"""What every layer of one forward shares: made once from the batch, data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tinylm.batch import Batch


@dataclass(frozen=True)
class Context:
    """Positions, visibility and routing keys of one forward. Causality comes from here, never from a layer.

    Fields:
        ids_BT: the tokens read.
        positions_BT: place of each token in its document, from 0; (1, T) where all rows are alike.
        causal: True where a token sees itself and what stands before it, False where it sees the whole row.
        visible_B1TT: True where the query (third axis) may see the key (last axis); None where ``causal`` says it all.
        rotation_BTK: cosines and sines that turn queries and keys (position slot), (B or 1, T, K / 2) each, or None.
        bias_1HTT: what the position slot adds to the scores before the softmax, or None.
        domain_B: the domain of each sequence, for layers that route by it.
        memory_BMD: what cross-attention reads: M encoded items a sequence.
        prefix: attention's site name -> keys and values (B, G, M, K) that stand before the sequence.
        weights: parameter name -> generated tensor that takes its place in this forward.
        cache: attention's site name -> keys and values (B, G, M, K) of the tokens read so far.
    """

    ids_BT: Tensor
    positions_BT: Tensor
    causal: bool = True
    visible_B1TT: Tensor | None = None
    rotation_BTK: tuple[Tensor, Tensor] | None = None
    bias_1HTT: Tensor | None = None
    domain_B: Tensor | None = None
    memory_BMD: Tensor | None = None
    prefix: Mapping[str, tuple[Tensor, Tensor]] | None = None
    weights: Mapping[str, Tensor] | None = None
    cache: Mapping[str, tuple[Tensor, Tensor]] | None = None

    @classmethod
    def of(cls, batch: Batch, causal: bool = True) -> Context:
        """The context of a batch: with ``document_BT`` given, attention stays within documents and positions restart.

        Documents of a row must be contiguous.
        """
        row_T = torch.arange(batch.ids_BT.shape[1], device=batch.ids_BT.device)
        if batch.document_BT is None:
            return cls(ids_BT=batch.ids_BT, positions_BT=row_T[None], causal=causal, domain_B=batch.domain_B)
        document_BT = batch.document_BT
        starts_BT = torch.zeros_like(document_BT)
        starts_BT[:, 1:] = torch.where(document_BT[:, 1:] != document_BT[:, :-1], row_T[1:], 0)
        visible_BTT = document_BT[:, :, None] == document_BT[:, None, :]
        if causal:
            visible_BTT = visible_BTT & (row_T[:, None] >= row_T[None, :])
        return cls(
            ids_BT=batch.ids_BT,
            positions_BT=row_T - starts_BT.cummax(dim=1).values,
            causal=causal,
            visible_B1TT=visible_BTT[:, None],
            domain_B=batch.domain_B,
        )

    def within(self, window: int) -> Tensor | None:
        """Visibility for layers that see tokens fewer than ``window`` places away only (1: the token itself).

        Boolean, broadcastable to (B, H, T, T); None where ``causal`` says it all, as in ``visible_B1TT``.
        """
        T = self.ids_BT.shape[1]
        if window >= T:
            return self.visible_B1TT
        row_T = torch.arange(T, device=self.ids_BT.device)
        distance_TT = row_T[:, None] - row_T[None, :]
        near_TT = distance_TT.abs() < window
        if self.visible_B1TT is not None:
            return self.visible_B1TT & near_TT
        if self.causal:
            near_TT = near_TT & (distance_TT >= 0)
        return near_TT[None, None]
