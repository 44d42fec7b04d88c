"""Checkpoints: whole or absent, verified by hash, two deep; tensors as safetensors, the rest as JSON.

``folder/step-<n>/`` holds model.safetensors, optimiser.safetensors, state.json, history.jsonl and manifest.json (the
sha256 of the other four). It is written under another name, flushed and renamed, so what bears its name is whole;
should a disk tear it later, its hashes tell and the checkpoint before it is used, which is kept for that.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

KEPT = 2
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Snapshot:
    """All that a run needs to go on: ``state`` is JSON, ``history`` the text of history.jsonl so far."""

    step: int
    model: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    state: dict[str, Any]
    history: str


class Checkpoints:
    """The checkpoints of one run, whose lock the caller holds.

    Args:
        folder: where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.torn: list[str] = []  # names of checkpoints that were not whole

    def save(self, snapshot: Snapshot) -> None:
        """Write ``snapshot``, then drop all but the last two."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"step-{snapshot.step:09d}"
        partial = self.folder / f".{target.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        contents = {
            "model.safetensors": save(_plain(snapshot.model)),
            "optimiser.safetensors": save(_plain(snapshot.optimiser)),
            "state.json": _json({"step": snapshot.step, **snapshot.state}),
            "history.jsonl": snapshot.history.encode(),
        }
        for name, content in contents.items():
            _write(partial / name, content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        _write(partial / MANIFEST, _json(hashes))
        _flush(partial)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
        _flush(self.folder)
        for old in self._names()[:-KEPT]:
            shutil.rmtree(self.folder / old)

    def load(self) -> Snapshot | None:
        """The last whole checkpoint, or None; what is torn is named in ``torn`` and removed, as are unfinished ones."""
        for unfinished in self.folder.glob(".step-*"):
            shutil.rmtree(unfinished)
        for name in reversed(self._names()):
            contents = self._whole(self.folder / name)
            if contents is not None:
                state = json.loads(contents["state.json"])
                return Snapshot(
                    state.pop("step"),
                    load(contents["model.safetensors"]),
                    load(contents["optimiser.safetensors"]),
                    state,
                    contents["history.jsonl"].decode(),
                )
            self.torn.append(name)
            shutil.rmtree(self.folder / name)
        return None

    def _names(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("step-*"))

    def _whole(self, path: Path) -> dict[str, bytes] | None:
        try:
            hashes = json.loads((path / MANIFEST).read_bytes())
            contents = {name: (path / name).read_bytes() for name in hashes}
        except (OSError, ValueError):
            return None
        whole = all(hashlib.sha256(contents[name]).hexdigest() == digest for name, digest in hashes.items())
        return contents if whole else None


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; a shared one stands here once."""
    kept = set(model.state_dict())
    named = chain(model.named_parameters(), model.named_buffers())
    return {name: tensor for name, tensor in named if name in kept}


@torch.no_grad()
def load_model(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Fill ``model`` with ``tensors``, which ``model_tensors`` gave, in place.

    Raises:
        KeyError: a tensor is missing.
    """
    for name, tensor in model_tensors(model).items():
        tensor.copy_(tensors[name])


def optimiser_state(optimiser: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors (``<parameter number>/<name>``) and JSON; exact both ways."""
    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for number, entries in state["state"].items():
        plain[str(number)] = {name: value for name, value in entries.items() if not isinstance(value, Tensor)}
        tensors |= {f"{number}/{name}": value for name, value in entries.items() if isinstance(value, Tensor)}
    return tensors, {"plain": plain, "groups": state["param_groups"]}


def place_counts(optimiser: Optimizer) -> None:
    """Put a fused kernel's counts of steps on the device of their parameters, where the kernel reads them.

    An optimiser that is loaded before its parameters move to a GPU is moved by Lightning, but for these.
    """
    for group in optimiser.param_groups:
        for parameter in group["params"] if group.get("fused") else ():
            held = optimiser.state.get(parameter, {})
            if "step" in held:
                held["step"] = held["step"].to(parameter.device)


def load_optimiser(optimiser: Optimizer, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Give ``optimiser`` the state that ``optimiser_state`` took."""
    entries: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in state["plain"].items()}
    for key, tensor in tensors.items():
        number, _, name = key.partition("/")
        entries[int(number)][name] = tensor
    groups = [
        {name: tuple(v) if isinstance(v, list) and name != "params" else v for name, v in group.items()}
        for group in state["groups"]
    ]
    optimiser.load_state_dict({"state": entries, "param_groups": groups})


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _json(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, allow_nan=False).encode()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
