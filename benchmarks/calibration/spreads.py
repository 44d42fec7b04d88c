"""How the seeds of real sweeps scatter: made-up families that look like them, with no effect in them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.report.claims.claim import AT

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Spread:
    """One sweep's seeds.

    Fields:
        sweep: its name, and the size where there are several.
        mean: bits per byte, of all arms.
        covariance_AA: of the arms over the seeds they share, as measured.
    """

    sweep: str
    mean: float
    covariance_AA: np.ndarray

    @property
    def sd(self) -> float:
        """Of one arm's seeds, on average over the arms."""
        return float(np.sqrt(np.diag(self.covariance_AA).mean()))

    @property
    def sd_of_differences(self) -> np.ndarray:
        """Of each arm's paired differences to the first."""
        first = self.covariance_AA[0, 0]
        return np.sqrt(first + np.diag(self.covariance_AA)[1:] - 2 * self.covariance_AA[0, 1:])

    def family(self, n: int, rng: np.random.Generator) -> dict[str, list[float]]:
        """Scores of all arms over n seeds: normal, as far apart and as much together as the real ones, no effect."""
        scores_NA = rng.multivariate_normal(np.full(len(self.covariance_AA), self.mean), self.covariance_AA, n)
        return {f"a{place}": list(column) for place, column in enumerate(scores_NA.T)}

    def alone(self) -> Spread:
        """The same arms, each scattering for itself: three seeds of many arms tell little of how they go together."""
        return Spread(f"{self.sweep}, each arm alone", self.mean, np.diag(np.diag(self.covariance_AA)))


def real_spreads(results: Path = PROJECT / "analysis" / "results") -> Iterator[Spread]:
    """The spread of every committed sweep whose arms share at least 3 seeds, the claim's own order of arms kept.

    A claim at several sizes has a spread for each: its sizes are families of their own.
    """
    for path in sorted(results.glob("*/results.csv")):
        with path.open(encoding="utf-8") as lines:
            rows = [row for row in csv.DictReader(lines) if row["stage"] == "compare" and row.get("bits_per_byte")]
        sizes: dict[str, dict[str, dict[int, float]]] = {}
        for row in rows:
            arm, _, size = row["arm"].partition(AT)
            sizes.setdefault(size, {}).setdefault(arm, {})[int(row["seed"])] = float(row["bits_per_byte"])
        for size, scores in sizes.items():
            seeds = sorted(set.intersection(*(set(own) for own in scores.values())))
            if len(scores) < 2 or len(seeds) < 3:
                continue
            table_AN = np.array([[own[seed] for seed in seeds] for own in scores.values()])
            name = f"{path.parent.name} at {size}" if size else path.parent.name
            yield Spread(name, float(table_AN.mean()), np.cov(table_AN))
