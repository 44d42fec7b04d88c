"""A memory of many values, of which a token reads the few whose keys answer best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.errors import UserError
from tinylm.model.context import Context
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Counts, Draw, Role, Side

MOMENTUM = 0.1  # of the running moments of queries
EPS = 1e-5


class ProductKey(FFN):
    """``sum over heads and the ``read`` best slots (i, j) of softmax(s1_i + s2_j) V_(i, j)``, with s1 and s2 the
    products of the two halves of a query with n sub-keys each. Lample et al. 2019 (arXiv 1907.05242), section 3.

    The best of n^2 sums are among the ``read`` best of either half, so n^2 slots cost 2n products. Queries are
    normalised by their moments over a forward's tokens (``batch``; in evaluation by the running ones), which lets a
    later token touch an earlier one in training and makes more slots get read; or each by itself (``layer``).
    ``optim.memory_lr`` gives the values a learning rate of their own.

    Args:
        keys: n, sub-keys of a half; there are n^2 values, shared by the heads.
        read: slots that a head reads.
        heads: queries of a token.
        query: numbers of a query, both halves together.
        normalise: ``batch``, ``layer`` or None.
        start: ``normal``: values start at N(0, 1 / width); ``zero``: at 0, so that the first output is 0.
        dense: a feed-forward of ``shape.hidden`` beside the memory, whose output is added; None: the memory alone.

    Raises:
        UserError: more slots to read than there are keys of a half, or a query that has no halves.
    """

    pools = True

    def __init__(
        self,
        shape: Shape,
        layer: int,
        keys: int = 64,
        read: int = 8,
        heads: int = 2,
        query: int = 32,
        normalise: Literal["batch", "layer"] | None = "batch",
        start: Literal["normal", "zero"] = "normal",
        dense: Literal["swiglu", "gelu"] | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= read <= keys:
            raise UserError(f"model.ffn.read is {read}; a head reads 1 slot or more, and at most keys={keys}")
        if query < 2 or query % 2 or heads < 1:
            raise UserError(f"model.ffn.query={query}, heads={heads}: a query has two halves, and there is one or more")
        self.shape_of = (heads, query, keys)
        self.read, self.normalise, self.start = read, normalise, start
        self.causal_train = normalise != "batch"
        self.fixed = ("mean", "variance") if normalise == "batch" else ()
        self.query = nn.Linear(shape.width, heads * query, bias=True)
        self.keys = nn.Parameter(torch.empty(heads * 2, keys, query // 2))
        self.values = nn.Parameter(torch.empty(keys * keys, shape.width))
        self.dense = None if dense is None else {"swiglu": SwiGLU, "gelu": GELU}[dense](shape, layer)
        self.outputs = () if self.dense is None else tuple(f"dense.{name}" for name in self.dense.outputs)
        if normalise == "batch":
            self.mean = nn.Parameter(torch.empty(heads * query), requires_grad=False)
            self.variance = nn.Parameter(torch.empty(heads * query), requires_grad=False)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        heads, query, keys = self.shape_of
        x_ND = x_BTD.flatten(0, 1)
        query_NM = self._normalised(self.query(x_ND).float())
        with torch.autocast(x_BTD.device.type, enabled=False):
            half_MNK = query_NM.view(-1, heads * 2, query // 2).transpose(0, 1)
            score_NMV = (half_MNK @ self.keys.transpose(1, 2)).transpose(0, 1)
            best_NMk, place_NMk = score_NMV.topk(self.read, dim=-1)
            first, second = best_NMk[:, 0::2], best_NMk[:, 1::2]
            sums_NHM = (first[..., :, None] + second[..., None, :]).flatten(-2)
            slot_NHM = (place_NMk[:, 0::2, :, None] * keys + place_NMk[:, 1::2, None, :]).flatten(-2)
            sum_NHk, chosen_NHk = sums_NHM.topk(self.read, dim=-1)
            slot_NHk, weight_NHk = slot_NHM.gather(-1, chosen_NHk), sum_NHk.softmax(-1)
            slots_NM, weights_NM = slot_NHk.flatten(1), weight_NHk.flatten(1)
            y_ND = functional.embedding_bag(slots_NM, self.values, mode="sum", per_sample_weights=weights_NM)
        y_BTD = y_ND.view_as(x_BTD)
        if self.dense is not None:
            y_BTD = y_BTD + self.dense(x_BTD, context)[0]
        return y_BTD, Side({}, self._use(slots_NM, weights_NM))

    @property
    def activation(self) -> str | None:
        return None if self.dense is None else self.dense.activation

    def flops_per_token(self) -> float:
        heads, query, keys = self.shape_of
        beside = 0.0 if self.dense is None else self.dense.flops_per_token()
        return beside + 2.0 * (self.query.weight.numel() + heads * query * keys)

    def inactive_parameters(self) -> int:
        """Values that a token does not read."""
        heads, _, keys = self.shape_of
        return max(0, keys * keys - heads * self.read) * self.values.shape[1]

    def roles(self) -> Mapping[str, Role]:
        return {**super().roles(), "keys": "matrix", "values": "memory"}

    def starts(self) -> Mapping[str, float]:
        moments = {"mean": 0.0, "variance": 1.0} if self.normalise == "batch" else {}
        return {**super().starts(), **moments, **({"values": 0.0} if self.start == "zero" else {})}

    def draws(self) -> Mapping[str, Draw]:
        """Keys uniform within 1 / sqrt(K), values normal with variance 1 / D, as in the paper's code."""

        def keys(tensor: Tensor, generator: torch.Generator, counts: Counts) -> None:
            tensor.uniform_(-1, 1, generator=generator).mul_(tensor.shape[-1] ** -0.5)

        def values(tensor: Tensor, generator: torch.Generator, counts: Counts) -> None:
            tensor.normal_(0, tensor.shape[-1] ** -0.5, generator=generator)

        return {**super().draws(), "keys": keys, "values": values}

    def _normalised(self, query_NM: Tensor) -> Tensor:
        if self.normalise is None:
            return query_NM
        if self.normalise == "layer":
            heads, query, _ = self.shape_of
            return functional.layer_norm(query_NM.view(-1, heads, query), (query,), eps=EPS).flatten(1)
        return functional.batch_norm(
            query_NM, self.mean, self.variance, training=self.training, momentum=MOMENTUM, eps=EPS
        )

    def _use(self, slots_NM: Tensor, weights_NM: Tensor) -> dict[str, Tensor]:
        """``slots``: each slot's share of a forward's weights, (V,).  ``slots_read``: share of the slots that are
        read, which more tokens make larger.  ``slots_kl``: nats from the shares to all being alike."""
        weight_V = weights_NM.new_zeros(len(self.values)).scatter_add_(0, slots_NM.flatten(), weights_NM.flatten())
        share_V = (weight_V / weight_V.sum()).detach()
        divergence = math.log(len(share_V)) + torch.xlogy(share_V, share_V).sum()
        return {"slots": share_V, "slots_read": (share_V > 0).float().mean(), "slots_kl": divergence}
