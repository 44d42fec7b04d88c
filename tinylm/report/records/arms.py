"""Runs with their place in a sweep: arm, label and stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.records.collect import collect


def arms(name: str, *roots: str | Path) -> pd.DataFrame:
    """A sweep's runs with their place in it: ``arm``, ``label``, ``stage`` and ``params`` beside all of `collect`.

    Example: ``arms("depth_width", "runs").query("stage == 'compare'").groupby("label")["bits_per_byte"].mean()``

    Raises:
        UserError: no root has the sweep.
    """
    manifest = read_manifest(name, *roots)
    return by_arm(collect(*roots, keys=manifest.needed), manifest)


def by_arm(runs: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The runs of a sweep, a row a job, in the order planned, with ``arm``, ``label``, ``stage`` and ``params``.

    A run that serves two arms has a row in each. Jobs whose run has no record have ``status`` ``not run``. A parent
    is no run of the arm that was first to need it: its arm and label are those of `parent`.
    """
    claim = manifest.claim
    jobs = pd.DataFrame(
        {
            "key": [job.key for job in manifest.jobs],
            "arm": [job.arm for job in manifest.jobs],
            "label": [label_of(claim, job.arm) for job in manifest.jobs],
            "stage": [job.stage for job in manifest.jobs],
            "planned_seed": [job.seed for job in manifest.jobs],
            "params": [job.params for job in manifest.jobs],
        }
    )
    frame = jobs.merge(runs, on="key", how="left")
    frame["status"] = frame["status"].astype(object).where(frame["status"].notna(), "not run")
    frame["seed"] = frame["planned_seed"]
    elders = frame["stage"] == "parent"
    names = [parent(row) for row in frame[elders].to_dict("records")]
    for column in ("arm", "label"):
        frame.loc[elders, column] = names
    # Merged, every column lies by itself, which pandas complains of as soon as one more comes; a copy gathers them.
    return frame.drop(columns="planned_seed").copy()


def once(placed: pd.DataFrame) -> pd.DataFrame:
    """The compared runs of `by_arm`, each with the first arm that it serves: a point or a line to draw."""
    return placed[placed["stage"] == "compare"].drop_duplicates("key")


def one_vocabulary(runs: pd.DataFrame) -> bool:
    """Whether losses of a token mean the same in all runs: a shorter token has a smaller loss."""
    sizes = "accounting.shape.vocab"
    return sizes not in runs or runs[sizes].nunique() <= 1


def parent(run: Mapping[Any, Any]) -> str:
    """What a parent is called, by its shape where that is known: ``parent (8 layers of 128)``.

    Args:
        run: a row of `tinylm.report.records.collect.collect`, or what is known of it.
    """
    for where in ("accounting.shape", "shape"):  # as solved, else as the config asks
        depth, width = (run.get(f"{where}.{name}") for name in ("depth", "width"))
        if pd.notna(depth) and pd.notna(width):
            return f"parent ({int(depth)} layers of {int(width)})"
    return "parent"


def label_of(claim: Claim | None, arm: str) -> str:
    """How an arm is called, also one that only another root's claim knows."""
    return claim.label(arm) if claim is not None and arm in claim.arms else arm
