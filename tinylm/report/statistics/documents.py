"""What a difference owes to the text: scores of every test document, and the interval over seeds and documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tinylm.errors import UserError
from tinylm.report.statistics.difference import Difference

ITEMS = "items.parquet"
BLOCKS = 1000  # rows an evaluator that are read and archived: neighbouring documents are summed above
_DRAWS = 1000
_NEIGHBOURS = 32  # documents in a row: two stretches of a split, for a block begins anywhere in one
_FEWEST = 20  # documents from which their scatter tells of a text


def read_table(path: Path, evaluator: str | None = None) -> pd.DataFrame:
    """What evaluators, or one of them, said of each document or part: a run's ``items.parquet``.

    Raises:
        UserError: it is not whole.
    """
    try:
        return pd.read_parquet(path, filters=None if evaluator is None else [("evaluator", "==", evaluator)])
    except (OSError, ValueError) as error:  # pyarrow's errors are among these
        raise UserError(
            f"{path} cannot be read ({error}); delete it, and its run counts without its documents"
        ) from error


def in_blocks(items: pd.DataFrame) -> pd.DataFrame:
    """Bits and bytes of documents, summed over neighbours to at most 1000 rows an evaluator.

    A block is named by its first document. What is in blocks already stays as it is, so that a table and its archive
    give the same numbers.

    Args:
        items: rows of `tinylm.evaluate.bits.BitsPerByte` (evaluator, document, bits, bytes); other columns and rows
            go.
    """
    if not {"evaluator", "document", "bits", "bytes"} <= set(items.columns):
        return pd.DataFrame(columns=["evaluator", "document", "bits", "bytes"])
    scored = items.loc[items["bits"].notna() & items["bytes"].notna(), ["evaluator", "document", "bits", "bytes"]]
    parts = []
    for _, own in scored.groupby("evaluator", sort=False):
        block = np.arange(len(own)) * min(BLOCKS, len(own)) // len(own)
        parts.append(own.groupby(block).agg({"evaluator": "first", "document": "first", "bits": "sum", "bytes": "sum"}))
    if not parts:
        return scored
    return pd.concat(parts, ignore_index=True).astype({"document": int, "bits": np.float32, "bytes": int})


@dataclass(frozen=True)
class Documents:
    """The document scores behind a metric, run by run, each table read once.

    Args:
        runs: rows of `tinylm.report.records.collect.collect` by key.
        metric: a sum of bits over a sum of bytes; other metrics have no document scores.
    """

    runs: Mapping[str, Mapping[str, Any]]
    metric: str
    _read: dict[str, pd.DataFrame | None] = field(default_factory=dict)
    _torn: list[str] = field(default_factory=list)

    def caveats(self) -> list[str]:
        """Why runs that scored documents, of those read so far, have no interval over them."""
        few = sorted({len(table) for table in self._read.values() if table is not None and len(table) < _FEWEST})
        return [
            *self._torn,
            *(f"only {n} documents were scored; an interval over seeds and documents takes {_FEWEST}" for n in few),
        ]

    def of(self, key: str) -> pd.DataFrame | None:
        """A run's bits and bytes by document; None where it has none of this metric, or too few."""
        if key not in self._read:
            self._read[key] = self._table(self.runs[key])
        table = self._read[key]
        return table if table is not None and len(table) >= _FEWEST else None

    def _table(self, run: Mapping[str, Any]) -> pd.DataFrame | None:
        evaluators = (run.get("config") or {}).get("evaluate") or {}
        names = [name for name, told in evaluators.items() if _gives(told) == self.metric]
        path = Path(str(run.get("root"))) / str(run["key"]) / ITEMS
        if len(names) != 1 or not path.is_file():
            return None
        try:
            table = in_blocks(read_table(path))
        except UserError as error:
            self._torn.append(str(error))
            return None
        return table[table["evaluator"] == names[0]].set_index("document")[["bits", "bytes"]]

    def interval(
        self, difference: Difference, variant: Sequence[str], against: Sequence[str], alpha: float
    ) -> tuple[float, float] | None:
        """The interval at level 1 - alpha of a difference over seeds and documents: other seeds and other text.

        The seeds' share is Student's t interval, the documents' the standard error of a bootstrap that redraws
        documents (`text_error`), each with all its runs; the two add as Zou and Donner 2008 add the intervals of a sum
        (MOVER): by the squares of their half widths. Redrawing seeds too (Owen 2007, arXiv:0712.1111) would take the
        spread of three seeds for what it seems, and covers far too seldom (docs/evidence.md).

        Args:
            variant, against: keys of the runs that the difference is over.

        Returns:
            None where a run has no document scores, or the runs were scored on different documents.
        """
        seeds = difference.interval(alpha)
        sides = [[self.of(key) for key in keys] for keys in (variant, against)]
        if seeds is None or any(table is None for side in sides for table in side):
            return None
        tables = [table for side in sides for table in side if table is not None]
        first = tables[0]
        if any(not table["bytes"].equals(first["bytes"]) for table in tables[1:]):
            return None
        means = [
            np.mean([table["bits"].to_numpy(float) for table in side if table is not None], axis=0) for side in sides
        ]
        error = text_error(means[0] - means[1], first["bytes"].to_numpy(float))
        half = math.hypot((seeds[1] - seeds[0]) / 2, float(stats.norm.isf(alpha / 2)) * error)
        return difference.mean - half, difference.mean + half


def text_error(bits_N: np.ndarray, bytes_N: np.ndarray) -> float:
    """Bootstrap standard error over documents of sum(bits) / sum(bytes): the larger of two.

    One redraws documents (Efron 1979), the other blocks of 32 neighbours, from any document on and around the end
    (Politis and Romano 1992): passages of one book are alike, and a split is drawn in stretches of 16
    (`tinylm.data.passages`). Blocks that begin within a stretch tell an error about a twelfth too small.
    """
    n = len(bits_N)
    block = min(_NEIGHBOURS, n // 2)
    return max(_redrawn(bits_N, bytes_N, n), _redrawn(_around(bits_N, block), _around(bytes_N, block), n // block))


def _redrawn(bits_N: np.ndarray, bytes_N: np.ndarray, number: int) -> float:
    """Standard deviation of the ratio over ``number`` rows redrawn with replacement."""
    n = len(bits_N)
    drawn_DN = np.random.default_rng(0).multinomial(number, np.full(n, 1 / n), _DRAWS)
    return float(((drawn_DN @ bits_N) / (drawn_DN @ bytes_N)).std(ddof=1))


def _around(values_N: np.ndarray, block: int) -> np.ndarray:
    """Of each row the sum of it and those after it, ``block`` in all; after the last comes the first."""
    total_M = np.cumsum(np.concatenate([[0.0], values_N, values_N[: block - 1]]))
    return total_M[block:] - total_M[:-block]


def _gives(evaluator: Any) -> str | None:
    """The metric that an evaluator of a config gives, if it is bits per byte of some text."""
    if not isinstance(evaluator, Mapping) or not str(evaluator.get("_target_", "")).endswith(".BitsPerByte"):
        return None
    return f"{evaluator.get('prefix') or ''}bits_per_byte"
