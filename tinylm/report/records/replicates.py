"""The runs that differ from a run in their seed alone, and what its scores are over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from tinylm.record import RunRecord
from tinylm.report.claims.manifest import read_manifest


@dataclass(frozen=True)
class Replicates:
    """The runs of an arm.

    Fields:
        sweep, arm: whose.
        records: of its runs that are done, one a seed.
    """

    sweep: str
    arm: str
    records: tuple[RunRecord, ...]

    def interval(self, metric: str, alpha: float = 0.05) -> tuple[float, float, int] | None:
        """Mean, half the width of its Student's t interval, and the number of seeds; None below two."""
        values = np.array([record.metrics[metric] for record in self.records if metric in record.metrics])
        n = len(values)
        if n < 2:
            return None
        return float(values.mean()), float(stats.t.isf(alpha / 2, n - 1) * values.std(ddof=1)) / math.sqrt(n), n


def replicates(record: RunRecord, root: Path) -> Replicates | None:
    """The largest arm that a run belongs to, of those sweeps whose manifests lie under ``root``; None without one."""
    found: list[Replicates] = []
    for name in record.sweeps:
        if not (root / "sweeps" / f"{name}.json").is_file():
            continue
        manifest = read_manifest(name, root)
        arms = {job.arm for job in manifest.jobs if job.key == record.key and job.stage == "compare"}
        for arm in sorted(arms):
            folders = [root / key for key in manifest.keys(arm).values() if (root / key / "record.json").is_file()]
            records = [RunRecord.read(folder) for folder in folders]
            found.append(Replicates(name, arm, tuple(one for one in records if one.status == "done")))
    return max(found, key=lambda one: len(one.records), default=None)
