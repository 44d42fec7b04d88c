"""Which metric decides here: signal and noise of every number that the sweep's own runs recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.wording import unit
from tinylm.report.records.arms import one_vocabulary
from tinylm.report.records.collect import flatten

# Columns of `collect` and `by_arm` that are no metrics.
_ROLE = {"key", "arm", "label", "stage", "params", "status", "seed", "root", "sweeps", "warnings", "error", "reviews"}
_PREFIXES = ("accounting.", "cost.", "provenance.")
_LAST = 5  # points at the end of a curve whose scatter is its noise
_FEWEST = 2  # runs an arm from which a spread is taken
_ERRORS = re.compile(r"_(error|stderr)(/|$)")  # standard errors, as evaluators name them: of a score, and none itself
_OF_TOKENS = re.compile(r"^(test|tune)_loss(/|$)")
_COUNTS = re.compile(r"^(tune_)?(documents|bytes)$")  # of the text that was scored
NOTE = (  # what stands below the table
    "It asks another question than the verdicts: whether all arms at once are alike, each metric for itself and "
    "unadjusted. So a metric may separate the arms where every comparison is inconclusive."
)


def signal_table(placed: pd.DataFrame, curves: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """A row a metric, the one that separates the arms best first; empty where fewer than two arms have two runs.

    Losses of a token are left out where arms have vocabularies of their own: a shorter token has a smaller loss; scores
    on the way where runs scored unlike parts of the tune split, as `learning_curves` does.
    A claim at several sizes has a row a size too: arms of one size alone tell whether a metric tells arms apart. Arms
    that are the same runs count once.

    Signal: the largest gap between two arms' means. Noise: the standard deviation of runs that differ in their seed
    alone, pooled over the arms; and, where the metric has a curve, that of a run's last five points (both kinds after
    Heineman et al. 2025, arXiv:2508.13144, whose signal-to-noise ratio is a gap over the latter). A metric separates
    the arms where an analysis of variance has p below alpha, for itself alone: over arms and seeds where all arms have
    the same ones, for what a seed does to all arms alike is no noise between them, with Greenhouse and Geisser's
    degrees of freedom; else Welch's over arms (Welch 1951).
    The table tells what to measure next time; the claim's own metric decides this time.

    Args:
        placed: of `tinylm.report.records.arms.by_arm`.
        curves: of `tinylm.report.records.history.history`.
    """
    runs = placed[(placed["stage"] == "compare") & (placed["status"] == "done")]
    scored = metrics(runs)
    own_curves = curves[curves["key"].isin(runs["key"]) & curves["name"].astype(str).str.startswith("tune_")]
    for name in sorted(set(own_curves["name"]) - set(map(str, runs))):
        ends = own_curves[own_curves["name"] == name].sort_values("step").groupby("key")["value"].last()
        runs = runs.assign(**{name: runs["key"].map(ends)})
        scored.append(name)
    scored = [name for name in scored if name == claim.metric or not (_ERRORS.search(name) or _COUNTS.search(name))]
    if not one_vocabulary(runs):
        scored = [name for name in scored if name == claim.metric or not _OF_TOKENS.search(name)]
    runs = runs[runs["arm"].isin(distinct(runs))]
    size_of = {name: arm.size for name, arm in claim.arms.items()}
    sizes: list[str | None] = list(claim.sizes) if claim.sizes else [None]
    rows = []
    for size in sizes:
        own = runs if size is None else runs[runs["arm"].map(size_of) == size]
        unlike = "tune_bytes" in own and own["tune_bytes"].nunique() > 1
        told = [name for name in scored if name == claim.metric or not (unlike and name.startswith("tune_"))]
        found = [row for metric in told if (row := _row(own, metric, own_curves))]
        rows += [(*row, size) for row in sorted(found, reverse=True, key=lambda row: row[:2])]
    table = [
        ({} if size is None else {"size": size})
        | {
            "metric": unit(metric) + ("" if metric != claim.metric else " (decides)"),
            "largest gap of arms": f"{signal:.3g}",
            "sd over seeds": f"{noise:.2g}",
            "signal / noise": f"{ratio:.1f}",
            "sd of a curve's last points": "–" if late is None else f"{late:.2g}",
            "p": "< 0.0001" if p < 1e-4 else f"{p:.2g}",
            "separates the arms": "yes" if p < claim.alpha else "no",
        }
        for ratio, metric, signal, noise, late, p, size in rows
    ]
    return pd.DataFrame(table)


def distinct(runs: pd.DataFrame, column: str = "arm") -> list[str]:
    """The arms, of several that are the same runs the first."""
    found: dict[frozenset[str], str] = {}
    for arm, own in runs.groupby(column, sort=False):
        found.setdefault(frozenset(own["key"]), str(arm))
    return list(found.values())


def _row(
    runs: pd.DataFrame, metric: str, curves: pd.DataFrame
) -> tuple[float, str, float, float, float | None, float] | None:
    """Signal over noise, the metric, signal, noise, that of a curve's end, p; None where nothing can be told."""
    arms = [own[metric].dropna().to_numpy(float) for _, own in runs.groupby("arm", sort=False)]
    arms = [own for own in arms if len(own) >= _FEWEST]
    if len(arms) < 2:
        return None
    means = np.array([own.mean() for own in arms])
    noise = pooled(arms)
    signal = float(means.max() - means.min())
    if noise <= 1e-12 * max(1e-300, float(np.abs(means).max())):
        return None  # not a number of the seeds: a count of documents, a size
    p = no_difference(runs, metric, arms)
    late = end_noise(curves[(curves["name"] == metric) & curves["key"].isin(runs["key"])])
    return signal / noise, metric, signal, noise, late, p


