"""Runs with their place in a sweep: arm, label and stage."""

from __future__ import annotations

import pandas as pd

from tinylm.report.claim import Claim
from tinylm.report.manifest import Manifest


def by_arm(runs: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The runs of a sweep, a row a job, in the order planned, with ``arm``, ``label``, ``stage`` and ``params``.

    A run that serves two arms has a row in each. Jobs whose run has no record have ``status`` ``not run``.
    """
    claim = manifest.claim
    jobs = pd.DataFrame(
        {
            "key": [job.key for job in manifest.jobs],
            "arm": [job.arm for job in manifest.jobs],
            "label": [_label(claim, job.arm) for job in manifest.jobs],
            "stage": [job.stage for job in manifest.jobs],
            "planned_seed": [job.seed for job in manifest.jobs],
            "params": [job.params for job in manifest.jobs],
        }
    )
    frame = jobs.merge(runs, on="key", how="left")
    frame["status"] = frame["status"].astype(object).where(frame["status"].notna(), "not run")
    frame["seed"] = frame["planned_seed"]
    return frame.drop(columns="planned_seed")


def _label(claim: Claim | None, arm: str) -> str:
    return claim.label(arm) if claim is not None and arm in claim.arms else arm
