"""A rehearsal: everything about a job that can be found wrong before anything is trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tinylm.compose.keys import Job
from tinylm.compose.parts import build, planned_model, planned_shape
from tinylm.compose.schema import make
from tinylm.data.units import IN_TURNS
from tinylm.errors import UserError, nearest
from tinylm.evaluate.domain import domain_of
from tinylm.evaluate.evaluator import refuse_foresight
from tinylm.init.initialiser import Foreign
from tinylm.model.freezing import freeze
from tinylm.model.lm import LanguageModel
from tinylm.runs.parts import Parts
from tinylm.streams import NAMES
from tinylm.train.budget import Seconds, Steps
from tinylm.train.curriculum import ends


def rehearse(job: Job) -> str | None:
    """What would keep ``job`` from running; None where nothing would."""
    found = faults([job])
    return found[0][1] if found else None


def faults(jobs: Sequence[Job]) -> list[tuple[Job, str]]:
    """The jobs that cannot run, each with why. Builds the parts and solves the shapes; trains nothing."""
    wrong = []
    known: dict[str, str | None] = {}  # of parents, which many children share
    for job in jobs:
        for elder in job.ancestors():
            if elder.key not in known:
                known[elder.key] = _wrong_with(elder)
        inherited = [f"its parent: {known[elder.key]}" for elder in job.ancestors() if known[elder.key]]
        said = inherited[0] if inherited else _wrong_with(job)
        if said is not None:
            wrong.append((job, said))
    return wrong


def _wrong_with(job: Job) -> str | None:
    try:
        parts = build(job)
        _known(parts)
        _rounds(parts)
        planned_shape(job)
        _scorable(parts, planned_model(job))
        _fits(job.config)
        _trains(job)
        _inherits(job)
    except UserError as error:
        return str(error)
    return None


def _known(parts: Parts) -> None:
    """Refuse an evaluator that takes the law of a text where it is not known."""
    for name, evaluator in parts.evaluators.items():
        if evaluator.needs_law and parts.corpus.law() is None:
            raise UserError(f"evaluate.{name}: the probabilities of this text are not known; take data=world")


def _rounds(parts: Parts) -> None:
    """Refuse rounds that do not fit, as far as that shows before the text is read.

    Raises:
        UserError: a budget in seconds or in too few steps, or units that the text is not read in.
    """
    rounds, budget = parts.recipe.rounds, parts.recipe.budget
    if isinstance(budget, (Steps, Seconds)):  # of the others a step's part is not known yet
        ends(budget.plan(1.0, 1.0, 1.0, 1), rounds)
    several = len(rounds.ends()) > 1 or rounds.forgetting
    if several and rounds.unit == "document" and parts.corpus.shares is not None:
        raise UserError(IN_TURNS)


def _scorable(parts: Parts, model: LanguageModel) -> None:
    """Refuse a model that may not be scored, as every run is on its way, or is asked for text of an unknown domain.

    Raises:
        UserError: a part of it is not causal in evaluation; an evaluator's domain is none that it routes by.
    """
    refuse_foresight(model)
    named = {name: getattr(evaluator, "domain", None) for name, evaluator in parts.evaluators.items()}
    for name, domain in named.items():
        if domain is not None and (model.shape.domains or not model.by_domain):  # others are known once text is read
            domain_of(model, domain, f"evaluate.{name}.domain")


def _fits(config: dict[str, Any]) -> None:
    """Refuse parts that do not go together.

    Raises:
        UserError: rows of bytes vary in tokens, and positions from a table end with it; a stream or a number of
            threads that there is not.
    """
    streams = {name for name, seed in config["streams"].items() if seed is not None}  # a null one is as if not named
    unknown = sorted(streams - set(NAMES))
    if unknown:
        raise UserError(f"streams.{unknown[0]}: there is no such random stream{nearest(unknown[0], NAMES)}")
    if config["machine"]["threads"] < 1:
        raise UserError(f"machine.threads: {config['machine']['threads']} threads compute nothing; take at least 1")
    if config["batch"]["unit"] == "bytes" and not make(config["model"]["position"]).func.any_length:
        option = str(config["model"]["position"]["_target_"]).split(".")[-2]
        raise UserError(
            f"model/position={option} reaches a fixed number of tokens, and rows of batch.unit=bytes vary in it; "
            "take model/position=rotary, alibi or none, or batch.unit=tokens"
        )


def _trains(job: Job) -> None:
    """Refuse what the planned model could not be trained on or by.

    Raises:
        UserError: no parameter to freeze, or none left to train; padding would be routed; an expert would get less
            than one token of a forward.
    """
    batch, model = job.config["batch"], planned_model(job)
    if job.config.get("freeze") is not None:
        freeze(copy.deepcopy(model), job.config["freeze"])  # other jobs look at this one too
    rows = min(batch["micro"] or batch["size"], max(1, batch["size"] // job.config["machine"]["devices"]))
    for layer, block in enumerate(model.layers()):
        ffn = f"{type(block.ffn).__name__} in layer {layer}"
        if batch["unit"] == "bytes" and block.ffn.pools:
            raise UserError(
                f"batch.unit=bytes pads its rows, and {ffn} would route, count and normalise the padding too; take "
                "batch.unit=tokens"
            )
        if rows * batch["context"] < block.ffn.least_tokens():
            raise UserError(
                f"model.ffn.capacity leaves an expert of {ffn} less than one token of a forward, which has "
                f"{rows * batch['context']}; raise it, batch.size or batch.micro, or take fewer experts"
            )


def _inherits(job: Job) -> None:
    """Refuse a parent, or weights from elsewhere, out of which no such child can be made.

    Raises:
        UserError: another tokenizer, too small a model (if only for some numbers of ids that the child may come to
            have), or one of other parts.
    """
    init = make(job.config["init"])
    if isinstance(init, Foreign):
        init.suits(planned_model(job), make(job.config["tokenizer"]))
    if job.parent is None:
        return
    ours, theirs = job.identity["tokenizer"], job.parent.identity["tokenizer"]
    if theirs not in (ours, ours.get("of")):
        raise UserError(
            f"tokenizer: the child's ({_named(ours)}) is neither its parent's ({_named(theirs)}) nor pruned from it: "
            "there are no rows to inherit; name the parent's tokenizer in init.parent.overrides"
        )
    _same_text(job, job.parent)
    init.check(planned_model(job), planned_model(job.parent), job.parent.key)
    trainer = make(job.config["tokenizer"])
    if not trainer.exact:  # with fewer ids the budget leaves more to the body
        _inherits_with(trainer.smallest, job, job.parent, init)


def _same_text(job: Job, parent: Job) -> None:
    """Refuse a tokenizer that both are to have, or that the child's is pruned from, where each would train its own.

    Raises:
        UserError: it is trained on text, and theirs differ.
    """
    ours, theirs = (make(one.config["data"]).trains(one.identity["data"]) for one in (job, parent))
    if make(parent.config["tokenizer"]).reads and ours != theirs:
        options = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        raise UserError(
            f"tokenizer: {_named(parent.identity['tokenizer'])} of other text is another tokenizer, and "
            f"{', '.join(f'data.{name}' for name in options)} of the child and of its parent differ: "
            "give both the same text, or the same tokenizer=file"
        )


def _inherits_with(vocab: int, job: Job, parent: Job, init: Any) -> None:
    """Refuse a parent out of which no such child can be made should the child's tokenizer have so few ids.

    Raises:
        UserError: there is none such, though one with more ids could be.
    """
    shared = job.identity["tokenizer"] == parent.identity["tokenizer"]
    try:
        child, elder = planned_model(job, vocab), planned_model(parent, vocab if shared else None)
    except UserError:  # no shape at all: the tokenizer is expected to have more
        return
    try:
        init.check(child, elder, parent.key)
    except UserError as error:
        raise UserError(f"{error} (how many ids the child keeps is not known yet; with {vocab} this is so)") from error


def _named(tokenizer: Mapping[str, Any]) -> str:
    kind = str(tokenizer["_target_"]).rsplit(".", 1)[-1]
    return f"{kind} of {tokenizer['vocab']} ids" if tokenizer.get("vocab") else kind
