"""Twins: small trained models that differ in nothing but their seed, for A/A comparisons of real runs."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tinylm.files import write_text
from tinylm.report.records.collect import collect

TABLE = Path(__file__).with_name("twins.csv")
NUMBER = 120  # 20 comparisons of two arms of three seeds
# Seconds each: the whole way from text to score, of a model that has learned something but not much.
OVERRIDES = (
    *("shape=smoke", "data.limit_bytes=1000000", "data.tune=0.05", "data.test=0.1", "tokenizer.vocab=384"),
    *("batch.size=8", "batch.context=64", "budget=steps", "budget.amount=80", "optim.lr=0.01"),
    *("compile=false", "keep=nothing", "evaluate.bits.at_most=60"),
)


def train(root: Path) -> None:
    """Train the twins under ``root`` (those that are there already are not made again) and write their table."""
    seeds = f"seed=range(0,{NUMBER})"
    places = (f"root={root}", "archives=[]", "launcher=serial")
    subprocess.run([sys.executable, "-m", "tinylm", "run", "-m", *OVERRIDES, seeds, *places], check=True)
    keep(root)


def keep(root: Path) -> None:
    """Write the table of the twins under ``root``."""
    runs = collect(root).sort_values("seed")
    done = runs[(runs["status"] == "done") & (runs["seed"] < NUMBER)]
    rows = [f"{row['key']},{row['seed']},{row['bits_per_byte']:.9f}\n" for row in done.to_dict("records")]
    write_text(TABLE, "key,seed,bits_per_byte\n" + "".join(rows))


def scores(lines: Iterable[str] | None = None) -> list[float]:
    """Bits per byte of the twins, by seed.

    Args:
        lines: of the table; None: of the one that is kept.
    """
    text = TABLE.read_text(encoding="utf-8").splitlines() if lines is None else lines
    return [float(row["bits_per_byte"]) for row in csv.DictReader(text)]
