"""Checkpoints of other houses: a folder of config.json and safetensors, read into our model."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from tinylm.errors import UserError
from tinylm.exchange.families import FAMILIES
from tinylm.exchange.family import Cells
from tinylm.model.lm import LanguageModel
from tinylm.model.meta import meta

INDEX = "model.safetensors.index.json"
IDLE = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")  # buffers that old files hold, no weights


@dataclass(frozen=True)
class Checkpoint:
    """A model that was trained elsewhere.

    Fields:
        model: in evaluation mode, fp32, on the CPU.
        start: the id that opens a document, or else closes one.
        stop: the id that closes a document, or else opens one.
    """

    model: LanguageModel
    start: int
    stop: int


def folder_of(path: str) -> Path:
    """The folder of a checkpoint; one of the hub is downloaded, its config, tokenizer and safetensors alone.

    Raises:
        UserError: there is no such folder, and none of that name can be had from the hub.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if path.count("/") != 1 or path.startswith((".", "/", "~")):
        raise UserError(f"{path}: there is no such folder")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(path, allow_patterns=["config.json", "tokenizer.json", "*.safetensors", INDEX]))
    except Exception as error:  # the library and the network raise many kinds
        raise UserError(
            f"{path}: there is no such folder, and none of that name came from the hub "
            f"({type(error).__name__}): download it by hand and give its folder"
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint.

    Raises:
        UserError: there are none; pickled weights are never loaded.
    """
    index = folder / INDEX
    if index.is_file():
        try:
            names = sorted(set(_json(index)["weight_map"].values()))
        except (KeyError, AttributeError) as error:
            raise UserError(f"{folder}: {INDEX} names no files under weight_map") from error
        files = [folder / Path(name).name for name in names]
    else:
        files = sorted(folder.glob("*.safetensors"))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise UserError(f"{folder}: {INDEX} names {missing[0]}, which is not there")
    if files:
        return files
    pickled = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern))
    if pickled:
        raise UserError(
            f"{folder}: {pickled[0]} is pickled, and what is pickled is never loaded: save the model as safetensors"
        )
    raise UserError(f"{folder}: there is no .safetensors file")


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.parent}: {path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(read, dict):
        raise UserError(f"{path.parent}: {path.name} holds no object")
    return read


def outline(folder: Path) -> LanguageModel:
    """The model in a folder as ``read`` would give it, on the meta device: its config and what its files hold.

    Raises:
        UserError: as ``read``, but for the sizes of tensors.
    """
    names: set[str] = set()
    for file in weight_files(folder):
        with _whole(file), safe_open(file, framework="pt") as opened:
            names |= set(opened.keys())
    return _made(folder, names)[0]


def read(folder: Path) -> Checkpoint:
    """The model in a folder: of one of ``FAMILIES``, its weights in safetensors.

    Raises:
        UserError: it is of another family, uses what our parts lack, its config lacks a size, a file is torn, or its
            tensors are not those of its config.
    """
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        with _whole(file):
            tensors |= load_file(file)
    model, cells = _made(folder, tensors.keys())
    _fill(model, tensors, cells, folder)
    config = _json(folder / "config.json")
    marks = [_first(config.get(name)) for name in ("bos_token_id", "eos_token_id")]
    start, stop = (next((mark for mark in order if mark is not None), 0) for order in (marks, marks[::-1]))
    return Checkpoint(model.eval(), start, stop)


def _first(mark: Any) -> int | None:
    """Of several ids that close a document the first."""
    mark = mark[0] if isinstance(mark, list) and mark else mark
    return mark if isinstance(mark, int) else None


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"{file.parent}: {file.name} is torn ({said}); fetch or save it again") from error


def _made(folder: Path, names: Collection[str]) -> tuple[LanguageModel, Cells]:
    """The model on the meta device, and for each of its parameters where it lies; ``names`` are the tensors'."""
    config = _json(folder / "config.json")
    family = FAMILIES.get(config.get("model_type"))
    if family is None:
        raise UserError(
            f"{folder}: a model of type {config.get('model_type')!r} is not known; valid: {', '.join(FAMILIES)}"
        )
    try:
        with meta():
            model = family.made(config)
        cells = family.cells(model, names)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    except KeyError as error:
        raise UserError(f"{folder}: config.json does not say {error.args[0]}") from error
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"{folder}: config.json makes no model ({said})") from error
    wanted = {name for cell in cells.values() for name in cell.names}
    strange = sorted(name for name in set(names) - wanted if not name.endswith(IDLE) and name != "lm_head.weight")
    if strange:
        raise UserError(f"{folder}: it holds {strange[0]}, for which our model of its family has no place")
    missing = next((name for cell in cells.values() for name in cell.names if name not in names), None)
    if missing is not None:
        raise UserError(f"{folder}: it lacks {missing}")
    return model, cells


def _fill(model: LanguageModel, tensors: Mapping[str, Tensor], cells: Cells, folder: Path) -> None:
    model.to_empty(device="cpu")
    with torch.no_grad():
        for ours, parameter in model.named_parameters():
            cell = cells[ours]
            sizes = [list(tensors[name].shape) for name in cell.names]
            tensor = cell.taken(tensors) if all(size == sizes[0] for size in sizes) else None
            if tensor is None or tensor.shape != parameter.shape:
                gives = sizes[0] if tensor is None else list(tensor.shape)
                raise UserError(
                    f"{folder}: {cell.names[0]} gives {gives} and its config asks for {list(parameter.shape)}"
                )
            parameter.copy_(tensor)
