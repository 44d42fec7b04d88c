"""A run as a folder that transformers loads, with a card that its record fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pyarrow import parquet

from tinylm.compose.ledger import locate
from tinylm.compose.load import load
from tinylm.evaluate.bits import standard_error
from tinylm.exchange import export as writing
from tinylm.exchange.card import card
from tinylm.record import RunRecord
from tinylm.report.claims.portable import portable
from tinylm.report.records.replicates import replicates

BITS = "bits"  # as conf/evaluate/bits.yaml names it


def export(key: str, folder: Path, roots: Sequence[Path]) -> writing.Proof:
    """Write the model of a run for transformers.

    Raises:
        UserError: no such run, its weights were not kept, or as `tinylm.exchange.export.export`.
    """
    run = locate(key, roots)
    model, tokenizer = load(run.name, [run.parent])
    record = RunRecord.read(run)
    spreads = _spreads(record, run)
    told = replace(record, config=portable(record.config), warnings=portable(record.warnings))
    return writing.export(model, tokenizer, folder, lambda proof: card(told, proof, folder.resolve().name, spreads))


def _spreads(record: RunRecord, run: Path) -> dict[str, str]:
    """How far each score scatters: over the seeds of its arm where others ran, else over the documents."""
    spreads = {}
    for name, (bits_N, size_N) in _of_documents(record, run).items():
        error = standard_error(bits_N, size_N)
        told = record.metrics.get(name, np.nan)
        if error is not None and abs(bits_N.sum() / size_N.sum() - told) < 1e-6 * told:  # of the very same documents
            spreads[name] = f"± {error:.4f}, one standard error over {len(bits_N)} documents; one seed"
    alike = replicates(record, run.parent)
    for name in record.metrics if alike is not None else ():
        assert alike is not None
        if (found := alike.interval(name)) is not None and found[1] > 0:
            mean, half, n = found
            spreads[name] = f"{mean:.4f} ± {half:.4f} over {n} seeds of {alike.sweep}, arm {alike.arm} (95%)"
    return spreads


def _of_documents(record: RunRecord, run: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scores that are a ratio of two sums over documents: what is summed, above and below."""
    if record.items is None:
        return {}
    table = parquet.read_table(run / record.items)
    if not {"bits", "bytes", "tokens", "end_bits", "domain"} <= set(table.column_names):
        return {}
    rows = table.filter([name == BITS for name in table["evaluator"].to_pylist()]).to_pydict()
    bits_N, bytes_N, tokens_N, end_N = (np.array(rows[name], float) for name in ("bits", "bytes", "tokens", "end_bits"))
    found = {
        "bits_per_byte": (bits_N, bytes_N),
        "test_loss": (bits_N * np.log(2), tokens_N),
        "end_of_document_bits": (end_N, np.ones_like(end_N)),
    }
    for name in record.accounting["shape"].get("domains", ()):
        own_N = np.array([domain == name for domain in rows["domain"]])
        found[f"bits_per_byte/{name}"] = (bits_N[own_N], bytes_N[own_N])
    return found
