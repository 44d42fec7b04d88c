"""RunRecord: what one run is, cost and scored. One JSON file, written last and atomically; no torch.

A run lives in ``root/<key>/``::

    record.json      this record; its presence means that the run has ended
    history.jsonl    a line a logged step
    items.parquet    scores per test document
    status.json      what the run does now (progress; replaced atomically about once a second)
    run.log          what the run's process printed
    run.lock         held by whoever works on the run; never deleted
    weights.safetensors, tokenizer.json, model.json   what `tinylm.load` needs (where weights are kept)
    tokenizer.origin.json                             what the tokenizer was pruned from, if it was
    rounds/          losses of the first round's text and what was drawn from it (where there are rounds)
    checkpoint/, wall.json   while the run is unfinished
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinylm.errors import UserError
from tinylm.files import write_json

SCHEMA = 1
WEIGHTS = "weights.safetensors"

Status = Literal["done", "failed", "diverged"]


@dataclass
class RunRecord:
    """One run.

    Fields:
        key: hash of what the run derives from (its folder's name).
        status: ``done``, ``failed`` (``error`` says why) or ``diverged`` (``error["step"]`` says when).
        config: the resolved config with its paths, as it ran.
        choices: config group -> chosen option, such as ``{"model/ffn": "swiglu"}``.
        metrics: scalars; ``bits_per_byte`` and ``test_loss`` (nats a token) on the test split,
            ``tune_bits_per_byte`` on the tune split; ``round_1_loss``, ``round_1_forgetting``, ``round_1_tilt`` and so
            on from ``rounds``. Missing where the run did not end well; never a sentinel.
        items: name of the per-document table beside the record, or None.
        accounting: ``parameters`` {total, active, body, embedding, head, ...}, ``flops_per_token`` (training),
            ``shape`` as solved, ``solver`` (what it aimed at and missed by).
        cost: tokens, bytes, flops, seconds (training steps), compile_seconds, watch_seconds (scores on the way),
            evaluate_seconds, wall_seconds (from start to end, of all processes that worked on it), tokens_per_second,
            peak_memory_bytes, energy_joules (None unless measured); scoring_flops (part of flops: what choosing the
            text of later rounds took) and scoring_seconds (no part of seconds); exposures (how often a fact was read,
            the mean over the table, where the text has one).
        provenance: corpus, tokenizer and store hashes, package versions, code version, processor, gpu (the card's
            name, where one was used), threads, precision, initialisation, start and end time (UTC); ``evaluators``:
            their versions; ``evaluations``: task -> its version and what else goes with its scores;
            ``tokenizer_pruning``: what pruning the tokenizer lost and gained.
        sweeps: names of the sweeps it belongs to.
        error: None, or {type, message, step?, traceback?}.
        warnings: what a reader of the numbers has to know.
        rounds: an entry for each round whose text was scored at its end (``tinylm/train/review.py``).
    """

    key: str
    status: Status
    config: dict[str, Any]
    choices: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    items: str | None = None
    accounting: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    sweeps: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    schema: int = SCHEMA

    def write(self, folder: Path) -> None:
        """Write ``record.json`` into ``folder``, whole or not at all."""
        write_json(folder / "record.json", dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read ``folder/record.json``.

        Raises:
            FileNotFoundError: the run has not ended.
            UserError: the record is torn or of a newer schema; the message names the file.
        """
        path = folder / "record.json"
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            newer = data.get("schema", 0) > SCHEMA
            record = cls(**{name: value for name, value in data.items() if name in known})
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not whole ({error}); delete it and the run is made again") from error
        if newer:
            raise UserError(f"{path} has schema {record.schema}; this version reads up to {SCHEMA}")
        return record


PARTS_OF_WALL = tuple(
    f"{part}seconds" for part in ("", "compile_", "watch_", "scoring_", "initialise_", "evaluate_")
)  # of a record's cost


def wall_seconds(cost: Mapping[str, Any]) -> float:
    """From start to end, of a record's cost; 0 where nothing is known.

    Records of runs that went on from a checkpoint once told of their last process alone: never less than the parts.
    """
    return max(float(cost.get("wall_seconds") or 0), sum(float(cost.get(name) or 0) for name in PARTS_OF_WALL))
