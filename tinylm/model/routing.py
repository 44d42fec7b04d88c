"""From the expert of each token to rows sorted by expert, and back; what a router's health is told by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library
from torch.nn import functional

from tinylm.model.grouped import product_dtype

# Rows that an expert's group is filled up to a multiple of, on a CPU. oneDNN compiles a bf16 product for every number
# of rows and keeps a thousand: where loads differ from step to step, that took more time than the products themselves.
FILL = 16
ROUNDS = 16  # of matching: 6 to 14 give 4,096 tokens to 64 experts, liked alike or very unequally


@library.custom_op("tinylm::dispatched", mutates_args=())
def dispatched(x_ND: Tensor, order_M: Tensor, inverse_Nk: Tensor) -> Tensor:
    """The rows of the tokens sorted by expert: each token k times, ``x[order // k]``, (M, D); some row where nobody is.

    An operator of our own, as `combined` is, for the sake of the other's backward: of a gather by `combined`'s sum,
    where PyTorch would add up rows one by one.

    Args:
        order_M: int64, the flat choices sorted by expert; N k where a row is nobody's and fills a group up.
        inverse_Nk: int64, where each choice stands among them.
    """
    N, k = inverse_Nk.shape
    return x_ND.index_select(0, (order_M // k).clamp(max=N - 1))


@library.custom_op("tinylm::combined", mutates_args=())
def combined(rows_MD: Tensor, weight_Nk: Tensor | None, order_M: Tensor, inverse_Nk: Tensor) -> Tensor:
    """Each token's sum of its k rows, ``sum_k weight[n, k] rows[inverse[n, k]]``, (N, D).

    Args:
        weight_Nk: of the rows' dtype; None: all 1.
        order_M: as of `dispatched`.
        inverse_Nk: as of `dispatched`.
    """
    return functional.embedding_bag(inverse_Nk, rows_MD, mode="sum", per_sample_weights=weight_Nk)


@dispatched.register_fake
def _(x_ND: Tensor, order_M: Tensor, inverse_Nk: Tensor) -> Tensor:
    return x_ND.new_empty(order_M.shape[0], x_ND.shape[1])


@combined.register_fake
def _(rows_MD: Tensor, weight_Nk: Tensor | None, order_M: Tensor, inverse_Nk: Tensor) -> Tensor:
    return rows_MD.new_empty(inverse_Nk.shape[0], rows_MD.shape[1])


def _keep_order(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:])


def _dispatched_backward(ctx: Any, grad_MD: Tensor) -> tuple[Tensor, None, None]:
    return combined(grad_MD.contiguous(), None, *ctx.saved_tensors), None, None


def _keep_rows(ctx: Any, inputs: tuple[Tensor, Tensor | None, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _combined_backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
    rows_MD, weight_Nk, order_M, inverse_Nk = ctx.saved_tensors
    grad_MD = dispatched(grad_ND.contiguous(), order_M, inverse_Nk)
    if weight_Nk is None:
        alone = len(order_M) == inverse_Nk.numel()
        return grad_MD if alone else grad_MD * (order_M < inverse_Nk.numel())[:, None], None, None, None
    # Nobody's rows have no gradient, so that an expert's matrices get none of them.
    weight_M = torch.cat([weight_Nk.flatten(), weight_Nk.new_zeros(1)]).index_select(0, order_M)
    by_weight_M = (grad_MD * rows_MD).sum(-1)
    by_weight_Nk = by_weight_M.index_select(0, inverse_Nk.flatten()).view_as(weight_Nk)
    return grad_MD * weight_M[:, None], by_weight_Nk, None, None


dispatched.register_autograd(_dispatched_backward, setup_context=_keep_order)
combined.register_autograd(_combined_backward, setup_context=_keep_rows)


def counted(expert_M: Tensor, count: int) -> Tensor:
    """How many rows each expert has, (E,) int64."""
    zeros_E = torch.zeros(count, dtype=torch.int64, device=expert_M.device)
    return zeros_E.scatter_add_(0, expert_M, torch.ones_like(expert_M))


def routed(
    x_ND: Tensor,
    expert_Nk: Tensor,
    weight_Nk: Tensor | None,
    count: int,
    experts: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Each token's sum over its k experts, (N, D), and how many rows each expert had, (E,).

    No token is left out: one that shall not count has a weight of 0.

    Args:
        expert_Nk: int64, the experts of each token.
        weight_Nk: of each; None: all 1.
        experts: (rows sorted by expert, where each expert's end) -> rows. Rows after the last end are nobody's.
    """
    N, k = expert_Nk.shape
    flat_M = expert_Nk.flatten()
    load_E = counted(flat_M, count)
    fill = FILL if x_ND.device.type == "cpu" and N * k >= FILL * count else 1
    order_M, inverse_Nk, ends_E = _sorted(flat_M, load_E, fill)
    inverse_Nk = inverse_Nk.view(N, k)
    x_ND = x_ND.to(product_dtype(x_ND))  # before each token is there k times
    made_MD = experts(dispatched(x_ND, order_M, inverse_Nk), ends_E.int())
    weight_Nk = None if weight_Nk is None else weight_Nk.to(made_MD.dtype)
    return combined(made_MD, weight_Nk, order_M, inverse_Nk), load_E


def _sorted(expert_C: Tensor, load_E: Tensor, fill: int) -> tuple[Tensor, Tensor, Tensor]:
    """The choices sorted by expert, each expert's filled up to a multiple of ``fill`` rows.

    Returns:
        Which choice a row is, (C + E (fill - 1),), C where it is nobody's; the row of each choice, (C,); where each
        expert's rows end, (E,).
    """
    C = len(expert_C)
    order_C = expert_C.argsort(stable=True)
    filled_E = (load_E + fill - 1) // fill * fill
    ends_E = filled_E.cumsum(0)
    before_E = (ends_E - filled_E) - (load_E.cumsum(0) - load_E)  # rows of nobody before an expert's first
    row_C = torch.arange(C, device=order_C.device) + before_E[expert_C[order_C]]
    order_M = order_C.new_full((C + len(load_E) * (fill - 1),), C).scatter_(0, row_C, order_C)
    return order_M, torch.empty_like(order_C).scatter_(0, order_C, row_C), ends_E


def room(expert_Nk: Tensor, count: int, capacity: int) -> Tensor:
    """Which choices an expert has room for, (N, k) bool: it takes ``capacity`` rows, first choices before second ones,
    and among them in the order of the tokens. Lepikhin et al. 2020 (GShard, arXiv 2006.16668), algorithm 1."""
    N, k = expert_Nk.shape
    first_M = expert_Nk.T.flatten()  # all first choices, then all second ones
    chosen_ME = first_M[:, None] == torch.arange(count, device=first_M.device)
    place_M = (chosen_ME.cumsum(0) - 1).gather(1, first_M[:, None]).squeeze(1)
    return (place_M < capacity).view(k, N).T


def matched(affinity_NE: Tensor) -> Tensor:
    """An expert for each of N tokens, (N,): each gets N / E of them, rounded either way.

    In rounds, every token still without an expert asks the one it likes best of those with room; an expert takes those
    who like it most. Each round fills an expert or places all that are left, so E rounds do; where E is large, nearly
    all are placed long before, and who is left after ``ROUNDS`` takes what room there is, in the order of the tokens.
    It is no optimal assignment, as an auction would find (our construction).
    """
    N, E = affinity_NE.shape
    device = affinity_NE.device
    every_N, every_E = torch.arange(N, device=device), torch.arange(E, device=device)
    room_E = N // E + (every_E < N % E).long()
    expert_N = torch.full((N,), -1, device=device)
    for _ in range(min(E, ROUNDS)):
        best_N, wish_N = affinity_NE.masked_fill(room_E == 0, -torch.inf).max(-1)
        wish_N = torch.where(expert_N < 0, wish_N, E)  # E: asks nobody
        order_N = best_N.argsort(descending=True, stable=True)
        order_N = order_N[wish_N[order_N].argsort(stable=True)]  # by wish, the keenest first
        asked_N = wish_N[order_N]
        begins_N = torch.searchsorted(asked_N, asked_N)
        taken_N = (asked_N < E) & (every_N - begins_N < room_E[asked_N.clamp(max=E - 1)])
        found_N = torch.where(taken_N, asked_N, -1)
        expert_N = torch.maximum(expert_N, torch.empty_like(found_N).scatter_(0, order_N, found_N))
        room_E = room_E - ((found_N[:, None] == every_E).long()).sum(0)
    left_N = expert_N < 0
    rest_N = torch.searchsorted(room_E.cumsum(0), left_N.cumsum(0) - 1, right=True)
    return torch.where(left_N, rest_N, expert_N)


def health(load_E: Tensor, confidence: Tensor | None = None, dropped: Tensor | None = None) -> dict[str, Tensor]:
    """Statistics of a routed layer, detached: of the rows of one forward.

    ``load``: each expert's share of the rows (E,).  ``load_entropy``: of these shares, 1 where all are alike, 0 where
    one expert has all.  ``largest_share``.  ``dead``: share of the experts without a row.  ``confidence``: mean
    probability of a token's first choice.  ``dropped``: share of the choices that found no room.

    Args:
        load_E: rows of each expert.
    """
    share_E = load_E.float() / load_E.sum().clamp(min=1)
    entropy = -torch.xlogy(share_E, share_E).sum()
    told = {
        "load": share_E,
        "load_entropy": entropy / math.log(len(share_E)) if len(share_E) > 1 else torch.ones_like(entropy),
        "largest_share": share_E.max(),
        "dead": (load_E == 0).float().mean(),
    }
    if confidence is not None:
        told["confidence"] = confidence
    if dropped is not None:
        told["dropped"] = dropped
    return {name: value.detach() for name, value in told.items()}
