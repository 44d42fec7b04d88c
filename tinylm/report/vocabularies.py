"""What pruning a tokenizer lost and gained, arm by arm."""

from __future__ import annotations

import pandas as pd

from tinylm.report.arms import once

_BEFORE = "provenance.tokenizer_pruning"
# Number of a record -> its column, and how it is written.
_TOLD = {
    "original_vocab": ("ids before", "{:,.0f}"),
    "vocab": ("ids kept", "{:,.0f}"),
    "closure": ("of them for merges alone", "{:,.0f}"),
    "unreachable": ("unreachable", "{:,.0f}"),
    "coverage": ("coverage", "{:.1%}"),
    "bytes_per_token_before": ("bytes a token before", "{:.2f}"),
    "bytes_per_token": ("bytes a token", "{:.2f}"),
    "vocabulary_share_before": ("share of parameters before", "{:.1%}"),
    "vocabulary_share": ("share of parameters", "{:.1%}"),
}


def vocabulary_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row an arm whose tokenizer was pruned: means over its ended runs. Empty where none was.

    Coverage is the part of the text's tokens that the original's ids which are kept are; the share is that of the token
    table and the head in all parameters, before: of the same body under the original's ids.

    Args:
        runs: of `tinylm.report.arms.by_arm`.
    """
    compared = once(runs)
    done = compared[compared["status"] == "done"]
    known = {name: written for name, written in _TOLD.items() if f"{_BEFORE}.{name}" in done}
    rows = []
    for _, own in done.groupby("arm", sort=False):
        means = {name: pd.to_numeric(own[f"{_BEFORE}.{name}"]).mean() for name in known}
        if any(pd.notna(value) for value in means.values()):
            cells = {known[name][0]: known[name][1].format(value) for name, value in means.items() if pd.notna(value)}
            rows.append({"arm": str(own["label"].iloc[0]), **cells})
    return pd.DataFrame(rows).fillna("–")
