"""Inheritance from a checkpoint of another house."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tinylm.batch import IGNORE, Batch
from tinylm.data.backend import parsed
from tinylm.data.content import file_hash
from tinylm.data.tokenizer.file import File
from tinylm.data.tokens import Derived, Trainer
from tinylm.errors import UserError
from tinylm.exchange.checkpoint import Checkpoint, folder_of, outline, read, weight_files
from tinylm.init.inherit import Inherit
from tinylm.init.initialiser import Parent, Provenance, Sources
from tinylm.init.reading import next_token_loss
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams

PADDING = 1024  # tables are made longer up to a multiple, of this at most (our bound)
OWN = (
    "give the child the checkpoint's tokenizer (tokenizer=file tokenizer.path=FOLDER/tokenizer.json), or one pruned "
    "from it"
)
MEASURED = 16  # batches of the tune split that the loss without a layer is measured on (our choice)
ADDED = 2  # ids that a tokenizer may be given beside its own: one that opens a document and one that closes it


class Pretrained:
    """Weights of a checkpoint, whole or cut to the child's shape as ``Inherit`` cuts.

    The child's tokenizer must be the checkpoint's own (``tokenizer=file``) or pruned from it, whose map its rows
    follow. Rows that the checkpoint has beyond its tokenizer's ids are padding and left out; an id that was added for
    opening or closing documents takes the row of the checkpoint's own. Where a ``tokenizer.json`` lies beside the
    weights the child's is compared with it; else all that shows a foreign one is its number of ids. What is measured is
    measured on the child's own tune split, in the checkpoint's ids: such text as the child will read, cut as it will.

    Args:
        path: a folder with config.json and safetensors, or a name on the hub (owner/name).
        layers, head, tail, neurons, rescale, rest, batches, steps, rate, penalty: as ``Inherit``.

    Raises:
        UserError: there is no such folder, it holds pickled weights alone, or another family.
    """

    def __init__(
        self,
        path: str,
        layers: Literal["ends", "uniform", "middle", "importance"] = "ends",
        head: int | None = None,
        tail: int | None = None,
        neurons: Literal["random", "l1", "l2", "taylor", "mask"] = "l2",
        rescale: bool = True,
        rest: Literal["refuse", "scratch"] = "refuse",
        batches: int = 8,
        steps: int = 200,
        rate: float = 0.05,
        penalty: float = 1.0,
    ) -> None:
        self.folder, self.name = folder_of(path), Path(path).name
        self.inherit = Inherit(None, layers, head, tail, neurons, rescale, rest, batches, steps, rate, penalty)

    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        """Fill what the checkpoint has; with ``rest: scratch`` everything."""
        checkpoint = read(self.folder)
        origin = None if sources.tokenizer is None else sources.tokenizer.origin
        kept_V = None if origin is None else torch.from_numpy(origin.ids_V)
        parent = Parent(checkpoint.model, self.name, rows(model.shape.vocab, checkpoint, kept_V, _ids(self.folder)))
        measured = _measuring(replace(sources, parent=parent), parent.ids_V)
        return replace(self.inherit(model, streams, measured), initialiser="pretrained")

    def suits(self, child: LanguageModel, tokenizer: Trainer) -> None:
        """As ``Foreign`` says; of the checkpoint its config and the names in its files are read.

        Raises:
            UserError: the checkpoint cannot be read, the child cannot be cut out of it, or has another tokenizer.
        """
        parent = outline(self.folder)
        _own(tokenizer, self.folder, parent.shape.vocab)
        self.inherit.check(child, parent, self.name)

    def content(self) -> dict[str, str | None]:
        """What takes the path's place in a run's key."""
        files = [self.folder / "config.json", *weight_files(self.folder)]
        together = "\n".join(f"{file.name} {file_hash(file)}" for file in files)
        return {"path": hashlib.sha256(together.encode()).hexdigest()}


def _measuring(sources: Sources, ids_V: Tensor | None) -> Sources:
    """The sources with the child's tune split as the parent's, its ids being the checkpoint's rows."""
    own = sources.own
    if own is None:
        return sources

    def batches(step: int) -> Batch:
        batch = own(step)
        if ids_V is None:
            return batch
        targets_BT = torch.where(batch.targets_BT == IGNORE, IGNORE, ids_V[batch.targets_BT.clamp(min=0)])
        return replace(batch, ids_BT=ids_V[batch.ids_BT], targets_BT=targets_BT)

    @torch.no_grad()
    def loss(model: LanguageModel) -> float:
        return sum(next_token_loss(model, batches(step)).item() for step in range(MEASURED)) / MEASURED

    return replace(sources, batches=batches, loss=loss)


def rows(vocab: int, checkpoint: Checkpoint, kept_V: Tensor | None = None, own: int | None = None) -> Tensor | None:
    """Child id -> the checkpoint's row, or None where both have the same ids.

    Args:
        vocab: the child's ids.
        kept_V: for each of them the id of the checkpoint's tokenizer, where the child's is pruned from it.
        own: ids of the checkpoint's tokenizer, where it is known: rows beyond them are padding.

    Raises:
        UserError: there are more ids than the checkpoint has.
    """
    had = checkpoint.model.shape.vocab
    own = had if own is None else min(own, had)
    if kept_V is None and vocab == had == own:
        return None
    ids_V = torch.arange(vocab) if kept_V is None else kept_V
    if len(ids_V) != vocab:
        raise UserError(f"the child has {vocab} ids and its tokenizer's map {len(ids_V)}")
    _refuse_more(int(ids_V.max()) + 1, had)
    return torch.where(ids_V < own, ids_V, checkpoint.start)


def _ids(folder: Path) -> int | None:
    """How many ids the tokenizer beside a checkpoint has, where there is one."""
    if not (folder / "tokenizer.json").is_file():
        return None
    return max(_vocabulary(folder).values()) + 1


def _vocabulary(folder: Path) -> dict[str, int]:
    """Piece -> id of the tokenizer beside a checkpoint, as it lies there; whether it is exact is not asked, for no text
    goes through it.

    Raises:
        UserError: it cannot be read.
    """
    path = folder / "tokenizer.json"
    try:
        return parsed(path.read_text(encoding="utf-8")).get_vocab(with_added_tokens=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no tokenizer.json ({error})") from error


def _refuse_more(ids: int, had: int) -> None:
    if ids > had + ADDED:
        raise UserError(f"the child's tokenizer has {ids} ids and the checkpoint {had}: {OWN}")


def _own(trainer: Trainer, folder: Path, had: int) -> None:
    """Refuse a tokenizer that is neither the checkpoint's, which has ``had`` rows, nor pruned from it.

    Raises:
        UserError: it is another; or, with none beside the checkpoint, has too many or too few ids to be its own.
    """
    original = trainer.of if isinstance(trainer, Derived) else trainer
    if not isinstance(original, File):
        raise UserError(f"tokenizer: what is trained here gives ids another meaning than the checkpoint's: {OWN}")
    _refuse_more(original.vocab, had)
    if (folder / "tokenizer.json").is_file():
        own = _vocabulary(folder)
        ours = original.tokenizer.backend.get_vocab()
        differs = next((piece for piece, index in own.items() if ours.get(piece) != index), None)
        if differs is not None:
            raise UserError(
                f"tokenizer: {differs!r} has id {ours.get(differs)} and in the checkpoint's {own[differs]}: {OWN}"
            )
    elif had - original.vocab >= PADDING:
        raise UserError(
            f"tokenizer: {had - original.vocab} of the checkpoint's {had} rows have no id, too many for padding: {OWN}"
        )
