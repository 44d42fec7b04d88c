"""A session: one process's part in a fit; everything about a step but the loop that calls it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tinylm.batch import IGNORE, Batch
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
)
from tinylm.train.meter import Meter
from tinylm.train.recipe import Batches, Recipe
from tinylm.train.signals import StopSignals
from tinylm.train.slots import Losses, Progress

Score = Callable[[nn.Module], dict[str, float]]
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
    ) -> None:
        self.model = model
        self.batches = batches
        self.recipe = recipe
        self.streams = streams
        self.flops_per_token = flops_per_token
        self.score = score
        self.checkpoint_seconds = checkpoint_seconds
        self.signals = signals
        if not 0 < recipe.score_every <= 1:
            raise UserError(f"score_every: {recipe.score_every} is not a fraction of the budget in (0, 1]")
        tokens = batches.tokens_per_step
        self.plan = recipe.budget.plan(
            tokens, batches.bytes_per_step, tokens * flops_per_token, round(1 / recipe.score_every)
        )
        self.optimiser = recipe.optimiser(model)
        for group in self.optimiser.param_groups:
            group["initial_lr"] = group["lr"]
        self.meter = Meter(folder, self.plan)
        self.checkpoints = Checkpoints(folder / "checkpoint")
        self.rank, self.world = 0, 1
        self.sum: Sum = _alone
        self.round, self.round_end = 0, 1.0
        self._called = model
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
        return self.plan.fraction(totals.step, totals.seconds) >= self.round_end

    def start(self, rank: int, world: int, total: Sum, device: torch.device) -> None:
        """Take a place among ``world`` processes, compile if it is planned, and start the clock."""
        self.rank, self.world, self.sum = rank, world, total
        self.signals.install()
        self.model.train()
        tokens = self.batches.tokens_per_step
        if compilation.decide(self.recipe.compile, self.plan, tokens, self.model):
            self._compile(device)
        if self.rank == 0:
            self.meter.begin()
            self.meter.tell("training", at_once=True)
        self._saved_at = time.monotonic()
        self.meter.resume_clock()

    def batch(self, step: int) -> Batch:
        """This process's rows of the batch of ``step``."""
        if self.world == 1:
            return self.batches[step]
        return self.batches.rows(step, self.rank, self.world)

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
            self._micro(batch),
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
        state = {"optimiser": rest, "totals": self.meter.state()}
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

    def _micro(self, batch: Batch) -> list[Batch]:
        rows, micro = len(batch.ids_BT), self.recipe.micro
        if micro is None or micro == rows:
            return [batch]
        if rows % micro:
            raise UserError(f"batch.micro: {micro} does not divide the {rows} sequences of a batch")
        return [_rows(batch, start, start + micro) for start in range(0, rows, micro)]

    def _values(self, losses: Losses, norm: Tensor, weight: float) -> dict[str, float]:
        """Scalars of the step over all processes; one transfer from the device."""
        names = ["loss", *(f"side/{name}" for name in losses.side), "gradient_norm"]
        numbers = torch.stack([losses.language, *losses.side.values(), norm]).float()
        if self.world > 1:
            numbers = self.sum(numbers * weight)
        return dict(zip(names, numbers.tolist(), strict=True))

    def _record(self, before: float, after: float, rate: float, losses: Losses) -> bool:
        """Score and log where due; False where a score is not finite."""
        step = self.meter.totals.step
        if self.rank != 0:
            return True
        scores: dict[str, float] = {}
        if self.score is not None and self.plan.scored(step, before, after):
            scores = self.score(self.model)
            self.model.train()
        if not all(math.isfinite(value) for value in scores.values()):
            return False
        if scores or self.plan.logs(step, before, after):
            stats = {name: value.float().tolist() for name, value in losses.stats.items()}
            self.meter.log(self.round, rate, stats, scores)
        if scores:
            self.meter.resume_clock()
        return True

    def _compile(self, device: torch.device) -> None:
        """Compile by a forward and a backward whose results are dropped, so that no step pays for it."""
        began = time.perf_counter()
        if self.rank == 0:
            self.meter.tell("compiling", at_once=True)
        totals = self.meter.totals
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        progress = Progress(totals.step, self.plan.steps, 0.0, self.round)
        first = self._micro(self.batch(totals.step).to(device))[0]
        self._called = compilation.compiled(self.model)
        self._seed(totals.step)
        try:
            self._loss(self._called, first, progress).total.backward()
            totals.compiled = True
        except compilation.failures() as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            if self.recipe.compile is True:
                raise UserError(
                    f"compile: the model does not compile here ({reason}); compile=false trains without"
                ) from error
            self._called = self.model
            totals.warnings.append(f"not compiled, though planned: {reason}")
        self.optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                buffer.copy_(buffers[name])
        totals.compile_seconds += time.perf_counter() - began


def _alone(numbers: Tensor) -> Tensor:
    return numbers


def _rows(batch: Batch, start: int, end: int) -> Batch:
    """Some sequences of a batch; their bytes stay with the whole."""
    fields = {name: value[start:end] for name, value in vars(batch).items() if isinstance(value, Tensor)}
    scored = int((fields["targets_BT"] != IGNORE).sum())
    return replace(batch, **fields, bytes=0, tokens=scored)
