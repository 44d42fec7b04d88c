"""What a model weighs in fewer bits, and what its text costs with weights in int8."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.ao.quantization.observer import PerChannelMinMaxObserver

from tinylm.evaluate.bits import BitsPerByte
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject
from tinylm.model.lm import LanguageModel

ROUNDED = ("embedding", "head", "matrix", "expert", "memory", "adapter")  # roles; norms, biases, routers' tables stay


@dataclass(frozen=True)
class Int8(Evaluator):
    """Bits per byte after weight-only int8, and how many more that are.

    Symmetric, to the nearest, a scale for each row of a matrix (an output, or a token of the table), by PyTorch's own
    observer and rounding: see ``rounded``. Tables, head and experts too, which library recipes often leave out. What is
    computed stays in the subject's precision, with weights that are exactly those of the int8 model: quality is that of
    int8, speed is not measured here.

    Scores: those of ``bits_per_byte`` after ``int8_``; ``int8_bits_lost``, bits per byte above the model as it is, on
    the same documents. Items: those of ``bits_per_byte``, in int8.

    Args:
        split: which documents.
        at_most: documents scored, evenly spread over the split; None: all. Each is read twice.
        rows: tokens read in one forward.
    """

    name: ClassVar[str] = "int8"
    version: ClassVar[str] = "1"

    split: Literal["train", "tune", "test"] = "test"
    at_most: int | None = None
    rows: int = 4096

    def __call__(self, subject: Subject) -> Scores:
        """Score the documents with the weights as they are and in int8.

        Raises:
            UserError: the split holds no text.
        """
        bits = BitsPerByte(split=self.split, at_most=self.at_most, rows=self.rows)
        exact = bits(subject).scalars["bits_per_byte"]
        with rounded(subject.model):
            scores = replace(bits, prefix="int8_")(subject)
        return Scores({**scores.scalars, "int8_bits_lost": scores.scalars["int8_bits_per_byte"] - exact}, scores.items)


@contextmanager
def rounded(model: LanguageModel) -> Iterator[None]:
    """Within the ``with``: every matrix holds the values that its int8 form stands for."""
    matrices = _matrices(model)
    exact = [matrix.detach().clone() for matrix in matrices]
    try:
        with torch.no_grad():
            for matrix in matrices:
                matrix.copy_(nearest(matrix))
        yield
    finally:
        with torch.no_grad():
            for matrix, before in zip(matrices, exact, strict=True):
                matrix.copy_(before)


def nearest(matrix: Tensor) -> Tensor:
    """A matrix, or a stack of them, with each row as the nearest multiples of its scale: -128 to 127 of them."""
    rows_MN = matrix.detach().flatten(0, -2).float()
    observer = PerChannelMinMaxObserver(
        ch_axis=0, dtype=torch.qint8, qscheme=torch.per_channel_symmetric, factory_kwargs={"device": rows_MN.device}
    )
    observer(rows_MN)
    scale_M, zero_M = observer.calculate_qparams()
    near_MN = torch.fake_quantize_per_channel_affine(rows_MN, scale_M, zero_M.int(), 0, -128, 127)
    return near_MN.view_as(matrix).to(matrix.dtype)


def sizes(model: LanguageModel) -> dict[str, int]:
    """Bytes of the weights in ``fp32``, ``bf16`` and ``int8``: there a number of a matrix is one byte, a row's scale
    four, and what is no matrix stays in fp32. Tables of integers stay as they are; nothing that is shared counts twice.
    """
    matrices = {id(matrix) for matrix in _matrices(model)}
    found = dict.fromkeys(("fp32", "bf16", "int8"), 0)
    for parameter in model.parameters():
        number, real = parameter.numel(), parameter.is_floating_point()
        found["fp32"] += 4 * number if real else parameter.nbytes
        found["bf16"] += 2 * number if real else parameter.nbytes
        if id(parameter) in matrices:
            found["int8"] += number + 4 * (number // parameter.shape[-1])
        else:
            found["int8"] += 4 * number if real else parameter.nbytes
    return found


def _matrices(model: LanguageModel) -> list[Tensor]:
    roles = model.roles()
    return [p for name, p in model.named_parameters() if roles[name] in ROUNDED and p.dim() > 1]
