"""Runs that did not end well: their record, with its error and never a sentinel number. No torch."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

from filelock import FileLock

from tinylm.record import WEIGHTS, RunRecord
from tinylm.runs.provenance import environment

LAST_LINES = 30


def record_failure(
    key: str, config: dict[str, Any], choices: dict[str, str], folder: Path, error: BaseException
) -> RunRecord:
    """Write and return the record of a run that ended by ``error``; its checkpoint stays for the next try."""
    folder.mkdir(parents=True, exist_ok=True)
    trace = "".join(traceback.format_exception(error)).rstrip().splitlines()[-LAST_LINES:]
    record = RunRecord(
        key=key,
        status="failed",
        config=config,
        choices=choices,
        cost=spent(folder),
        provenance=environment(),
        error={"type": type(error).__name__, "message": str(error), "traceback": trace if error.__traceback__ else []},
    )
    with FileLock(folder / "run.lock"):
        record.write(folder)
    return record


def spent(folder: Path) -> dict[str, Any]:
    """What a run that did not reach its end had cost: the last line of its history, as far as it is whole."""
    path = folder / "history.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in reversed(lines):
        try:
            last = json.loads(line)
            return {name: last[name] for name in ("tokens", "bytes", "flops", "seconds") if name in last}
        except ValueError:
            continue
    return {}


def childless(record: RunRecord, folder: Path) -> str | None:
    """Why no run can begin from the one that ended in ``folder``, and the way out; None where one can."""
    if record.status == "diverged":
        return f"diverged at step {(record.error or {}).get('step')}; give it a smaller learning rate"
    if record.status == "failed":
        return f"failed: {(record.error or {}).get('message')}"
    if not (folder / WEIGHTS).is_file():
        return "kept no weights; train it again with keep=weights"
    return None
