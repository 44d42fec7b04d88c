"""Every arm's losses over the claim's sizes, of the seeds that count: what laws and multipliers are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Manifest

SPAN = 1.5  # times the FLOPs of the smallest that the largest size takes at least; below there is no slope to see
_ELSEWHERE = ("cost.parent_flops", "cost.initialise_flops")


@dataclass(frozen=True)
class Curve:
    """An arm's training FLOPs and losses, by seed and by size, in the claim's order.

    Fields:
        elsewhere: whether more was computed for it, which its FLOPs leave out: a parent, an initialisation.
    """

    compute_NS: np.ndarray
    loss_NS: np.ndarray
    seeds: tuple[int, ...]
    elsewhere: bool = False

    @property
    def compute_S(self) -> np.ndarray:
        """Mean over seeds."""
        mean: np.ndarray = self.compute_NS.mean(0)
        return mean

    @property
    def grows(self) -> bool:
        """Whether each size takes more FLOPs than the one before, at every seed."""
        return bool((np.diff(self.compute_NS) > 0).all())

    @property
    def spans(self) -> bool:
        """Whether the sizes lie far enough apart in FLOPs for a slope to be seen."""
        return bool((self.compute_NS[:, -1] >= SPAN * self.compute_NS[:, 0]).all())

    def of(self, seeds: Sequence[int]) -> Curve | None:
        """Of some of its seeds alone, in that order; None where it lacks one."""
        if not set(seeds) <= set(self.seeds):
            return None
        places = [self.seeds.index(seed) for seed in seeds]
        return Curve(self.compute_NS[places], self.loss_NS[places], tuple(seeds), self.elsewhere)


def counted(runs: pd.DataFrame, claim: Claim, manifest: Manifest) -> pd.DataFrame:
    """The claim's compared runs of the seeds that count: where seeds were added, those of the last turn alone.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    compared = runs[(runs["stage"] == "compare") & runs["arm"].isin(list(claim.arms))]
    return compared[compared["seed"].isin(manifest.counting(set(compared["seed"])))]


def told(seeds: Sequence[int], claim: Claim) -> str:
    """How a table calls them: ``3 seeds``, or ``3 added seeds``."""
    return f"{len(seeds)} {'seeds' if set(seeds) <= set(claim.seeds) else 'added seeds'}"


def curves_of(runs: pd.DataFrame, claim: Claim) -> dict[str, Curve]:
    """Arm over all sizes -> its curve, over the seeds that have a loss and FLOPs at every size; none for arms without.

    Empty where the claim has no sizes, or its metric is no loss, which is positive and falls.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`, or of `counted`.
    """
    if not claim.sizes or claim.direction != "lower" or not {claim.metric, "cost.flops"} <= set(runs):
        return {}
    done = runs[(runs["stage"] == "compare") & (runs["status"] == "done") & runs["arm"].isin(list(claim.arms))]
    across = [claim.across(arm) for arm in done["arm"]]
    own = done.assign(across=across, size=[claim.arms[a].size or "" for a in done["arm"]])
    found: dict[str, Curve] = {}
    for arm, rows in own.groupby("across", sort=False):
        loss, compute = (_table(rows, column, claim.sizes) for column in (claim.metric, "cost.flops"))
        whole = loss.notna().all(axis=1) & compute.notna().all(axis=1)
        if whole.any() and (loss[whole] > 0).all(axis=None) and (compute[whole] > 0).all(axis=None):
            more = any(column in rows and pd.to_numeric(rows[column]).fillna(0).any() for column in _ELSEWHERE)
            seeds = tuple(int(seed) for seed in loss.index[whole])
            found[str(arm)] = Curve(compute[whole].to_numpy(float), loss[whole].to_numpy(float), seeds, more)
    return found


def _table(rows: pd.DataFrame, column: str, sizes: Mapping[str, object]) -> pd.DataFrame:
    """A column by seed and size."""
    table = rows.pivot_table(index="seed", columns="size", values=column, dropna=False)
    return table.reindex(columns=list(sizes)).astype(float)
