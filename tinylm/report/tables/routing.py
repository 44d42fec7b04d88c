"""Routing, arm by arm: how experts and memories were used, and what training let a token see."""

from __future__ import annotations

import re
from functools import partial

import pandas as pd

from tinylm.report.judgement.wording import signed
from tinylm.report.tables.means import Columns, means_table, of_column

LAYER = re.compile(r"(\w+)_\d{2}")  # of a metric of one layer, as `tinylm/runs/routing.py` names it
_OF_LAYERS: Columns = {
    "load_entropy": ("load entropy", "{:.3f}".format),
    "largest_share": ("largest share", "{:.1%}".format),
    "dead": ("dead experts", "{:.1%}".format),
    "dropped": ("dropped tokens", "{:.1%}".format),
    "confidence": ("confidence", "{:.3f}".format),
    "slots_read": ("slots read", "{:.1%}".format),
    "slots_kl": ("slots' KL to uniform", "{:.3f}".format),
}
_loss = partial(signed, digits=4)
_OF_RUNS: Columns = {
    "mode_gap": ("as trained − as evaluated", _loss),
    "leak": ("leak in training", "{:.1%}".format),
    "upcycle_gap": ("first loss − parent's", _loss),
    "upcycle_gap_train": ("first loss − parent's, as trained", _loss),
    "moefy_gap": ("loss − parent's, split", _loss),
}


def routing_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row an arm that routes or was made of a dense model: means over its ended runs, and over their sparse layers.

    Columns are of what the records have; losses are in nats a token. Empty where no run has any.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    return means_table(runs, {**_OF_LAYERS, **_OF_RUNS}, _mean)


def _mean(own: pd.DataFrame, name: str) -> float:
    """Of a number of the run, or of one that every sparse layer has."""
    if name in _OF_RUNS:
        return of_column(own, name)
    layers = [column for column in map(str, own.columns) if (match := LAYER.fullmatch(column)) and match[1] == name]
    return float(own[layers].astype(float).mean(axis=1).mean())
