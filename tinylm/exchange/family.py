"""What a family of models elsewhere is: the parts of ours that it has, its config, and where each tensor lies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tinylm.errors import UserError
from tinylm.model.lm import LanguageModel
from tinylm.model.slots import Norm


@dataclass(frozen=True)
class Cell:
    """Where a tensor of ours lies there: under one name or, ``stacked``, one a row of ours; whether each lies
    transposed; and which third of it is ours."""

    names: tuple[str, ...]
    transposed: bool = False
    third: int | None = None
    stacked: bool = False

    def taken(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Ours, in fp32, out of theirs."""
        found = []
        for name in self.names:
            tensor = tensors[name].float()
            tensor = tensor if self.third is None else tensor.chunk(3, dim=-1)[self.third]
            found.append(tensor.T if self.transposed else tensor)
        return torch.stack(found) if self.stacked else found[0]


Cells = dict[str, Cell]


@dataclass(frozen=True)
class Family:
    """One family, for reading and for writing.

    Fields:
        architecture: its class in transformers.
        made: its config -> a model of ours, on the current device.
        cells: a model, the names in its files (none where they are yet to be written) -> where each parameter lies.
        strange: what of a model the family lacks, a reason each; nothing where it can be written. None: it is read
            and never written.
        told: a model without reasons -> its config.
        filled: tensors about to be written -> the same and what the family asks for beside them.
    """

    architecture: str
    made: Callable[[Mapping[str, Any]], LanguageModel]
    cells: Callable[[LanguageModel, Collection[str]], Cells]
    strange: Callable[[LanguageModel], Iterator[str]] | None
    told: Callable[[LanguageModel], dict[str, Any]]
    filled: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict


def written(model: LanguageModel, family: Family) -> dict[str, Tensor]:
    """The tensors of a model under the family's names, in fp32."""
    cells = family.cells(model, ())
    tensors: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, Tensor]] = {}
    for ours, parameter in model.named_parameters():
        cell, tensor = cells[ours], parameter.detach().float()
        rows = tensor.unbind(0) if cell.stacked else [tensor]
        for name, row in zip(cell.names, rows, strict=True):
            row = row.T if cell.transposed else row
            if cell.third is None:
                tensors[name] = row
            else:
                thirds.setdefault(name, {})[cell.third] = row
    tensors |= {name: torch.cat([parts[0], parts[1], parts[2]], dim=-1) for name, parts in thirds.items()}
    return {name: tensor.contiguous() for name, tensor in family.filled(tensors).items()}


def lacking(model: LanguageModel, house: str, wanted: Mapping[str, tuple[type, ...]]) -> Iterator[str]:
    """A reason for each slot that holds another class than the family ``house`` has.

    Args:
        wanted: slot -> its classes; a slot that is left out has to be empty.
    """
    found: dict[str, list[Any]] = {"placement": [model.placement], "position": [model.position]}
    for block in model.layers():
        for name, slot in block.slots():
            found.setdefault("norm" if isinstance(slot, Norm) else name, []).append(slot)
    found["norm"] += [] if model.norm is None else [model.norm]
    for group, parts in found.items():
        classes = wanted.get(group, ())
        for kind in dict.fromkeys(type(part) for part in parts if type(part) not in classes):
            names = " or ".join(_option(one) for one in classes)
            some = " in some layers" if len({type(part) for part in parts}) > 1 else ""
            yield f"model/{group}={_option(kind)}{some}, where {house} has {names or 'nothing'}"
        options = {tuple(sorted(_told(part).items())) for part in parts}
        if len(options) > 1 and {type(part) for part in parts} <= set(classes):
            yield f"model/{group} differs between layers, and in {house} all are alike"


def only(config: Mapping[str, Any], **supported: Any) -> None:
    """Refuse an option that our parts lack; an option that is absent or null is at its default.

    Raises:
        UserError: there is one.
    """
    for name, value in supported.items():
        if config.get(name) not in (None, value):
            raise UserError(f"{name}={config[name]} is not supported, only {value}")


def _option(kind: type) -> str:
    """The name by which a config chooses a class of ours; a user's own class by its name."""
    words = kind.__module__.split(".")
    return words[-1] if words[:2] == ["tinylm", "model"] else kind.__name__


def _told(part: Any) -> dict[str, Any]:
    """What a part was told beside its shape and its layer."""
    return {
        name: value
        for name, value in vars(part).items()
        if isinstance(value, int | float | str) and name not in ("training", "layer") and name[0] != "_"
    }
