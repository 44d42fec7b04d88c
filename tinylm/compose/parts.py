"""From a job's plain config to the parts of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from tinylm.compose import schema
from tinylm.compose.keys import Job
from tinylm.compose.schema import make
from tinylm.data.document import Corpus
from tinylm.errors import UserError
from tinylm.model.accounting import counter
from tinylm.model.lm import LanguageModel
from tinylm.model.meta import meta
from tinylm.model.shape import Shape, Solved, solve
from tinylm.runs.parts import Elder, Parts
from tinylm.runs.settings import Batching, Settings
from tinylm.runs.watch import check
from tinylm.train import journal
from tinylm.train.recipe import Recipe


def build(job: Job) -> Parts:
    """The parts that ``job`` names.

    Raises:
        UserError: a part refuses its options.
    """
    config = job.config
    settings = _settings(config)
    made = {name: make(config[name]) for name in ("data", "tokenizer", "shape", "init", "machine", "evaluate")}
    check(settings.watch, made["evaluate"])
    journal.check(settings.logger)
    recipe = Recipe(
        **{name: make(config[name]) for name in ("objective", "update", "schedule", "rounds", "budget")},
        optimiser=make(config["optim"]),
        precision=settings.precision,
        compile=settings.compile,
        micro=settings.batch.micro,
        score_every=settings.score_every,
    )
    made["machine"].suits(recipe.budget)
    return Parts(
        key=job.key,
        config=config,
        choices=job.choices,
        identity=_packed(job, made["data"]),
        settings=settings,
        corpus=made["data"],
        tokenizer=made["tokenizer"],
        shape=made["shape"],
        model=model_factory(config),
        init=made["init"],
        recipe=recipe,
        evaluators=made["evaluate"],
        machine=made["machine"],
        parent=None if job.parent is None else Elder(build(job.parent), job.parent.folder),
    )


def _packed(job: Job, corpus: Corpus) -> dict[str, Any]:
    """What tokenizer and store derive from: nothing of how the text is read."""
    data = {name: value for name, value in job.identity["data"].items() if name not in corpus.reading}
    return {"data": data, "tokenizer": job.identity["tokenizer"]}


def model_factory(config: dict[str, Any]) -> partial[LanguageModel]:
    """Shape -> model, with the slots that ``config["model"]`` names; an empty one is left to the model's default.

    Raises:
        UserError: a slot is missing, or there is none of that name.
    """
    named = {slot: node for slot, node in config["model"].items() if node}
    slots = schema.fields({**named, "shape": None}, LanguageModel, "model")
    return partial(LanguageModel, **{slot: make(node) for slot, node in slots.items() if slot != "shape"})


def planned_shape(job: Job, vocab: int | None = None) -> Solved:
    """The shape that a job will have, before its tokenizer is trained.

    Args:
        vocab: how many ids its tokenizer turns out to have, where that is not known yet; None: as many as it may.

    Raises:
        UserError: there is none.
    """
    config = job.config
    wanted = {name: config[name] for name in ("model", "shape", "tokenizer", "data")}
    return _solve(json.dumps(wanted, sort_keys=True), int(config["batch"]["context"]), vocab)


def planned_model(job: Job, vocab: int | None = None) -> LanguageModel:
    """The model that a job will have, on the meta device; to look at alone, for jobs of a shape share it."""
    return _model(json.dumps(job.config["model"], sort_keys=True), planned_shape(job, vocab).shape)


@lru_cache(maxsize=32)
def _model(model: str, shape: Shape) -> LanguageModel:
    with meta():
        return model_factory({"model": json.loads(model)})(shape)


@lru_cache(maxsize=256)
def _solve(wanted: str, context: int, vocab: int | None) -> Solved:
    """Cached for the process: the seeds of an arm share a shape."""
    config = json.loads(wanted)
    request = make(config["shape"])
    trainer, count = make(config["tokenizer"]), counter(model_factory(config), request.count)
    solved = partial(solve, request, context=context, count=count, domains=make(config["data"]).domains)
    if trainer.exact or vocab is not None:
        return solved(vocab=trainer.vocab if vocab is None else vocab)
    return _bounded(solved, trainer.vocab, trainer.smallest)


def _bounded(solved: Callable[..., Solved], most: int, least: int) -> Solved:
    """A shape at the largest vocabulary up to ``most`` that it can be had with, for the real one is not known yet."""
    vocab = most
    while True:
        try:
            found = solved(vocab=vocab)
        except UserError:
            if vocab == least:
                raise
            vocab = max(least, vocab // 2)
            continue
        return replace(found, note=f"{found.note}, if {vocab} of at most {most} ids are kept")


def _settings(config: dict[str, Any]) -> Settings:
    plain = {name: config[name] for name in Settings.__dataclass_fields__ if name in config}
    return Settings(**{**plain, "batch": Batching(**plain["batch"])})
