"""Feed-forward networks of one shape, stacked, each for the rows that are sent to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.errors import UserError
from tinylm.model.grouped import grouped, product_dtype
from tinylm.model.slots import Slot

Unit = Literal["swiglu", "gelu", "relu"]
MATRICES: dict[Unit, tuple[str, ...]] = {
    "swiglu": ("gate", "up", "down"),
    "gelu": ("up", "down"),
    "relu": ("up", "down"),
}


class Experts(Slot):
    """E networks of two matrices (``down(unit(up(x)))``) or, gated, of three (``down(silu(gate(x)) * up(x))``).

    Weights are read through `fetch` alone, so that they may come to lie elsewhere.

    Args:
        count: E.
        width: D.
        hidden: F of each.
        unit: ``swiglu`` is gated.

    Raises:
        UserError: no hidden unit.
    """

    outputs: tuple[str, ...] = ("down",)
    axes: Mapping[str, str] = {"gate": "EFD", "up": "EFD", "down": "EDF"}

    def __init__(self, count: int, width: int, hidden: int, unit: Unit) -> None:
        super().__init__()
        if hidden < 1:
            raise UserError(f"model.ffn.hidden is {hidden}; an expert has 1 unit or more (null: shape.hidden)")
        self.count, self.unit = count, unit
        if unit == "swiglu":
            self.gate = nn.Parameter(torch.empty(count, hidden, width))
        self.up = nn.Parameter(torch.empty(count, hidden, width))
        self.down = nn.Parameter(torch.empty(count, width, hidden))
        self._held: dict[torch.dtype, tuple[Tensor, Tensor]] | None = None

    def fetch(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The experts' matrices by name, stacked, in the precision that the products are made in."""
        return {name: matrix.to(dtype) for name, matrix in self.named_parameters(recurse=False)}

    def forward(self, x_MD: Tensor, ends_E: Tensor) -> Tensor:
        """What each row's expert makes of it, (M, D).

        Args:
            x_MD: rows sorted by expert.
            ends_E: int32; expert e has the rows up to ``ends_E[e]``. What comes of rows after the last is undefined.
        """
        dtype = product_dtype(x_MD)
        into_EGD, down_EDF = self._stacked(dtype)
        made_MG = grouped(x_MD.to(dtype), into_EGD, ends_E)
        if self.unit == "swiglu":
            gate_MF, up_MF = made_MG.chunk(2, dim=1)
            hidden_MF = functional.silu(gate_MF) * up_MF
        else:
            hidden_MF = functional.gelu(made_MG) if self.unit == "gelu" else made_MG.relu()
        return grouped(hidden_MF, down_EDF, ends_E)

    def _stacked(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The matrices of a forward's products: into the hidden units, where gated the gate's above the others, and
        out of them. One product for both: where experts are many and small, each product's own cost is what counts."""
        if self._held is not None and dtype in self._held:
            return self._held[dtype]
        matrices = self.fetch(dtype)
        into_EGD = torch.cat([matrices["gate"], matrices["up"]], dim=1) if self.unit == "swiglu" else matrices["up"]
        stacked = into_EGD, matrices["down"]
        if self._held is not None:
            self._held[dtype] = stacked
        return stacked

    def named(self, path: str, whole: bool) -> dict[str, str]:
        """``axes`` as the slot that holds them at ``path`` declares them.

        Args:
            whole: their hidden size is not the shape's, and so is never cut.
        """
        letters = {name: axes.replace("F", "M") if whole else axes for name, axes in self.axes.items()}
        return {f"{path}.{name}": axes for name, axes in letters.items()}

    def size(self) -> int:
        """Parameters of one expert."""
        return sum(matrix.numel() for matrix in self.parameters()) // self.count


@contextmanager
def held(model: nn.Module) -> Iterator[None]:
    """Within it experts round and stack their matrices once, as autocast does those of a dense layer.

    For many small forwards without gradients and with weights that stay as they are: to decode a token, making the
    copies anew takes longer than the products. The copies of all layers take their memory until the end.
    """
    holding = [part for part in model.modules() if isinstance(part, Experts) and part._held is None]
    for experts in holding:
        experts._held = {}
    try:
        yield
    finally:
        for experts in holding:
            experts._held = None
