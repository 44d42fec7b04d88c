"""Rounds of training, arm by arm: what was forgotten, and how far the text drawn next was from a uniform draw."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tinylm.report.judgement.wording import signed
from tinylm.report.records.arms import once

_FIELDS = ("round", "loss", "forgetting", "slope", "tilt", "mark", "curve")
NOTE = (  # what stands above the table
    "Means over seeds, nats a token. Loss: of all text of the first round. Forgetting: the loss of the first quarter "
    "of what the round read, less that of the last. Slope: of the line through the losses of what it read, from its "
    "first text (0) to its last (1). Tilt: the loss of what was drawn for the next round, less that of all text."
)


def reviewed(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a scored round of a compared run: arm, label, seed, and what its record says (`tinylm/train/review.py`).

    Runs that serve several arms stand with the first. What a round lacks, such as a tilt where nothing was drawn after
    it, is None.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    rows: list[dict[str, Any]] = []
    for run in once(runs).to_dict("records"):
        reviews: Any = run.get("reviews")
        for review in reviews if isinstance(reviews, list) else []:
            place = {name: run[name] for name in ("arm", "label", "seed")}
            rows.append(place | {name: review.get(name) for name in _FIELDS})
    return pd.DataFrame(rows, columns=["arm", "label", "seed", *_FIELDS])


def rounds_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row an arm and a scored round, means over seeds, and what marks its tilt; empty where none was scored.

    Losses are in nats a token, of the first round's text under the model at the round's end: of all of it, or of what
    this round read, which from the second on is a part; ``tilt`` is that of what was drawn for the next round, less
    that of all.
    """
    rows = []
    for (_, round), own in reviewed(runs).groupby(["arm", "round"], sort=False):
        tilts = own["tilt"].dropna()
        marks = own["mark"].dropna()
        rows.append(
            {
                "arm": str(own["label"].iloc[0]),
                "round": str(round),
                "loss, all text": f"{pd.to_numeric(own['loss']).mean():.4f}",
                "forgetting, of what was read": signed(float(pd.to_numeric(own["forgetting"]).mean()), 4),
                "slope, of what was read": signed(float(pd.to_numeric(own["slope"]).mean()), 4),
                "tilt": "–" if tilts.empty else signed(float(pd.to_numeric(tilts).mean()), 4),
                "mark": "–" if marks.empty else f"{marks.iloc[0]} ({len(marks)} of {len(tilts)} runs)",
            }
        )
    return pd.DataFrame(rows)
