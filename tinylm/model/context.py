"""What every layer of one forward shares: made once from the batch, data only."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tinylm.batch import Batch
from tinylm.model.cache import Cache
from tinylm.model.kept import kept
from tinylm.model.kernel import mask


@dataclass(frozen=True)
class Context:
    """Positions, visibility and routing keys of one forward. Causality comes from here, never from a layer.

    Fields:
        ids_BT: the tokens read.
        positions_BT: place of each token in its document, from 0; (1, T) where all rows are alike.
        causal: True where a token sees itself and what stands before it, False where it sees the whole row.
        mask_B1TS: 0 where the query (third axis) may see the key (last axis), minus infinity where not, in fp32; None
            where ``causal`` says it all.
        rotation_BTK: cosines and sines that turn queries and keys (position slot), (B or 1, T, K / 2) each, or None.
        bias_1HTS: what the position slot adds to the scores before the softmax, or None.
        domain_B: the domain of each sequence, for layers that route by it.
        memory_BMD: what cross-attention reads: M encoded items a sequence.
        prefix: attention's site name -> keys and values (B, G, M, K) that stand before the sequence.
        weights: parameter name -> generated tensor that takes its place in this forward.
        cache: what layers hold of the tokens of these rows that were read before, of which there are ``before``:
            S = ``before`` + T.
    """

    ids_BT: Tensor
    positions_BT: Tensor
    causal: bool = True
    mask_B1TS: Tensor | None = None
    rotation_BTK: tuple[Tensor, Tensor] | None = None
    bias_1HTS: Tensor | None = None
    domain_B: Tensor | None = None
    memory_BMD: Tensor | None = None
    prefix: Mapping[str, tuple[Tensor, Tensor]] | None = None
    weights: Mapping[str, Tensor] | None = None
    cache: Cache | None = None
    before: int = 0

    @classmethod
    def of(cls, batch: Batch, causal: bool = True, cache: Cache | None = None) -> Context:
        """The context of a batch: with ``document_BT`` given, attention stays within documents and positions restart.

        Documents of a row must be contiguous, those of the tokens that ``cache`` has read included.
        """
        before = 0 if cache is None else cache.length
        document_BS = batch.document_BT if cache is None else cache.documents(batch)
        row_S = torch.arange(before + batch.ids_BT.shape[1], device=batch.ids_BT.device)
        row_T = row_S[before:]
        if document_BS is None:
            return cls(
                ids_BT=batch.ids_BT,
                positions_BT=row_T[None],
                causal=causal,
                domain_B=batch.domain_B,
                cache=cache,
                before=before,
            )
        starts_BS = torch.zeros_like(document_BS)
        starts_BS[:, 1:] = torch.where(document_BS[:, 1:] != document_BS[:, :-1], row_S[1:], 0)
        visible_BTS = document_BS[:, before:, None] == document_BS[:, None, :]
        if causal:
            visible_BTS = visible_BTS & (row_T[:, None] >= row_S[None, :])
        return cls(
            ids_BT=batch.ids_BT,
            positions_BT=row_T - starts_BS.cummax(dim=1).values[:, before:],
            causal=causal,
            mask_B1TS=kept(mask(visible_BTS[:, None])),
            domain_B=batch.domain_B,
            cache=cache,
            before=before,
        )

    def within(self, window: int) -> Tensor | None:
        """The mask for layers that see tokens fewer than ``window`` places away only (1: the token itself).

        Broadcastable to (B, H, T, S); None where ``causal`` says it all, as in ``mask_B1TS``.
        """
        S = self.before + self.ids_BT.shape[1]
        if window >= S:
            return self.mask_B1TS
        row_S = torch.arange(S, device=self.ids_BT.device)
        distance_TS = row_S[self.before :, None] - row_S[None, :]
        near_TS = distance_TS.abs() < window
        if self.mask_B1TS is not None:
            return kept(self.mask_B1TS.masked_fill(~near_TS, -torch.inf))
        if self.causal:
            near_TS = near_TS & (distance_TS >= 0)
        return kept(mask(near_TS[None, None]))

    def recall(self, layer: Hashable, *new: Tensor, keep: int | None = None) -> tuple[Tensor, ...]:
        """A layer's tensors (..., T, K) with those of the tokens before, (..., S, K); as they are without a cache.

        A layer that looks at other tokens than its own takes what it looks at from here.

        Args:
            layer: the one that asks.
            keep: tokens before a token that it looks back at, where it does not look at all: S has no more than these
                and T then, while ``mask_B1TS`` and ``bias_1HTS`` are of the whole rows, to whose end it belongs.
        """
        return new if self.cache is None else self.cache.recall(layer, new, keep)
