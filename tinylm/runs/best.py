"""The weights at the best point of the curve on the tune split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_model
from torch import nn

from tinylm.runs.weights import save_weights

NAME = "best.safetensors"
METRIC = "tune_bits_per_byte"


class Best:
    """Keeps a model's weights whenever the curve comes to a new low.

    A run that is killed and goes on from its checkpoint comes to the same points again, so what lies here from before
    stays right.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.least = float("inf")
        if not (folder / "checkpoint").exists():
            self.path.unlink(missing_ok=True)  # of an earlier life, which this run does not go on from
        elif self.path.exists():
            with safe_open(self.path, "pt") as file:
                self.least = float(file.metadata()[METRIC])

    def watch(self, score: Callable[[nn.Module], dict[str, float]]) -> Callable[[nn.Module], dict[str, float]]:
        """The score, which keeps the weights of its lowest value on the way."""

        def scored(model: nn.Module) -> dict[str, float]:
            scores = score(model)
            if scores[METRIC] < self.least:
                save_weights(model, self.path, {METRIC: repr(scores[METRIC])})
                self.least = scores[METRIC]
            return scores

        return scored

    def restore(self, model: nn.Module) -> None:
        """Put the best weights into ``model``; where the curve had no point it stays as it is."""
        if self.path.exists():
            load_model(model, self.path)

    def forget(self) -> None:
        """The run has ended: what it keeps lies elsewhere."""
        self.path.unlink(missing_ok=True)
