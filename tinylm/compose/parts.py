"""From a job's plain config to the parts of a run, and a rehearsal that trains nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from tinylm.compose import schema
from tinylm.compose.keys import Job
from tinylm.compose.schema import make
from tinylm.errors import UserError, nearest
from tinylm.model.accounting import counter
from tinylm.model.lm import LanguageModel
from tinylm.model.shape import Solved, solve
from tinylm.runs.parts import Elder, Parts
from tinylm.runs.settings import Batching, Settings
from tinylm.streams import NAMES
from tinylm.train.recipe import Recipe


def build(job: Job) -> Parts:
    """The parts that ``job`` names.

    Raises:
        UserError: a part refuses its options.
    """
    config = job.config
    settings = _settings(config)
    made = {name: make(config[name]) for name in ("data", "tokenizer", "shape", "init", "machine", "evaluate")}
    recipe = Recipe(
        **{name: make(config[name]) for name in ("objective", "update", "schedule", "rounds", "budget")},
        optimiser=make(config["optim"]),
        precision=settings.precision,
        compile=settings.compile,
        micro=settings.batch.micro,
        score_every=settings.score_every,
    )
    return Parts(
        key=job.key,
        config=config,
        choices=job.choices,
        identity={name: job.identity[name] for name in ("data", "tokenizer")},
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


def model_factory(config: dict[str, Any]) -> partial[LanguageModel]:
    """Shape -> model, with the slots that ``config["model"]`` names; an empty one is left to the model's default.

    Raises:
        UserError: a slot is missing, or there is none of that name.
    """
    named = {slot: node for slot, node in config["model"].items() if node}
    slots = schema.fields({**named, "shape": None}, LanguageModel, "model")
    return partial(LanguageModel, **{slot: make(node) for slot, node in slots.items() if slot != "shape"})


def rehearse(jobs: list[Job]) -> list[str]:
    """What would keep ``jobs`` from running: a line each. Builds the parts and solves the shapes; trains nothing."""
    wrong = []
    for job in jobs:
        try:
            build(job)
            planned_shape(job)
            _fits(job.config)
        except UserError as error:
            wrong.append(f"{' '.join(job.overrides)}: {error}" if len(jobs) > 1 else str(error))
    return wrong


def _fits(config: dict[str, Any]) -> None:
    """Refuse parts that do not go together.

    Raises:
        UserError: rows of bytes vary in tokens, and positions from a table end with it; a stream or a number of
            threads that there is not.
    """
    unknown = sorted(set(config["streams"]) - set(NAMES))
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


def planned_shape(job: Job) -> Solved:
    """The shape that a job will have, before its tokenizer is trained."""
    config = job.config
    wanted = {name: config[name] for name in ("model", "shape", "tokenizer")}
    return _solve(json.dumps(wanted, sort_keys=True), int(config["batch"]["context"]))


@lru_cache(maxsize=256)
def _solve(wanted: str, context: int) -> Solved:
    """Cached for the process: the seeds of an arm share a shape."""
    config = json.loads(wanted)
    request = make(config["shape"])
    trainer, count = make(config["tokenizer"]), counter(model_factory(config), request.count)
    if trainer.exact:
        return solve(request, vocab=trainer.vocab, context=context, count=count)
    return _bounded(partial(solve, request, context=context, count=count), trainer.vocab, trainer.smallest)


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
