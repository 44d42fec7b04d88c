"""Inheritance from a checkpoint of the Llama, Qwen2 or GPT-2 family."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tinylm.data.content import file_hash
from tinylm.errors import UserError
from tinylm.init.checkpoint import INDEX, Checkpoint, read, weight_files
from tinylm.init.inherit import Inherit
from tinylm.init.initialiser import Parent, Provenance, Sources
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams

ADDED = 2  # ids that a tokenizer may be given beside its own: one that opens a document and one that closes it


class Pretrained:
    """Weights of a checkpoint, whole or cut to the child's shape as ``Inherit`` cuts.

    The child's tokenizer must be the checkpoint's own (``tokenizer=file``): ids are taken to mean the same. Rows that
    the checkpoint has beyond the child's ids are padding and left out; an id that was added for opening or closing
    documents takes the row of the checkpoint's own. The checkpoint reads no text of ours, so what is measured on a
    tune split cannot choose.

    Args:
        path: a folder with config.json and safetensors, or a name on the hub (owner/name).
        layers, head, tail, neurons, rescale, rest: as ``Inherit``.

    Raises:
        UserError: there is no such folder, it holds pickled weights alone, or another family.
    """

    def __init__(
        self,
        path: str,
        layers: Literal["ends", "uniform", "middle"] = "ends",
        head: int | None = None,
        tail: int | None = None,
        neurons: Literal["random", "l1", "l2"] = "l2",
        rescale: bool = True,
        rest: Literal["refuse", "scratch"] = "refuse",
    ) -> None:
        self.folder, self.name = folder_of(path), Path(path).name
        self.inherit = Inherit(None, layers, head, tail, neurons, rescale, rest)

    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        """Fill what the checkpoint has; with ``rest: scratch`` everything."""
        checkpoint = read(self.folder)
        parent = Parent(checkpoint.model, self.name, rows(model.shape.vocab, checkpoint))
        return replace(self.inherit(model, streams, replace(sources, parent=parent)), initialiser="pretrained")

    def content(self) -> dict[str, str | None]:
        """What takes the path's place in a run's key."""
        files = [self.folder / "config.json", *weight_files(self.folder)]
        together = "\n".join(f"{file.name} {file_hash(file)}" for file in files)
        return {"path": hashlib.sha256(together.encode()).hexdigest()}


def rows(vocab: int, checkpoint: Checkpoint) -> Tensor | None:
    """Child id -> the checkpoint's row, or None where both have the same ids.

    Raises:
        UserError: the child has more ids than the checkpoint.
    """
    had = checkpoint.model.shape.vocab
    if vocab == had:
        return None
    if vocab > had + ADDED:
        raise UserError(
            f"the child has {vocab} ids and the checkpoint {had}: give the child the checkpoint's tokenizer "
            "(tokenizer=file tokenizer.path=FOLDER/tokenizer.json)"
        )
    ids_V = torch.arange(vocab)
    return torch.where(ids_V < had, ids_V, checkpoint.start)


def folder_of(path: str) -> Path:
    """The folder of a checkpoint; one of the hub is downloaded, its config and safetensors alone.

    Raises:
        UserError: there is no such folder, and none of that name can be had from the hub.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if path.count("/") != 1 or path.startswith((".", "/", "~")):
        raise UserError(f"init.path={path}: there is no such folder")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(path, allow_patterns=["config.json", "*.safetensors", INDEX]))
    except Exception as error:  # the library and the network raise many kinds
        raise UserError(
            f"init.path={path}: there is no such folder, and none of that name came from the hub "
            f"({type(error).__name__}): download it by hand and give its folder"
        ) from error
