"""Least squares lines through one value a seed at each of several points."""

from __future__ import annotations

import numpy as np


def slopes(x_X: np.ndarray, y_NX: np.ndarray) -> np.ndarray:
    """The slope of each seed's line, shape (N,).

    Averaged over seeds they have Student's t interval, which needs no guess of how noise changes along x.

    Args:
        x_X: the points, not all the same.
        y_NX: by seed and point.
    """
    away_X = x_X - x_X.mean()
    found: np.ndarray = y_NX @ away_X / (away_X @ away_X)
    return found
