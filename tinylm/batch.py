"""What a model reads in one forward."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

IGNORE = -100  # a target that no loss counts: padding


@dataclass(frozen=True)
class Batch:
    """Sequences with their targets; the optional fields serve variants that route, adapt or encode.

    Shapes: B sequences of T tokens. ``ids_BT`` and ``targets_BT`` are int64; ``targets_BT`` is ``ids`` moved by one
    and ``IGNORE`` (-100) where nothing is to be predicted. ``document_BT`` numbers the documents of a packed row
    (0, 0, 0, 1, 1, ...; attention may stay within a number). ``bytes`` is the exact count of UTF-8 bytes that the
    scored targets stand for, ``tokens`` the count of scored targets; both are plain ints, made with the batch.
    """

    ids_BT: Tensor
    targets_BT: Tensor
    document_BT: Tensor | None = None
    domain_B: Tensor | None = None
    task_B: Tensor | None = None
    mask_BT: Tensor | None = None
    encoder_ids_BT: Tensor | None = None
    bytes: int = 0
    tokens: int = 0

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on ``device``."""
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=True)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)
