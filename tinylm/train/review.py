"""A review: what the frozen model makes of the first round's text at the end of a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 20
LEAST_TILT = 0.02  # nats; below it a selection by loss is a uniform one but in name
UNIFORM = "indistinguishable from uniform by construction"


@dataclass(frozen=True)
class Review:
    """The losses of the N units of the first round's text, and what was made of them.

    round: at whose end, from 0.  nats_N: summed over a unit's scored targets.  tokens_N: how many there are.
    read_M: the units that the round read, in its order.  next_M: those that the next one reads, or None.
    positions: that the scoring read.
    """

    round: int
    nats_N: np.ndarray
    tokens_N: np.ndarray
    read_M: np.ndarray
    next_M: np.ndarray | None
    positions: int

    @property
    def loss_N(self) -> np.ndarray:
        """Mean loss of each unit, nats a token."""
        return mean_losses(self.nats_N, self.tokens_N)

    def summary(self) -> dict[str, Any]:
        """What a record tells of the round, for which rounds count from 1.

        ``loss`` is the mean over all units. The forgetting curve, ``curve``, is the loss of what the round read by its
        place in the round, in 20 parts (fewer where there are fewer units), the part read first first; ``forgetting``
        is the loss of the first quarter of it less that of the last, and ``slope`` that of the line through the units'
        losses over places from 0 to 1: nats a token. Where a next round was drawn, ``tilt`` is the mean loss of the
        ``drawn`` units, ``drawn_loss``, less that of all.
        """
        read_loss_M, weight_M = self.loss_N[self.read_M], self.tokens_N[self.read_M]
        quarter = max(1, len(read_loss_M) // 4)
        parts = np.array_split(np.arange(len(read_loss_M)), min(BINS, len(read_loss_M)))
        early, late = (_mean(read_loss_M[part], weight_M[part]) for part in (slice(quarter), slice(-quarter, None)))
        found: dict[str, Any] = {
            "round": self.round + 1,
            "units": len(self.nats_N),
            "read": len(self.read_M),
            "loss": float(self.loss_N.mean()),
            "forgetting": early - late,
            "slope": _slope(read_loss_M, weight_M),
            "curve": [_mean(read_loss_M[part], weight_M[part]) for part in parts],
        }
        if self.next_M is not None:
            drawn_loss = float(self.loss_N[self.next_M].mean())
            tilt = drawn_loss - found["loss"]
            found |= {"drawn": len(self.next_M), "drawn_loss": drawn_loss, "tilt": tilt}
            found["mark"] = UNIFORM if abs(tilt) < LEAST_TILT else None
        return found


def mean_losses(nats_N: np.ndarray, tokens_N: np.ndarray) -> np.ndarray:
    """Nats a token of each unit; 0 for one that has nothing to predict."""
    return nats_N / np.maximum(tokens_N, 1)


def _mean(loss_M: np.ndarray, weight_M: np.ndarray) -> float:
    return float((loss_M * weight_M).sum() / max(1, weight_M.sum()))


def _slope(loss_M: np.ndarray, weight_M: np.ndarray) -> float:
    """Of the weighted least-squares line over places in (0, 1)."""
    place_M = (np.arange(len(loss_M)) + 0.5) / len(loss_M)
    away_M = place_M - _mean(place_M, weight_M)
    spread = float((weight_M * away_M**2).sum())
    return float((weight_M * away_M * loss_M).sum()) / spread if spread else 0.0
