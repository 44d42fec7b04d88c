"""Products of rows with the matrices of the experts that they were sent to, all experts in one call.

PyTorch's grouped product, which no autocast casts, no FLOP counter counts and ``torch.compile`` takes in bf16 alone,
made an operator of our own: opaque to the compiler, counted, in any precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, library
from torch.nn import functional
from torch.utils.flop_counter import register_flop_formula

ROW = 16  # bytes that every stride has to be a multiple of


def product_dtype(x: Tensor) -> torch.dtype:
    """The precision that products with ``x`` are made in: autocast's, where it is on."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


@library.custom_op("tinylm::grouped", mutates_args=())
def grouped(x_MD: Tensor, weight_EFD: Tensor, ends_E: Tensor) -> Tensor:
    """``x @ weight[e].T`` for each row x, where rows ``ends_E[e - 1]`` to ``ends_E[e]`` belong to expert e; (M, F).

    Args:
        x_MD: rows sorted by expert.
        weight_EFD: of the same dtype.
        ends_E: int32, rising. An expert may have no rows. What comes of rows after the last end is undefined.
    """
    if _aligned(x_MD, weight_EFD):
        return functional.grouped_mm(x_MD.contiguous(), weight_EFD.transpose(1, 2), offs=ends_E)
    *pieces, rest_MD = x_MD.split(_counts(ends_E, len(x_MD)))
    made = [rows @ matrix.T for rows, matrix in zip(pieces, weight_EFD.unbind(0), strict=True)]
    return torch.cat([*made, x_MD.new_zeros(len(rest_MD), weight_EFD.shape[1])])


@library.custom_op("tinylm::grouped_outer", mutates_args=())
def grouped_outer(grad_MF: Tensor, x_MD: Tensor, ends_E: Tensor) -> Tensor:
    """``grad.T @ x`` over each expert's rows, (E, F, D): the gradient of ``grouped`` by its weight."""
    if _aligned(grad_MF, x_MD):
        return functional.grouped_mm(grad_MF.contiguous().transpose(0, 1), x_MD.contiguous(), offs=ends_E)
    counts = _counts(ends_E, len(x_MD))
    pieces = zip(grad_MF.split(counts)[:-1], x_MD.split(counts)[:-1], strict=True)
    return torch.stack([g.T @ x for g, x in pieces])


@grouped.register_fake
def _(x_MD: Tensor, weight_EFD: Tensor, ends_E: Tensor) -> Tensor:
    return x_MD.new_empty(x_MD.shape[0], weight_EFD.shape[1])


@grouped_outer.register_fake
def _(grad_MF: Tensor, x_MD: Tensor, ends_E: Tensor) -> Tensor:
    return x_MD.new_empty(ends_E.shape[0], grad_MF.shape[1], x_MD.shape[1])


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad_MF: Tensor) -> tuple[Tensor, Tensor, None]:
    x_MD, weight_EFD, ends_E = ctx.saved_tensors
    # A product with the transposed matrices, whose memory stays where it is.
    return grouped(grad_MF, weight_EFD.transpose(1, 2), ends_E), grouped_outer(grad_MF, x_MD, ends_E), None


grouped.register_autograd(_backward, setup_context=_keep)


@register_flop_formula([torch.ops.tinylm.grouped])
def _flops(x_MD: Sequence[int], weight_EFD: Sequence[int], ends_E: Sequence[int], **_: Any) -> int:
    return 2 * x_MD[0] * weight_EFD[1] * weight_EFD[2]


@register_flop_formula([torch.ops.tinylm.grouped_outer])
def _flops_outer(grad_MF: Sequence[int], x_MD: Sequence[int], ends_E: Sequence[int], **_: Any) -> int:
    return 2 * x_MD[0] * grad_MF[1] * x_MD[1]


def _counts(ends_E: Tensor, rows: int) -> list[int]:
    """Rows of each expert, and at last those of none."""
    ends = [*ends_E.tolist(), rows]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _aligned(*tensors: Tensor) -> bool:
    """Whether PyTorch's kernel takes matrices of these sizes, there and in the backward."""
    on_gpu = tensors[0].device.type == "cuda"
    if on_gpu and tensors[0].dtype != torch.bfloat16:
        return False
    return all(size * tensor.element_size() % ROW == 0 for tensor in tensors for size in tensor.shape[1:])