def no_difference(runs: pd.DataFrame, metric: str, arms: list[np.ndarray]) -> float:
    """p of all arms being alike."""
    table = runs.pivot_table(index="seed", columns="arm", values=metric)
    if len(table) >= _FEWEST and table.notna().all(axis=None):
        values_NA = table.to_numpy(float)
        rest_NA = values_NA - values_NA.mean(1, keepdims=True)  # what each seed does to all arms is gone
        if np.ptp(rest_NA, axis=0).max() <= 1e-12 * np.abs(values_NA).max():
            return 0.0 if np.ptp(values_NA.mean(0)) > 0 else 1.0
        long = table.reset_index().melt(id_vars="seed", value_name="value")
        found = AnovaRM(long, "value", "seed", within=["arm"]).fit().anova_table.iloc[0]
        share = _sphericity(values_NA)
        return float(stats.f.sf(found["F Value"], share * found["Num DF"], share * found["Den DF"]))
    varied = all(own.std() > 0 for own in arms)
    return float(stats.f_oneway(*arms, equal_var=not varied).pvalue)


def _sphericity(values_NA: np.ndarray) -> float:
    """The share of the degrees of freedom that is left where arms scatter unlike, 1 / (A - 1) to 1.

    Greenhouse and Geisser 1959. Without it one arm of ten times the others' noise makes 15 to 25% false findings.
    """
    arms = values_NA.shape[1]
    centre_AA = np.eye(arms) - 1 / arms
    spread_AA = centre_AA @ np.cov(values_NA.T) @ centre_AA
    return float(np.trace(spread_AA) ** 2 / ((arms - 1) * (spread_AA**2).sum()))


def metrics(runs: pd.DataFrame) -> list[str]:
    """The columns that hold numbers which runs were scored with: neither config, nor size, nor cost."""
    if runs.empty:
        return []
    config = {key for tree in runs["config"] for key in flatten(tree)} if "config" in runs else set()
    names = [str(name) for name in runs if name not in _ROLE | config and not str(name).startswith(_PREFIXES)]
    return [
        name
        for name in names
        if pd.api.types.is_numeric_dtype(runs[name]) and not pd.api.types.is_bool_dtype(runs[name])
    ]


def pooled(arms: Iterable[np.ndarray]) -> float:
    """Standard deviation within arms, each about its own mean."""
    groups = list(arms)
    squares = sum(float(((own - own.mean()) ** 2).sum()) for own in groups)
    return float(np.sqrt(squares / sum(len(own) - 1 for own in groups)))


def end_noise(curve: pd.DataFrame) -> float | None:
    """Standard deviation of a run's last five points of one metric, its mean over runs; None where runs have fewer."""
    found = [
        float(own.sort_values("step")["value"].tail(_LAST).std(ddof=1))
        for _, own in curve.groupby("key")
        if len(own) >= _LAST
    ]
    return float(np.mean(found)) if found else None
