"""Fit: train a model on batches by a recipe, from the last checkpoint if there is one."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import nn

from tinylm.errors import Diverged, Interrupted
from tinylm.streams import Streams
from tinylm.train.journal import Journal
from tinylm.train.module import TrainingModule
from tinylm.train.recipe import Batches, Fit, Machine, Recipe
from tinylm.train.review import LEAST_TILT
from tinylm.train.session import Nats, Score, Session, Watches
from tinylm.train.signals import StopSignals


def fit(
    model: nn.Module,
    batches: Batches,
    *,
    recipe: Recipe,
    machine: Machine,
    streams: Streams,
    folder: Path,
    flops_per_token: float,
    score: Score | None,
    checkpoint_seconds: float,
    nats: Nats | None = None,
    watches: Watches = (),
    journal: Journal | None = None,
) -> Fit:
    """Train ``model`` in place, and leave it on the device where it learned: Lightning takes it off.

    Writes ``folder/history.jsonl``, ``folder/status.json``, ``folder/checkpoint/``, where a run that was killed
    goes on, and ``folder/rounds/``, where later rounds choose their text. The caller holds the run's lock.

    Args:
        flops_per_token: training FLOPs of one position.
        score: called on the model at evenly spaced points; its result goes into the history.
        checkpoint_seconds: time between two checkpoints.
        nats: scores each target of a batch for the choice of text; rounds that choose none need none.
        watches: (n, score): called on the model after every n steps; its result goes into the history.
        journal: follows the history; the caller closes it.

    Raises:
        Diverged: a loss, a gradient norm or a result of ``score`` was not finite.
        Interrupted: SIGTERM or Ctrl-C; a checkpoint has been written.
    """
    torch.set_num_threads(machine.threads)
    with StopSignals() as signals, _deterministic(machine):
        session = Session(
            model,
            batches,
            recipe,
            streams,
            folder,
            flops_per_token,
            score,
            checkpoint_seconds,
            signals,
            nats,
            watches,
            journal,
        )
        if session.restore():
            session.meter.totals.resumed += 1
        else:
            session.curriculum.forget()
        torn = [f"checkpoint {name} was not whole" for name in session.checkpoints.torn]
        session.meter.totals.warnings += torn
        curriculum = session.curriculum
        for session.round in range(curriculum.number):
            if not session.done():
                _run_round(session, machine)
        if curriculum.looks_back(session.round) and curriculum.review(session.round) is None:
            session.round = curriculum.number
            _run_round(session, machine)
    model.to(session.device)
    return _answer(session)


def _run_round(session: Session, machine: Machine) -> None:
    with _quiet():
        trainer = Trainer(
            accelerator=machine.accelerator,
            devices=machine.devices,
            strategy=machine.strategy,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            inference_mode=False,
        )
        trainer.fit(TrainingModule(session))
    phase, step = session.meter.told()
    if phase == "diverged":
        raise Diverged(step)
    if "fork" in machine.strategy:  # the work was done by other processes
        session.restore()
    if phase == "interrupted":
        raise Interrupted(f"stopped after step {session.meter.totals.step}; the same command goes on from there")


def _answer(session: Session) -> Fit:
    state = session.meter.state(session.device)
    state["steps"] = state.pop("step")
    state["tokens_per_second"] = state["tokens"] / state["seconds"] if state["seconds"] else 0.0
    del state["sums"], state["count"]
    *chosen, measured = session.curriculum.seconds()
    state["scoring_seconds"] = sum(chosen)
    state["watch_seconds"] += measured  # nothing is chosen after the last round
    state["rounds"] = [review.summary() for review in session.curriculum.reviews()]
    rounds = session.recipe.rounds
    if rounds.selection is not None and not rounds.selection.blind:
        drawn = f"drawn by {type(rounds.selection).__name__} with a tilt below {LEAST_TILT} nats a token"
        state["warnings"] += [
            f"the {rounds.unit} units of round {told['round'] + 1} were {drawn}: {told['mark']}"
            for told in state["rounds"]
            if told.get("mark")
        ]
    return Fit(**state)


@contextlib.contextmanager
def _deterministic(machine: Machine) -> Iterator[None]:
    """Compiled code on several threads of a CPU is not deterministic unless told to be; on a GPU not all of it can."""
    before = torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    if machine.accelerator == "cpu":
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filled


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No tips and banners from Lightning: what a user has to know, this package says itself."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
