"""What pruning a tokenizer lost and gained, arm by arm."""

from __future__ import annotations

import pandas as pd

from tinylm.report.tables.means import means_table

_BEFORE = "provenance.tokenizer_pruning"
_COLUMNS = {
    "original_vocab": ("ids before", "{:,.0f}".format),
    "vocab": ("ids kept", "{:,.0f}".format),
    "closure": ("of them for merges alone", "{:,.0f}".format),
    "unreachable": ("unreachable", "{:,.0f}".format),
    "coverage": ("coverage", "{:.1%}".format),
    "bytes_per_token_before": ("bytes a token before", "{:.2f}".format),
    "bytes_per_token": ("bytes a token", "{:.2f}".format),
    "vocabulary_share_before": ("share with the ids before, same body", "{:.1%}".format),
    "vocabulary_share": ("share of parameters", "{:.1%}".format),
}


def vocabulary_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row an arm whose tokenizer was pruned: means over its ended runs. Empty where none was.

    Coverage is the part of the text's tokens that the original's ids which are kept are; the share is that of the token
    table and the head in all parameters, before: of the same body under the original's ids.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    return means_table(runs, {f"{_BEFORE}.{name}": column for name, column in _COLUMNS.items()})
