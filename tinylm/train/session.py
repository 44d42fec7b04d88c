"""A session: one process's part in a fit; everything about a step but the loop that calls it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from tinylm.batch import Batch
from tinylm.errors import UserError
from tinylm.streams import Streams
from tinylm.train import compilation
from tinylm.train.checkpoint import (
    Checkpoints,
    Snapshot,
    load_model,
    load_optimiser,
    model_tensors,
    optimiser_state,
    place_counts,
)
from tinylm.train.curriculum import Curriculum
from tinylm.train.journal import Journal
from tinylm.train.meter import Meter, told
from tinylm.train.micro import micro_batches
from tinylm.train.recipe import Batches, Recipe
from tinylm.train.signals import StopSignals
from tinylm.train.slots import Losses, Progress

Score = Callable[[nn.Module], dict[str, float]]
Watches = Sequence[tuple[int, Score]]  # (n, score): called after every n steps
Nats = Callable[[nn.Module, Batch], Tensor]  # a loss for each target (B, T), 0 where there is none
Sum = Callable[[Tensor], Tensor]  # over all processes


class Session:
    """Trains ``model`` step by step, measures, scores and checkpoints.

    What a step does depends on the recipe, the streams and the step's number alone, so a session that goes on from a
    checkpoint makes the same numbers. Of several processes each holds a session; the first writes the files.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        recipe: Recipe,
        streams: Streams,
        folder: Path,
        flops_per_token: float,
        score: Score | None,
        checkpoint_seconds: float,
        signals: StopSignals,
        nats: Nats | None = None,
        watches: Watches = (),
        journal: Journal | None = None,
    ) -> None:
        self.model = model
        self.batches = batches
        self.recipe = recipe
        self.streams = streams
        self.flops_per_token = flops_per_token
        self.score, self.watches = score, watches
        self.checkpoint_seconds = checkpoint_seconds
        self.signals, self.nats = signals, nats
        if not 0 < recipe.score_every <= 1:
            raise UserError(f"score_every: {recipe.score_every} is not a fraction of the budget in (0, 1]")
        self.plan = recipe.plan(batches, flops_per_token)
        self.curriculum = Curriculum(folder, self.plan, batches, recipe.rounds, streams)
        self.optimiser = recipe.optimiser(model)
        for group in self.optimiser.param_groups:
            group["initial_lr"] = group["lr"]
        self.meter = Meter(folder, self.plan, journal)
        self.checkpoints = Checkpoints(folder / "checkpoint")
        self.rank, self.world, self.device = 0, 1, torch.device("cpu")
        self.sum: Sum = _alone
        self.round, self.stopped = 0, False
        self._called, self._tried = model, False
        self._saved_at = time.monotonic()
        self._saved_step = -1

    def restore(self) -> bool:
        """Go on from the last whole checkpoint; False where there is none."""
        snapshot = self.checkpoints.load()
        if snapshot is None:
            return False
        load_model(self.model, snapshot.model)
        load_optimiser(self.optimiser, snapshot.optimiser, snapshot.state["optimiser"])
        self.meter.restore(snapshot.state["totals"], snapshot.history)
        self._saved_step = snapshot.step
        return True

    def done(self) -> bool:
        """Whether the round's part of the budget is spent."""
        totals = self.meter.totals
        if self.plan.steps is None:
            return self.plan.fraction(totals.step, totals.seconds) >= 1
        return self.over(totals.step)

    def over(self, step: int) -> bool:
        """Whether the round ends before ``step``, as far as that is planned."""
        end = self.curriculum.end(self.round)
        return self.stopped or (end is not None and step >= end)

    def start(self, rank: int, world: int, total: Sum, device: torch.device) -> None:
        """Take a place among ``world`` processes, choose the round's text, compile if planned, and start the clock."""
        self.rank, self.world, self.sum, self.device = rank, world, total, device
        place_counts(self.optimiser)
        self.signals.install()
        self.model.train()
        if self.rank == 0:
            self.meter.begin(device)
        self.stopped = self.round > 0 and not self._look_back()
        if self.done():  # of a round that only looks back
            return
        tokens = self.batches.tokens_per_step
        if not self._tried and compilation.decide(self.recipe.compile, self.plan, tokens, self.model):
            self._compile()
        if self.rank == 0:
            self.meter.tell("training", at_once=True)
        self._saved_at = time.monotonic()
        self.meter.resume_clock()

    def batch(self, step: int) -> Batch:
        """This process's rows of the batch of ``step``."""
        reading, step = self.curriculum.reading(self.round), step - self.curriculum.begin(self.round)
        return reading[step] if self.world == 1 else reading.rows(step, self.rank, self.world)

    def step(self, batch: Batch, backward: Callable[[Tensor], None]) -> bool:
        """One optimiser step and what is due after it; True where the loop shall end."""
        totals = self.meter.totals
        seconds = totals.seconds if self.rank == 0 else 0.0
        counts = torch.tensor(
            [batch.tokens, batch.bytes, batch.ids_BT.numel(), self.signals.requested, seconds],
            dtype=torch.float64,
            device=batch.ids_BT.device if self.world > 1 else None,
        )
        tokens, size, positions, stop, seconds = self.sum(counts).tolist()
        before = self.plan.fraction(totals.step, seconds)
        middle = self.plan.fraction(totals.step + 0.5, seconds)
        progress = Progress(totals.step, self.plan.steps, middle, self.round)
        rate = self._set_rate(middle)
        share = batch.tokens * self.world / max(tokens, 1.0)
        self._seed(totals.step)
        losses, norm = self.recipe.update(
            self._called,
            self._loss,
            self.optimiser,
            micro_batches(batch, self.recipe.micro),
            progress,
            backward if self.world == 1 else lambda loss: backward(loss * share),
        )
        values = self._values(losses, norm, share / self.world)
        if not all(math.isfinite(value) for value in values.values()):
            totals.step += 1
            return self._end("diverged")
        self.meter.step(int(tokens), int(size), positions * self.flops_per_token, values)
        seconds = totals.seconds if self.world == 1 else seconds
        if not self._record(before, self.plan.fraction(totals.step, seconds), rate, losses):
            return self._end("diverged")
        return self._after(bool(stop), values["loss"])

    def _after(self, stop: bool, loss: float) -> bool:
        """Checkpoint where one is due; True where the loop shall end."""
        stop = stop or (self.world == 1 and self.signals.requested)
        if self.plan.fraction(self.meter.totals.step, self.meter.totals.seconds) >= 1:
            self.save()
            return self._end("trained")
        if stop:
            self.save()
            return self._end("interrupted")
        if time.monotonic() - self._saved_at >= self.checkpoint_seconds or self.done():
            self.save()
            self.meter.resume_clock()
        if self.rank == 0:
            self.meter.tell("training", loss)
        return self.done()

    def save(self) -> None:
        """Write a checkpoint of this very step, once."""
        self._saved_at = time.monotonic()
        if self.rank != 0 or self._saved_step == self.meter.totals.step:
            return
        self._saved_step = self.meter.totals.step
        tensors, rest = optimiser_state(self.optimiser)
        state = {"optimiser": rest, "totals": self.meter.state(self.device)}
        self.checkpoints.save(Snapshot(self._saved_step, model_tensors(self.model), tensors, state, self.meter.history))

    def _end(self, phase: str) -> bool:
        if self.rank == 0:
            self.meter.tell(phase, at_once=True)
        return True

    def _loss(self, model: nn.Module, batch: Batch, progress: Progress) -> Losses:
        """The objective, under autocast where the precision asks for it."""
        if self.recipe.precision == "fp32":
            return self.recipe.objective(model, batch, progress)
        with torch.autocast(batch.ids_BT.device.type, torch.bfloat16):
            return self.recipe.objective(model, batch, progress)

    def _set_rate(self, fraction: float) -> float:
        multiplier = self.recipe.schedule(fraction)
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * multiplier
        return self.optimiser.param_groups[0]["lr"]

    def _seed(self, step: int) -> None:
        """Dropout depends on the step (and the process), not on what was drawn before."""
        torch.manual_seed(self.streams.seed("dropout", step, *([self.rank] if self.world > 1 else [])))

    def _values(self, losses: Losses, norm: Tensor, weight: float) -> dict[str, float]:
        """Scalars of the step over all processes; one transfer from the device."""
        names = ["loss", *(f"side/{name}" for name in losses.side), "gradient_norm"]
        numbers = torch.stack([losses.language, *losses.side.values(), norm]).float()
        if self.world > 1:
            numbers = self.sum(numbers * weight)
        return dict(zip(names, numbers.tolist(), strict=True))

    def _record(self, before: float, after: float, rate: float, losses: Losses) -> bool:
        """Score and log where due; False where a score of the curve is not finite."""
        step = self.meter.totals.step
        if self.rank != 0:
            return True
        scores: dict[str, float] = {}
        began = time.perf_counter()
        if self.score is not None and self.plan.scored(step, before, after):
            scores = self.score(self.model)
        if not all(math.isfinite(value) for value in scores.values()):
            return False
        for every, score in self.watches:
            if step % every == 0:
                scores = {**score(self.model), **scores}
        if scores:
            self.model.train()
            self.meter.totals.watch_seconds += time.perf_counter() - began
        if scores or self.plan.logs(step, before, after):
            self.meter.log(self.round, rate, told(losses.stats, after), scores)
        if scores:
            self.meter.resume_clock()
        return True

    def _look_back(self) -> bool:
        """Score the text of the first round as the round before left the model; False where no step shall follow.

        Of several processes the first scores and the others wait.
        """
        curriculum, before, phase = self.curriculum, self.round - 1, ""
        if self.rank == 0 and curriculum.review(before) is None:
            phase = self._score_units(before)
        if self.sum(torch.tensor([float(bool(phase))], device=self.device)).item():
            return not self._end(phase)
        if self.round == curriculum.number:
            self._end("trained")
        elif self.meter.totals.step == curriculum.begin(self.round):  # later checkpoints hold it already
            self.meter.charge(curriculum.positions(before) * self.flops_per_token / 3)
        return True

    def _score_units(self, before: int) -> str:
        """Why the run ends here, or nothing."""
        nats, phase = self.nats, f"scoring round {before + 1}"
        if nats is None:
            raise ValueError("rounds that look back need a function that scores each target")

        def losses(batch: Batch) -> Tensor:
            self.meter.tell(phase)
            parts = micro_batches(batch.to(self.device), self.recipe.micro)
            return torch.cat([nats(self.model, part) for part in parts])

        self.meter.tell(phase, at_once=True)
        self.model.eval()
        ended = self.curriculum.score(
            before, self.meter.totals.step, losses, lambda: self.signals.requested, self.checkpoint_seconds
        )
        self.model.train()
        return ended

    def _compile(self) -> None:
        """Compile by a forward and a backward whose results are dropped, so that no step pays for it."""
        began = time.perf_counter()
        self._tried = True
        if self.rank == 0:
            self.meter.tell("compiling", at_once=True)
        totals = self.meter.totals
        progress = Progress(totals.step, self.plan.steps, 0.0, self.round)
        first = micro_batches(self.batch(totals.step).to(self.device), self.recipe.micro)[0]

        def backward(model: nn.Module) -> None:
            self._seed(totals.step)
            self._loss(model, first, progress).total.backward()

        self._called, reason = compilation.attempt(self.model, backward, self.recipe.compile)
        self.optimiser.zero_grad(set_to_none=True)
        totals.compiled = reason is None
        if reason is not None:
            totals.warnings.append(f"not compiled, though planned: {reason}")
        totals.compile_seconds += time.perf_counter() - began


def _alone(numbers: Tensor) -> Tensor:
    return numbers
