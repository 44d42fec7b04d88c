"""Evaluators on a trained model, of ours or of another house, after its run and on any text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from tinylm.compose import complaints, parents, schema
from tinylm.compose.ledger import locate
from tinylm.compose.load import ELSEWHERE, load
from tinylm.compose.main import known_keys
from tinylm.compose.root import config_root
from tinylm.data.document import Corpus
from tinylm.errors import UserError
from tinylm.evaluate.domain import Domains
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject
from tinylm.record import RunRecord
from tinylm.runs.allocator import keep_memory
from tinylm.runs.documents import Encoded

GROUPS = ("data", "evaluate", "machine", "precision")  # of the config, what says how a trained model is scored
LONGEST = 1024  # tokens in a window of a model of another house, unless more are asked for
Split = Literal["train", "tune", "test", "all"]


@dataclass(frozen=True)
class Evaluation:
    """What evaluators said of a model.

    Fields:
        subject: how it was named.
        parameters: of the model.
        data: the corpus, in a word.
        context: tokens in a window.
        precision: of the forward.
        scores: evaluator -> its scores.
        whole: whether nothing was left out and window and domain are those that a run has by itself, so that the
            scores may stand in its record.
    """

    subject: str
    parameters: int
    data: str
    context: int
    precision: Literal["bf16", "fp32"]
    scores: Mapping[str, Scores]
    whole: bool


def evaluate(
    name: str,
    roots: Sequence[Path],
    overrides: Sequence[str],
    *,
    split: Split | None = None,
    context: int | None = None,
    domain: str | None = None,
    progress: Callable[[int], None] = lambda read: None,
) -> Evaluation:
    """Score a model by the evaluators of ``evaluate=...`` (bits per byte, unless told otherwise).

    A run of ours is scored on its own text by its own evaluators, in the precision and with the threads that it was
    trained with, unless overrides say otherwise: that gives its record's numbers again.

    Args:
        name: a run's key or its beginning; or ``hf:`` and a folder, or a name on the hub.
        roots: where runs lie.
        overrides: of ``data``, ``evaluate``, ``machine`` and ``precision``, as for a run.
        split: of all evaluators; None: as each says; ``all``: every document.
        context: tokens in a window; None: the model's own, for a model of another house at most ``LONGEST``.
        domain: of the model's, that all text is read as; None: as it is labelled.
        progress: called with the characters of text read so far.

    Raises:
        UserError: no such model, an override that does not belong here, no text, or a domain that the model does not
            know.
    """
    foreign = name.startswith(ELSEWHERE)
    own = {"precision": "fp32"} if foreign else RunRecord.read(locate(name, roots)).config
    config = _composed(overrides, own)
    device = _device(config["machine"]["accelerator"], asked=any(_group(word) == "machine" for word in overrides))
    model, tokenizer = load(name, roots)
    model.to(device)
    longest = model.shape.context
    if context is not None and context < 1:
        raise UserError(f"--context {context}: give 1 token or more")
    if context is not None and context > longest and not model.position.any_length:
        raise UserError(f"--context {context}: the model's table of places ends at {longest} tokens")
    window = context or (min(longest, LONGEST) if foreign else longest)
    corpus: Corpus = schema.make(config["data"])
    evaluators: dict[str, Evaluator] = {
        key: _on(schema.make(node), split, domain) for key, node in config["evaluate"].items()
    }
    torch.set_num_threads(config["machine"]["threads"])
    keep_memory()
    domains = Domains(model, domain)
    documents = Encoded(corpus, tokenizer, progress, domains)
    subject = Subject(model, tokenizer, window, documents, config["precision"], domains.names, corpus.law())
    scores = {key: evaluator(subject) for key, evaluator in evaluators.items()}
    part = any(getattr(one, said, None) is not None for one in evaluators.values() for said in ("limit", "domain"))
    whole = window == longest and not part
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Evaluation(name, parameters, type(corpus).__name__.lower(), window, config["precision"], scores, whole)


def _device(accelerator: str, asked: bool) -> str:
    """Where the model is scored: on a GPU where that is meant and there is one.

    Raises:
        UserError: a GPU was asked for, and there is none. A run that was trained on one is scored on the CPU then.
    """
    there = torch.cuda.is_available()
    if asked and accelerator == "gpu" and not there:
        raise UserError("machine=gpu: PyTorch finds no GPU here")
    return "cuda" if there and accelerator in ("gpu", "auto") else "cpu"


def note(found: Evaluation, roots: Sequence[Path]) -> Path | None:
    """Add scalars to the record of the run that they are of; the record, or None for a model of another house."""
    if found.subject.startswith(ELSEWHERE):
        return None
    folder = locate(found.subject, roots)
    with FileLock(folder / "run.lock"):
        record = RunRecord.read(folder)
        for said in found.scores.values():
            record.metrics |= said.scalars
            record.provenance["evaluations"] = {**record.provenance.get("evaluations", {}), **(said.about or {})}
        record.write(folder)
    return folder / "record.json"


def _composed(overrides: Sequence[str], own: Mapping[str, Any]) -> dict[str, Any]:
    """The groups that an evaluation reads, checked and plain; ``own`` says what no override says.

    A run's evaluators may ask for its own text: they are not taken over to other text.
    """
    for word in overrides:
        if _group(word) not in GROUPS:
            raise UserError(f"{word}: a trained model is not changed; what may be said is {', '.join(GROUPS)}")
    said = {_group(word) for word in overrides}
    kept = [group for group in GROUPS if group in own and group not in said]
    if "data" in said and "evaluate" in kept:
        kept.remove("evaluate")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_root()), version_base="1.3"):
            composed = compose("config", list(overrides))
        machine = dict(composed.machine)
        with open_dict(composed):
            for group in kept:
                composed[group] = own[group]
            if "machine" in kept:  # of records of any age
                composed.machine = {name: own["machine"].get(name, value) for name, value in machine.items()}
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(complaints.readable(error, known_keys())) from error
    assert isinstance(plain, dict)
    checked: dict[str, Any] = schema.check({group: plain[group] for group in GROUPS})
    if checked["precision"] not in ("bf16", "fp32"):
        raise UserError(f"precision: {checked['precision']!r} is not one of bf16, fp32")
    return checked


def _group(override: str) -> str:
    """The group of the config that an override changes: ``data/task@evaluate.probes.corpus.task`` is of evaluate."""
    group, _, package = parents.key(override).partition("@")
    return re.split(r"[./]", package or group, maxsplit=1)[0]


def _on(evaluator: Evaluator, split: Split | None, domain: str | None) -> Evaluator:
    """The evaluator on another split, under whose name its scores then stand, and on text of a domain."""
    if not is_dataclass(evaluator) or isinstance(evaluator, type):
        return evaluator
    has = {field.name for field in fields(evaluator)}
    changes: dict[str, Any] = {}
    if split is not None and "split" in has:
        changes["split"] = split
        if "prefix" in has and split != "test":
            changes["prefix"] = f"{split}_"
    if domain is not None and "domain" in has:
        changes["domain"] = domain
    return replace(evaluator, **changes)
