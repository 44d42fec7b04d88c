"""The ledger of a claim: what all of its runs took, tuning, parents and failures too."""

from __future__ import annotations

import pandas as pd

from tinylm.record import PARTS_OF_WALL
from tinylm.report.judgement.wording import amount

_STAGES = {"compare": "comparing", "tune": "tuning", "parent": "parents"}
_SUMS = {"tokens": ("cost.tokens",), "bytes": ("cost.bytes",), "FLOPs": ("cost.flops", "cost.initialise_flops")}
JOULES = 3.6e6  # a kilowatt hour


def ledger(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a stage that has runs, and at the end ``all``; every run counts once, where it is needed first.

    Columns: ``stage``; ``planned``, ``done``, ``diverged``, ``failed`` (runs); ``hours`` (from start to end, and never
    less than the parts that are told), ``training hours``, ``tokens``, ``bytes``, ``FLOPs`` (training and
    initialising); ``energy`` (kilowatt hours, of the ``metered`` runs alone: NaN where none was measured; ``shared``:
    some of them ran side by side, and it is an upper bound).

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    order = runs["stage"].map({stage: place for place, stage in enumerate(_STAGES)})
    once = runs.iloc[order.argsort(kind="stable")].drop_duplicates("key")
    rows = [_row(title, once[once["stage"] == stage]) for stage, title in _STAGES.items()]
    return pd.DataFrame([row for row in [*rows, _row("all", once)] if row["planned"]])


def hours(runs: pd.DataFrame) -> dict[str, float]:
    """Key -> hours from start to end of every run that ended, for sums over claims that share runs.

    Args: as of `ledger`.
    """
    ended = runs[runs["status"] != "not run"].drop_duplicates("key")
    return dict(zip(ended["key"].astype(str), _wall(ended) / 3600, strict=True))


def ledger_table(entries: pd.DataFrame) -> pd.DataFrame:
    """The ledger in words."""
    return pd.DataFrame(
        [
            {
                "stage": row["stage"],
                "runs": f"{row['planned']}",
                "done": f"{row['done']}",
                "diverged": f"{row['diverged']}",
                "failed": f"{row['failed']}",
                "hours": f"{row['hours']:.2f}",
                "of them training": f"{row['training hours']:.2f}",
                **{name: amount(row[name]) for name in _SUMS},
                "energy (kWh)": energy(row["energy"], row["metered"], row["done"], row["shared"]),
            }
            for row in entries.to_dict("records")
        ]
    )


def energy(hours: float, metered: int, done: int, shared: bool) -> str:
    """Kilowatt hours with the share of runs that were measured; a dash where none was: nothing is estimated.

    Args:
        shared: runs were measured side by side; each counted all that the machine took, so their sum is too much.
    """
    if not metered:
        return "–"
    return "≤ " * shared + f"{hours:.3g}" + (f" ({metered} of {done} runs)" if metered < done else "")


def _row(title: str, runs: pd.DataFrame) -> dict[str, object]:
    training = _numbers(runs, "cost.seconds")
    joules = _numbers(runs, "cost.energy_joules")
    return {
        "stage": title,
        "planned": len(runs),
        **{status: int((runs["status"] == status).sum()) for status in ("done", "diverged", "failed")},
        "hours": float(_wall(runs).sum()) / 3600,
        "training hours": float(training.sum()) / 3600,
        **{name: float(sum(_numbers(runs, column).sum() for column in parts)) for name, parts in _SUMS.items()},
        "energy": float(joules.sum()) / JOULES if joules.notna().any() else float("nan"),
        "metered": int(joules.notna().sum()),
        "shared": _overlap(runs[joules.notna()]),
    }


def _overlap(runs: pd.DataFrame) -> bool:
    """Whether any of the runs began before one that had begun earlier had ended."""
    if "provenance.started" not in runs:
        return False
    began = pd.to_datetime(runs["provenance.started"], utc=True, errors="coerce").dropna().sort_values()
    ended = began + pd.to_timedelta(_wall(runs)[began.index], unit="s")
    return bool((began.iloc[1:].to_numpy() < ended.cummax().iloc[:-1].to_numpy()).any())


def _wall(runs: pd.DataFrame) -> pd.Series:
    """Seconds from start to end of each run, and never less than the parts that are told."""
    parts = pd.concat([_numbers(runs, f"cost.{name}") for name in PARTS_OF_WALL], axis=1).sum(axis=1)
    return _numbers(runs, "cost.wall_seconds").fillna(0.0).clip(lower=parts)


def _numbers(runs: pd.DataFrame, column: str) -> pd.Series:
    missing = pd.Series(float("nan"), runs.index)
    return pd.to_numeric(runs[column], errors="coerce") if column in runs else missing
