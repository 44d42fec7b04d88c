"""How well a small size foretells a larger one: pairs of arms that stand in the same order at both."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.curves import told
from tinylm.report.judgement.signal import distinct

ENOUGH_ARMS = 5  # below, there are too few pairs of arms to count


def decision_table(runs: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Pairwise decision accuracy (Magnusson et al. 2025, arXiv:2504.11393) from each size to every larger one.

    The share of all pairs of arms that stand in the same order, by their means over seeds. Arms that are the same runs
    count once, and arms without a run of some seed not at all. Empty below five arms.

    Args:
        runs: of `tinylm.report.judgement.curves.counted`.
    """
    means, seeds = _means(runs, claim)
    if len(means) < ENOUGH_ARMS:
        return pd.DataFrame()
    rows = []
    for small, large in itertools.combinations(claim.sizes, 2):
        same, pairs = agreeing(means[small].to_numpy(float), means[large].to_numpy(float))
        share = f"{same} of {pairs} ({same / pairs:.0%})"
        rows.append({"decided at": small, "for": large, "pairs in the same order": share, "n": told(seeds, claim)})
    return pd.DataFrame(rows)


def decision_note(runs: pd.DataFrame, claim: Claim) -> str:
    """Why a claim of enough arms has no `decision_table`; else empty."""
    arms = {claim.across(arm) for arm in claim.arms}
    if not claim.sizes or len(arms) < ENOUGH_ARMS:
        return ""
    whole = len(_means(runs, claim)[0])
    if whole >= ENOUGH_ARMS:
        return ""
    return f"no decision accuracy: of {len(arms)} arms {whole} differ and have a run of every seed at every size"


def _means(runs: pd.DataFrame, claim: Claim) -> tuple[pd.DataFrame, list[int]]:
    """The mean by arm over all sizes and by size, for arms with a run of every seed; and those seeds."""
    done = runs[runs["status"] == "done"]
    if not claim.sizes or done.empty or claim.metric not in done:
        return pd.DataFrame(), []
    across = [claim.across(arm) for arm in done["arm"]]
    own = done.assign(across=across, size=[claim.arms[arm].size or "" for arm in done["arm"]])
    own = own[own["across"].isin(distinct(own, "across"))].dropna(subset=[claim.metric])
    seeds = sorted(set(own["seed"]))
    cells = own.groupby(["across", "size"])[claim.metric]
    means, counts = (
        found.unstack("size").reindex(columns=list(claim.sizes)) for found in (cells.mean(), cells.count())
    )
    return means.loc[(counts.to_numpy() == len(seeds)).all(axis=1)], seeds


def agreeing(small: np.ndarray, large: np.ndarray) -> tuple[int, int]:
    """Pairs of arms that stand in the same order in both, and pairs in all; a tie in either agrees with nothing."""
    first, second = np.triu_indices(len(small), 1)
    same = np.sign(small[first] - small[second]) * np.sign(large[first] - large[second]) > 0
    return int(same.sum()), len(first)
