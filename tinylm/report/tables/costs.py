"""Tables of what arms are and cost."""

from __future__ import annotations

import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.wording import amount, unit
from tinylm.report.records.arms import once

_SPEED = "cost.tokens_per_second"
_SPENT = {
    "accounting.parameters.total": "parameters",
    "accounting.parameters.body": "body",
    "cost.tokens": "tokens",
    "cost.bytes": "bytes",
    "cost.exposures": "exposures of a fact",
    "cost.flops": "FLOPs",
    "cost.seconds": "seconds",
    _SPEED: "tokens/s",
    "cost.peak_memory_bytes": "peak memory (bytes)",
    "cost.energy_joules": "energy (J)",
}
WALL_TIME = "Seconds are wall time of training and include what else the machine did"
SPENT_NOTE = (  # below the table
    f"{WALL_TIME}; tokens/s: all tokens of an arm over all its seconds. FLOPs are of every position that was computed: "
    "rows that are cut by bytes are padded to the longest, and that counts too."
)
_TUNING = "tuning_flops"  # of all runs that chose an arm's tuned values
# FLOPs beside the training's own; those of scoring are part of it, and its seconds are none.
_SCORING = {"cost.scoring_flops": "of them scoring", "cost.scoring_seconds": "seconds scoring"}
_ELSEWHERE = {
    **_SCORING,
    _TUNING: "tuning FLOPs",
    "cost.parent_flops": "parent's FLOPs",
    "cost.initialise_flops": "initialising FLOPs",
}


def spent_table(runs: pd.DataFrame) -> pd.DataFrame:
    """What an arm's compared runs are and cost, on average; tuning is the sum of the arm's tuning runs' seconds.

    Tokens a second are those of all its runs together. Parents have rows of their own, below the arms.
    """
    rows = []
    columns = {column: name for column, name in _SPENT.items() if column in runs and runs[column].notna().any()}
    tuned, elders = runs[runs["stage"] == "tune"], runs[runs["stage"] == "parent"].drop_duplicates("key")
    ordered = pd.concat([tuned, once(runs), elders])
    for _, own in ordered.groupby("arm", sort=False):
        tuning = own[own["stage"] == "tune"]
        counted = own.drop(tuning.index)
        row = {"arm": str(own["label"].iloc[0])}
        row |= _solved(counted)
        row |= {name: amount(_of_arm(counted, column)) for column, name in columns.items()}
        if not tuning.empty and "cost.seconds" in tuning:
            row["tuning, seconds in all"] = amount(float(tuning["cost.seconds"].sum()))
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _solved(runs: pd.DataFrame) -> dict[str, str]:
    """The shape that an arm's runs have; empty where they do not tell."""
    columns = [f"accounting.shape.{name}" for name in ("depth", "width", "hidden")]
    if runs.empty or not set(columns) <= set(runs) or runs[columns].isna().any(axis=None):
        return {}
    shapes = dict.fromkeys(" × ".join(f"{size:.0f}" for size in row) for row in runs[columns].to_numpy(float))
    return {"layers × width × hidden": " | ".join(shapes)}


def _of_arm(runs: pd.DataFrame, column: str) -> float:
    """A mean over runs; of the speed it would be a mean of ratios, in which a second of a slow run counts for less."""
    if column != _SPEED:
        return float(pd.to_numeric(runs[column]).mean())
    tokens, seconds = runs.reindex(columns=["cost.tokens", "cost.seconds"]).apply(pd.to_numeric).dropna().sum()
    return float(tokens / seconds) if seconds else float("nan")


def charged_table(runs: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """The arms with what was computed for them elsewhere charged too: tuning, a parent's training, initialising.

    Scoring the text of later rounds is within the FLOPs of a run already. Means over seeds, each run charged with the
    whole of its parent and of its arm's tuning, whatever became of the tuning runs: one good model of the arm takes
    them all. Empty where nothing was computed elsewhere.
    """
    compared = once(runs)
    compared = compared[compared["status"] == "done"]
    if "cost.flops" in runs:
        tuning = runs[runs["stage"] == "tune"].groupby("arm")["cost.flops"].sum()
        compared = compared.assign(**{_TUNING: compared["arm"].map(tuning).fillna(0.0).astype(float)})
    elsewhere = {
        column: name
        for column, name in _ELSEWHERE.items()
        if column in compared and pd.to_numeric(compared[column]).fillna(0).any()
    }
    if not elsewhere or "cost.flops" not in compared:
        return pd.DataFrame()
    names = {"cost.flops": "training FLOPs", **elsewhere}
    spent = compared[list(names)].astype(float).fillna(0.0).assign(arm=compared["arm"])
    spent["charged"] = spent[[column for column in names if column not in _SCORING]].sum(axis=1)
    means = spent.groupby("arm", sort=False).mean()
    charged = {str(arm): float(value) for arm, value in means["charged"].items()}
    beside = claim.baseline if claim.baseline in charged else min(charged, key=charged.__getitem__)
    title = "beside the baseline" if beside == claim.baseline else "beside the cheapest"
    rows = []
    for arm, row in means.iterrows():
        scores = (
            compared.loc[compared["arm"] == arm, claim.metric] if claim.metric in compared else pd.Series(dtype=float)
        )
        rows.append(
            {"arm": claim.label(str(arm)), unit(claim.metric): "–" if scores.isna().all() else f"{scores.mean():.4f}"}
            | {name: amount(float(row[column])) for column, name in names.items()}
            | {
                "FLOPs charged": amount(float(row["charged"])),
                title: f"{row['charged'] / charged[beside]:.2f} ×",
            }
        )
    return pd.DataFrame(rows)
