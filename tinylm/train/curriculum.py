"""The curriculum: which round a step belongs to, what the rounds read, and how the later ones' text was chosen.

``folder/rounds/review-<n>.safetensors`` holds the losses at the end of round n and the units that were drawn for the
next, with what they were drawn from. It is written once, whole, before the next round begins, so a run that goes on
inside that round reads the same text. ``scoring.safetensors`` beside it is a scoring that was cut short,
``seconds.json`` how long each took, whichever process made it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from tinylm.batch import IGNORE, Batch
from tinylm.data.units import Reading, Units
from tinylm.errors import UserError
from tinylm.files import read_json, write_bytes, write_json
from tinylm.streams import Streams
from tinylm.train.budget import Plan
from tinylm.train.recipe import Batches
from tinylm.train.review import Review, mean_losses
from tinylm.train.slots import Rounds

SECONDS = "seconds.json"


class Curriculum:
    """The rounds of one run, whose lock the caller holds. Rounds count from 0.

    Attributes:
        number: how many rounds there are.

    Args:
        folder: the run's.
        streams: its stream ``select`` draws.

    Raises:
        UserError: the rounds do not fit the budget or the text.
    """

    def __init__(self, folder: Path, plan: Plan, batches: Batches, rounds: Rounds, streams: Streams) -> None:
        self.folder = folder / "rounds"
        self.batches, self.rounds, self.streams = batches, rounds, streams
        self._ends = ends(plan, rounds)
        self.number = len(self._ends)
        self._reviews: dict[int, Review] = {}
        self._readings: dict[int, Reading] = {}
        self._units: Units | None = None
        if self.number > 1 or rounds.forgetting:
            self._units = self._cut()

    def _cut(self) -> Units:
        first = self._ends[0]
        assert first is not None
        units = self.batches.units(self.rounds.unit, first)
        if units.count < 2:
            raise UserError(
                f"rounds.unit={self.rounds.unit}: the first round reads {units.count} whole, and there is nothing to "
                "choose from; take a smaller unit or a larger budget"
            )
        return units

    def forget(self) -> None:
        """Drop what an earlier life of the run found: one that begins anew finds its own."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self, round: int) -> int:
        """The step from which ``round`` reads; ``number`` for what comes after the last."""
        return (self._ends[round - 1] or 0) if round else 0

    def end(self, round: int) -> int | None:
        """Steps done when ``round`` is over; None where a clock tells."""
        return self._ends[min(round, self.number - 1)]

    def reading(self, round: int) -> Reading:
        """The batches of ``round``, from its own step 0."""
        if round == 0:
            return self.batches
        if round not in self._readings:
            review = self.review(round - 1)
            assert review is not None
            assert review.next_M is not None
            assert self._units is not None
            self._readings[round] = self._units.reading(review.next_M)
        return self._readings[round]

    def looks_back(self, round: int) -> bool:
        """Whether the first round's text is scored at the end of ``round``."""
        return round < self.number - 1 or self.rounds.forgetting

    def review(self, round: int) -> Review | None:
        """What was found at the end of ``round``; None where it has not been scored."""
        if round not in self._reviews:
            held = _read(self._path(round), self._about(round))
            if held is None:
                return None
            self._reviews[round] = Review(
                round,
                held["nats_N"],
                held["tokens_N"],
                held["read_M"],
                held.get("next_M"),
                int(held["positions"]),
            )
        return self._reviews[round]

    def positions(self, round: int) -> int:
        """How many positions the scoring at the end of ``round`` read."""
        review = self.review(round)
        assert review is not None
        return review.positions

    def seconds(self) -> list[float]:
        """How long each round's scoring took, in the order of the rounds; 0 where there was none or it was not told."""
        told = read_json(self.folder / SECONDS)
        return [told.get(str(round + 1), 0.0) for round in range(self.number)]

    def reviews(self) -> list[Review]:
        """Of all rounds that were scored."""
        found = (self.review(round) for round in range(self.number) if self.looks_back(round))
        return [review for review in found if review is not None]

    def score(
        self, round: int, step: int, losses: Callable[[Batch], Tensor], stop: Callable[[], bool], save_seconds: float
    ) -> str:
        """Score the first round's text, draw the next round's, and write both down; why the run ends, or nothing.

        What is done is kept every ``save_seconds`` and at a stop; it does not show in the result.

        Args:
            step: steps that the model has done: those of ``round`` and not one more.
            losses: nats of each target (B, T), under the frozen model.
            stop: whether to leave.

        Raises:
            UserError: the next round has begun, and what it reads is lost.
        """
        if step > self.begin(round + 1):
            raise UserError(
                f"{self._path(round)} is not there or not whole, and the round that it chose has begun; "
                "delete the run's folder, and it is made again"
            )
        units, last, about = self._units, self._ends[0], self._about(round)
        assert units is not None
        assert last is not None
        partial, saved_at = self.folder / "scoring.safetensors", time.monotonic()
        found, begun = _read(partial, about), saved_at
        spent = 0.0 if found is None else self.seconds()[round]
        held = found or {
            "nats_N": np.zeros(units.count),
            "tokens_N": np.zeros(units.count, np.int64),
            "positions": np.array(0),
            "step": np.array(0),
        }

        def tell_seconds() -> None:
            taken = {str(round + 1): spent + time.monotonic() - begun}
            write_json(self.folder / SECONDS, {**read_json(self.folder / SECONDS), **taken})

        for place in range(int(held["step"]), last):
            stopped = stop()
            if stopped or time.monotonic() - saved_at >= save_seconds:
                tell_seconds()
                write_bytes(partial, save(held, {"about": about}))
                saved_at = time.monotonic()
            if stopped:
                return "interrupted"
            batch = self.batches[place]
            nats_BT = losses(batch).double().cpu().numpy()
            number_BT = np.broadcast_to(units.number_BT(place, batch), nats_BT.shape)
            counted_BT = (batch.targets_BT.numpy() != IGNORE) & (number_BT < units.count)
            np.add.at(held["nats_N"], number_BT[counted_BT], nats_BT[counted_BT])
            np.add.at(held["tokens_N"], number_BT[counted_BT], 1)
            held["positions"] += batch.ids_BT.numel()
            held["step"] += 1
        if not np.isfinite(held["nats_N"]).all():
            return "diverged"
        held["read_M"] = np.arange(units.count)
        if round:
            before = self.review(round - 1)
            assert before is not None
            assert before.next_M is not None
            held["read_M"] = before.next_M
        if round < self.number - 1:
            held["next_M"] = self._draw(round, mean_losses(held["nats_N"], held["tokens_N"]))
        tell_seconds()
        write_bytes(self._path(round), save(held, {"about": about}))
        partial.unlink(missing_ok=True)
        return ""

    def _draw(self, round: int, loss_N: np.ndarray) -> np.ndarray:
        """The units of the round after ``round``, in the order of the first round."""
        units, end = self._units, self._ends[round + 1]
        assert self.rounds.selection is not None
        assert units is not None
        assert end is not None
        drawn_N = self.rounds.selection(loss_N, self.streams.numpy("select", round))
        return np.sort(drawn_N[: units.enough(drawn_N, end - self.begin(round + 1))])

    def _path(self, round: int) -> Path:
        return self.folder / f"review-{round + 1}.safetensors"

    def _about(self, round: int) -> str:
        """What a review was made of, beside the losses in it."""
        chosen = self.rounds.selection
        selection = None if chosen is None else {"name": type(chosen).__name__, **vars(chosen)}
        told: dict[str, Any] = {"round": round + 1, "steps": self._ends[0], "unit": self.rounds.unit}
        seed = self.streams.seed("select", round)
        return json.dumps({**told, "selection": selection, "seed": seed}, sort_keys=True)


def ends(plan: Plan, rounds: Rounds) -> list[int | None]:
    """Steps done when each round is over; None where a clock tells.

    Raises:
        UserError: the rounds do not fit the budget.
    """
    found = [plan.end(fraction) for fraction in rounds.ends()]
    if found[0] is None and (len(found) > 1 or rounds.forgetting):
        raise UserError("budget: rounds need planned steps, which seconds do not give; take budget=tokens")
    for later in range(1, len(found)):
        if found[later] == found[later - 1]:
            raise UserError(
                f"rounds: {found[-1]} steps leave none for round {later + 1}; raise budget.amount or rounds.rate"
            )
    return found


def _read(path: Path, about: str) -> dict[str, np.ndarray] | None:
    """The arrays of a file that was made of ``about``; None where it is not there, not whole or of something else."""
    try:
        with safe_open(path, framework="np") as file:
            if (file.metadata() or {}).get("about") != about:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
