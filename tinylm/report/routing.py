"""Routing, arm by arm: how experts and memories were used, and what training let a token see."""

from __future__ import annotations

import re

import pandas as pd

from tinylm.report.arms import once
from tinylm.report.wording import signed

LAYER = re.compile(r"(\w+)_\d{2}")  # of a metric of one layer, as `tinylm/runs/routing.py` names it
# Metric -> its column, and how it is written.
_OF_LAYERS = {
    "load_entropy": ("load entropy", "{:.3f}"),
    "largest_share": ("largest share", "{:.1%}"),
    "dead": ("dead experts", "{:.1%}"),
    "dropped": ("dropped tokens", "{:.1%}"),
    "confidence": ("confidence", "{:.3f}"),
    "slots_read": ("slots read", "{:.1%}"),
    "slots_kl": ("slots' KL to uniform", "{:.3f}"),
}
_OF_RUNS = {
    "mode_gap": ("as trained − as evaluated", ""),
    "leak": ("leak in training", "{:.1%}"),
    "upcycle_gap": ("first loss − parent's", ""),
    "upcycle_gap_train": ("first loss − parent's, as trained", ""),
    "moefy_gap": ("loss − parent's, split", ""),
}


def routing_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row an arm that routes or was made of a dense model: means over its ended runs, and over their sparse layers.

    Columns are of what the records have; losses are in nats a token. Empty where no run has any.

    Args:
        runs: of `tinylm.report.arms.by_arm`.
    """
    compared = once(runs)
    done = compared[compared["status"] == "done"]
    layers: dict[str, list[str]] = {name: [] for name in _OF_LAYERS}
    for column in map(str, done.columns):
        match = LAYER.fullmatch(column)
        if match is not None and match[1] in layers:
            layers[match[1]].append(column)
    written = {**_OF_LAYERS, **_OF_RUNS}
    rows = []
    for _, own in done.groupby("arm", sort=False):
        told = {name: own[columns].astype(float).mean(axis=1).mean() for name, columns in layers.items() if columns}
        told |= {name: pd.to_numeric(own[name]).mean() for name in _OF_RUNS if name in own}
        cells = {
            written[name][0]: written[name][1].format(value) if written[name][1] else signed(float(value), 4)
            for name, value in told.items()
            if pd.notna(value)
        }
        if cells:
            rows.append({"arm": str(own["label"].iloc[0]), **cells})
    order = ["arm", *(name for name, _ in written.values() if any(name in row for row in rows))]
    return pd.DataFrame(rows, columns=order if rows else None).fillna("–")
