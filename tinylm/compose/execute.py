"""From a job to its record: build the parts, run them, say how it ended."""

from __future__ import annotations

import sys
from typing import Any

from tinylm.compose.keys import Job
from tinylm.errors import Interrupted, UserError
from tinylm.record import RunRecord
from tinylm.runs.failure import record_failure

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 143  # exit codes


def run_job(job: Job) -> RunRecord:
    """Run ``job``, or find that it has run. A failure stands in the record, never as an exception.

    Raises:
        Interrupted: the run was asked to stop; it wrote its checkpoint.
    """
    from tinylm.compose.parts import build
    from tinylm.runs.lifecycle import run

    try:
        return run([(build(job), job.folder)])[0]
    except Interrupted:
        raise
    except Exception as error:
        return record_failure(job.key, job.config, job.choices, job.folder, error)


def execute(job: Job) -> int:
    """Run ``job`` in a process of its own; the exit code."""
    try:
        return exit_code(run_job(job))
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED


def exit_code(record: RunRecord) -> int:
    """0 for an outcome (done, diverged), 2 where the user's input was wrong, 1 for any other failure."""
    if record.status != "failed":
        return DONE
    return WRONG if record.error and record.error.get("type") == UserError.__name__ else FAILED


def summary(record: RunRecord) -> dict[str, Any]:
    """What a launcher hands back: plain data."""
    return {"key": record.key, "status": record.status, "metrics": record.metrics, "error": record.error}
