"""Sweeps without training: records, histories and a manifest with plausible numbers, made from a table of scores."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tinylm.files import write_json
from tinylm.record import RunRecord
from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.judgement.compare import decide
from tinylm.report.judgement.verdicts import Comparison, Verdicts
from tinylm.report.records.collect import collect

CONFIG: dict[str, Any] = {
    "seed": 0,
    "streams": {"data": None},
    "data": {"_target_": "tinylm.data.corpus.files.Files", "paths": ["/somewhere/text/*.txt"]},
    "model": {"ffn": {"_target_": "tinylm.model.ffn.swiglu.SwiGLU", "multiple": 8}},
    "shape": {"depth": 4, "parameters": 1_000_000},
    "optim": {"lr": 0.002, "betas": [0.9, 0.95]},
    "budget": {"tokens": 6_000_000},
    "precision": "bf16",
    "root": "runs",
    "machine": {"workers": 2},
}
PROVENANCE = {
    "corpus": {"paths": "c0ffee"},
    "code": "0.1.0+abcdef01",
    "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    "processor": "Example CPU @ 2.0GHz",
    "threads": 1,
    "precision": "bf16",
}
CLAIM: dict[str, Any] = {
    "question": "Is deeper better at equal parameters?",
    "source": "Someone et al. 2024, section 3",
    "factor": ["shape.depth"],
    "baseline": "d4",
    "arms": {"d4": {}, "d8": {"overrides": ["shape.depth=8"], "expect": "better"}},
    "equal": "parameters",
    "delta": 0.005,
    "seeds": [0, 1, 2, 3, 4],
}
# Paired by seed with a correlation, as runs of one seed are: the same documents in the same order.
D4 = [1.900, 1.912, 1.893, 1.905, 1.898]
D8 = [1.879, 1.890, 1.874, 1.883, 1.878]


class Sweep:
    """A sweep on disk, arm by arm; everything about it may be changed before `verdicts`."""

    def __init__(self, root: Path, name: str = "depth_width", **claim: Any) -> None:
        self.root, self.name = root, name
        self.claim = {**copy.deepcopy(CLAIM), **claim}
        self.jobs: list[dict[str, Any]] = []

    def run(
        self,
        arm: str,
        seed: int,
        score: float | None,
        *,
        stage: str = "compare",
        params: Mapping[str, Any] | None = None,
        status: str = "done",
        config: Mapping[str, Any] | None = None,
        record: bool = True,
        history: int = 0,
        **parts: Mapping[str, Any],
    ) -> str:
        """Write one run; ``config`` and the parts (accounting, cost, provenance) are merged by dotted names."""
        params = dict(params or {})
        depth = int(arm.lstrip("d")) if arm.startswith("d") and arm[1:].isdigit() else 4
        settings = {"seed": seed, "shape.depth": depth, **params, **(config or {})}
        key = f"{arm}-{stage}-{seed}" + "".join(f"-{value}" for value in params.values())
        self.jobs.append({"key": key, "arm": arm, "stage": stage, "seed": seed, "params": params, "overrides": []})
        if not record:
            return key
        parameters = {"total": 1_000_000 + depth * 100, "active": 1_000_000, "body": 800_000 + depth * 100}
        cost = {"tokens": 6_000_000, "bytes": 21_000_000, "flops": 3.6e13, "seconds": 300.0 + 4 * depth + seed}
        metric = "tune_bits_per_byte" if stage == "tune" else "bits_per_byte"
        metrics = {} if score is None or status != "done" else {metric: score}
        RunRecord(
            key=key,
            status=status,  # type: ignore[arg-type]
            config=_merged(CONFIG, settings),
            choices={"model/ffn": "swiglu", "optim": "adamw"},
            metrics=metrics,
            accounting=_merged({"parameters": parameters}, parts.get("accounting", {})),
            cost=_merged(cost, parts.get("cost", {})),
            provenance=_merged(PROVENANCE, parts.get("provenance", {})),
            sweeps=[self.name],
            error={"type": "Diverged", "step": 7, "message": "not finite"} if status == "diverged" else None,
        ).write(self.root / key)
        if history:
            self._history(key, score if score is not None else 2.0, history, seed)
        return key

    def arm(self, arm: str, scores: list[float | None], first: int = 0, **options: Any) -> Sweep:
        """Runs of one arm with seeds from ``first`` on; None stands for a run that diverged."""
        for seed, score in enumerate(scores, start=first):
            self.run(arm, seed, score, status="done" if score is not None else "diverged", **options)
        return self

    def tune(self, arm: str, scores: Mapping[float, float | None], seed: int = 100, **options: Any) -> Sweep:
        """Tuning runs of one arm, by learning rate."""
        for rate, score in scores.items():
            status = "done" if score is not None else "diverged"
            self.run(arm, seed, score, stage="tune", params={"optim.lr": rate}, status=status, **options)
        return self

    def tell(self, key: str, **metrics: float) -> None:
        """Add scalars to a run's record."""
        record = RunRecord.read(self.root / key)
        record.metrics.update(metrics)
        record.write(self.root / key)

    def manifest(self) -> Manifest:
        data = {
            "schema": 1,
            "name": self.name,
            "command": f"tinylm sweep {self.name}",
            "claim": self.claim,
            "estimates": list((self.claim or {}).get("estimates", {})),
            "jobs": self.jobs,
        }
        write_json(self.root / "sweeps" / f"{self.name}.json", data)
        return read_manifest(self.name, self.root)

    def frame(self) -> pd.DataFrame:
        return collect(self.root)

    def verdicts(self) -> Verdicts:
        manifest = self.manifest()
        return decide(self.frame(), manifest)

    def only(self) -> Comparison:
        (comparison,) = self.verdicts().comparisons
        return comparison

    def _history(self, key: str, score: float, points: int, seed: int) -> None:
        lines = []
        for point in range(1, points + 1):
            share = point / points
            noise = 0.05 * math.sin(37.0 * point + seed)
            line: dict[str, Any] = {
                "round": 0,
                "step": point * 10,
                "tokens": int(6_000_000 * share),
                "bytes": int(21_000_000 * share),
                "seconds": 300.0 * share,
                "learning_rate": 0.002,
                "loss": 2.1 * score + 4 * math.exp(-6 * share) + noise,
            }
            if point % max(1, points // 12) == 0:
                line["tune_bits_per_byte"] = score + 1.2 * math.exp(-5 * share) + noise / 20
            lines.append(json.dumps(line))
        (self.root / key / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``tree`` with values set by dotted names."""
    result = copy.deepcopy(dict(tree))
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        place = result
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return result
