"""Micro batches: a batch in parts that a device holds at once."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from tinylm.batch import IGNORE, Batch
from tinylm.errors import UserError


def micro_batches(batch: Batch, micro: int | None) -> list[Batch]:
    """``batch`` in parts of ``micro`` sequences; None: as it is.

    Raises:
        UserError: the sequences do not divide.
    """
    rows = len(batch.ids_BT)
    if micro is None or micro == rows:
        return [batch]
    if rows % micro:
        raise UserError(f"batch.micro: {micro} does not divide the {rows} sequences of a batch")
    return [_rows(batch, start, start + micro) for start in range(0, rows, micro)]


def _rows(batch: Batch, start: int, end: int) -> Batch:
    """Some sequences of a batch; their bytes stay with the whole."""
    fields = {name: value[start:end] for name, value in vars(batch).items() if isinstance(value, Tensor)}
    scored = int((fields["targets_BT"] != IGNORE).sum())
    return replace(batch, **fields, bytes=0, tokens=scored)
