"""The properties that a claim's rank correlations are about: their values arm by arm, and how they go together."""

from __future__ import annotations

import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.claims.estimand import Unestimable
from tinylm.report.estimates.spearman import Spearman
from tinylm.report.estimates.spearman_gap import SpearmanGap
from tinylm.report.judgement.wording import signed
from tinylm.report.statistics.rank_correlation import arm_means, rank_correlation

_TOGETHER = 0.5  # |rho| of two properties from which one may stand for the other


def factors(placed: pd.DataFrame, claim: Claim) -> pd.DataFrame | None:
    """A row an arm that has a number: its properties, then its mean of the metric; None where there is nothing to tell.

    A property is called as the estimate of its correlation is, else by its column.

    Args:
        placed: of `tinylm.report.records.arms.by_arm`.
    """
    names: dict[str, str] = {}
    for name, estimand in claim.estimates.items():
        if isinstance(estimand, Spearman):
            names[estimand.x] = name.replace("_", " ")
    for estimand in claim.estimates.values():
        for column in (estimand.x, estimand.y) if isinstance(estimand, SpearmanGap) else ():
            names.setdefault(column, column)
    if not names or claim.metric not in placed:
        return None
    done = placed[(placed["stage"] == "compare") & (placed["status"] == "done") & placed[claim.metric].notna()]
    try:
        values = arm_means(done, list(names), claim)
    except Unestimable:
        return None  # the estimates say why
    values[:, -1] *= -1 if claim.direction == "lower" else 1
    return pd.DataFrame(values, index=done["arm"].unique(), columns=[*names.values(), claim.metric])


def matrix(arms: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Rank correlations of the properties and of quality (better is positive), each with each."""
    sign = -1 if claim.direction == "lower" else 1
    table = arms.rename(columns={claim.metric: "quality"}).assign(quality=sign * arms[claim.metric])
    values = table.to_numpy(float).T
    found = [[float(rank_correlation(a, b)) for b in values] for a in values]
    return pd.DataFrame(found, index=table.columns, columns=table.columns)


def confounded(correlations: pd.DataFrame) -> list[str]:
    """A sentence for each two properties that go together over the arms, without its full stop."""
    names = [str(name) for name in correlations.columns[:-1]]
    values = correlations.to_numpy(float)
    found = []
    for first, name in enumerate(names):
        for second in range(first + 1, len(names)):
            rho = float(values[first, second])
            if abs(rho) >= _TOGETHER:
                found.append(
                    f"{name} and {names[second]} are confounded: over these arms they go together "
                    f"(ρ = {signed(rho, 2)}), so what is said of one may be the other's doing"
                )
    return found


def correlation_table(found: pd.DataFrame | None) -> pd.DataFrame:
    """Rank correlations, a row and a column a property; empty without any."""
    if found is None:
        return pd.DataFrame()
    rows = [{"": name} | {str(k): signed(v, 2) for k, v in row.items()} for name, row in found.iterrows()]
    return pd.DataFrame(rows)


def arm_table(arms: pd.DataFrame | None, claim: Claim) -> pd.DataFrame:
    """The properties and the metric of each arm, best first; empty without any."""
    if arms is None:
        return pd.DataFrame()
    ordered = arms.sort_values(claim.metric, ascending=claim.direction == "lower")
    return pd.DataFrame(
        [
            {"arm": claim.label(str(arm))}
            | {str(k): f"{v:.4f}" if k == claim.metric else f"{v:.4g}" for k, v in row.items()}
            for arm, row in ordered.iterrows()
        ]
    )
