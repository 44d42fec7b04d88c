"""Every compared run of an arm: its score at each seed."""

from __future__ import annotations

import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.records.arms import once


def seed_table(runs: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Every compared run once: a row an arm, a column a seed, the metric or what became of the run; then the mean."""
    compared = once(runs)
    seeds = sorted(compared["seed"].unique())
    rows = []
    for arm, own in compared.groupby("arm", sort=False):
        scores = own[claim.metric] if claim.metric in own else pd.Series(dtype=float)
        cells = {
            int(run["seed"]): f"{run[claim.metric]:.4f}"
            if run["status"] == "done" and pd.notna(run.get(claim.metric))
            else str(run["status"])
            for run in own.to_dict("records")
        }
        tuned = own["params"].iloc[0] or {}
        row = {"arm": claim.label(str(arm))} | {f"seed {seed}": cells.get(int(seed), "–") for seed in seeds}
        row |= {"mean": "–" if scores.isna().all() else f"{scores.mean():.4f}"}
        row |= {"sd": "–" if scores.notna().sum() < 2 else f"{scores.std():.4f}"}
        rows.append(row | {key: f"{value}" for key, value in tuned.items()})
    return pd.DataFrame(rows).fillna("–")
