"""The weights that a run begins with: filled once, and kept where choosing them was work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model

from tinylm.batch import Batch
from tinylm.data.loader import Batches
from tinylm.data.prepare import Prepared, prepare
from tinylm.data.tokens import Tokenizer
from tinylm.errors import UserError
from tinylm.evaluate.bits import BitsPerByte
from tinylm.evaluate.evaluator import Subject
from tinylm.files import write_json
from tinylm.init.initialiser import Parent, Provenance, Sources, fill
from tinylm.model.lm import LanguageModel
from tinylm.model.shape import Shape
from tinylm.record import WEIGHTS, RunRecord
from tinylm.runs.documents import Documents
from tinylm.runs.failure import childless
from tinylm.runs.parts import Elder, Parts
from tinylm.runs.provenance import code_version
from tinylm.runs.weights import save_weights
from tinylm.streams import Streams
from tinylm.train.descent import descend

LOSS_BYTES = 65_536  # of the tune split that a parent's loss is measured on
NAME = "initial.json"  # the summary, beside the weights while the run is unfinished


@dataclass(frozen=True)
class Initial:
    """How a run's first weights came about.

    Fields:
        chain: what each initialiser filled, in words.
        parent: key of the run that it begins from, or None.
        flops, seconds: what choosing the weights took, such as training a mask.
        parent_flops: what the parent took: its training, choosing its first weights, its own parent.
        scores: what was measured before the first step.
    """

    chain: list[dict[str, Any]]
    parent: str | None = None
    flops: float = 0.0
    seconds: float = 0.0
    parent_flops: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)

    def cost(self) -> dict[str, float]:
        """For the record; nothing where there is no parent and nothing was measured."""
        told = {"initialise_flops": self.flops, "initialise_seconds": self.seconds}
        if self.parent is None:
            return told if self.flops else {}
        return {"parent_flops": self.parent_flops, **told}


def initialise(
    model: LanguageModel,
    parts: Parts,
    prepared: Prepared,
    streams: Streams,
    folder: Path,
    say: Callable[[str, float | None], None],
) -> Initial:
    """Fill ``model``, which may lie on the meta device.

    A run that begins from a parent keeps its first weights in ``folder`` until it ends: a run that goes on does not
    choose them again, unless other code chose them. For every tensor, ``folder/inheritance.json`` says what of the
    parent, or of a checkpoint, it took.

    Raises:
        UserError: the parent is missing, diverged, of another tokenizer or another family, or too small.
    """

    def counts() -> torch.Tensor:
        return torch.from_numpy(prepared.store.counts("train"))

    @cache
    def tune() -> Batches:
        return parts.batches(prepared.store, "tune")

    def own(step: int) -> Batch:
        return tune()[step]

    began = time.perf_counter()
    if parts.parent is None:
        drawn_upon = Sources(tokenizer=prepared.tokenizer, counts=counts, own=own, fit=descend)
        chain = fill(model, [parts.init], streams, drawn_upon)
        _tell(folder, chain)
        flops = sum(said.flops for said in chain)
        return Initial([said.summary() for said in chain], flops=flops, seconds=time.perf_counter() - began)
    weights = folder / "initial.safetensors"
    held = _held(folder)
    if held is not None:
        model.to_empty(device="cpu")
        load_model(model, weights)
        return held
    forget(folder)
    say("initialising from its parent", None)
    record = trained(parts.parent)
    drawn_upon = replace(sources(parts.parent, record, prepared.tokenizer, say), counts=counts, own=own)
    chain = fill(model, [parts.init], streams, drawn_upon)
    initial = Initial(
        chain=[said.summary() for said in chain],
        parent=record.key,
        flops=sum(said.flops for said in chain),
        seconds=time.perf_counter() - began,
        parent_flops=sum(record.cost.get(name, 0.0) for name in ("flops", "parent_flops", "initialise_flops")),
        scores={name: value for said in chain for name, value in said.scores.items()},
    )
    _tell(folder, chain)
    save_weights(model, weights)
    write_json(folder / NAME, {"code": code_version(), **asdict(initial)})
    return initial


def _tell(folder: Path, chain: list[Provenance]) -> None:
    details = {said.initialiser: dict(said.details) for said in chain if said.details}
    if details:
        write_json(folder / "inheritance.json", details)


def forget(folder: Path) -> None:
    """An ended run needs its first weights no more. The summary goes first: it says that the weights are there."""
    for name in (NAME, "initial.safetensors"):
        (folder / name).unlink(missing_ok=True)


def _held(folder: Path) -> Initial | None:
    """How the weights in ``folder`` came about; None where there are none that this very code chose."""
    if not (folder / NAME).is_file() or not (folder / "initial.safetensors").is_file():
        return None
    told = json.loads((folder / NAME).read_text(encoding="utf-8"))
    return Initial(**told) if told.pop("code", None) == code_version() else None


def trained(elder: Elder) -> RunRecord:
    """The record of a parent that can be begun from.

    Raises:
        UserError: it is missing, did not end well, or kept no weights.
    """
    where = f"init.parent: run {elder.folder}"
    try:
        record = RunRecord.read(elder.folder)
    except FileNotFoundError:
        raise UserError(f"{where} has not ended; `tinylm run` and `tinylm sweep` train parents first") from None
    wrong = childless(record, elder.folder)
    if wrong is not None:
        raise UserError(f"{where} {wrong}")
    return record


def sources(elder: Elder, record: RunRecord, tokenizer: Tokenizer, say: Callable[[str, float | None], None]) -> Sources:
    """The parent, and its tune split to choose by: what an initialiser measures never sees the test split.

    Args:
        tokenizer: the child's.

    Raises:
        UserError: the child's tokenizer is neither its parent's nor pruned from it.
    """
    parts = elder.parts
    prepared = prepare(parts.corpus, parts.tokenizer, parts.identity, Path(parts.settings.cache), say)
    model = parts.model(Shape.told(record.accounting["shape"]))
    load_model(model, elder.folder / WEIGHTS)
    tune = parts.batches(prepared.store, "tune")
    split = prepared.store.split("tune")
    score = BitsPerByte(split="tune", at_most=max(1, split.documents * LOSS_BYTES // split.bytes), prefix="tune_")

    def loss(measured: LanguageModel) -> float:
        subject = Subject(
            measured,
            prepared.tokenizer,
            model.shape.context,
            partial(Documents, prepared),
            parts.settings.precision,
            prepared.store.domains,
        )
        return score(subject).scalars["tune_loss"]

    return Sources(
        parent=Parent(model.eval(), record.key, shared_ids(tokenizer, prepared.tokenizer)),
        loss=loss,
        batches=tune.__getitem__,
        fit=descend,
    )


def shared_ids(child: Tokenizer, parent: Tokenizer) -> torch.Tensor | None:
    """The parent's id for each of the child's, or None where both have the same vocabulary.

    Raises:
        UserError: the child's tokenizer is neither its parent's nor pruned from it.
    """
    if child.hash == parent.hash:
        return None
    if child.origin is None or child.origin.hash != parent.hash:
        raise UserError(
            "tokenizer: the child's is neither its parent's nor pruned from it, so its token table has no rows to "
            "inherit; take the parent's, or tokenizer=pruned with the parent's as tokenizer.of"
        )
    return torch.from_numpy(child.origin.ids_V)
