"""Tables: verdicts and runs in, frames of text out; frames to text, for the terminal and for Markdown."""

from __future__ import annotations

import shutil
import textwrap

import pandas as pd

from tinylm.report.arms import once
from tinylm.report.claim import Claim
from tinylm.report.verdicts import Comparison, Estimate, Verdicts
from tinylm.report.wording import (
    amount,
    decimals,
    difference,
    equal_in_words,
    interval,
    marks,
    region,
    signed,
    unit,
    value,
)

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
SPENT_NOTE = f"{WALL_TIME}; tokens/s: all tokens of an arm over all its seconds."  # below the table
_TUNING = "tuning_flops"  # of all runs that chose an arm's tuned values
# FLOPs beside the training's own; those of scoring are part of it, and its seconds are none.
_SCORING = {"cost.scoring_flops": "of them scoring", "cost.scoring_seconds": "seconds scoring"}
_ELSEWHERE = {
    **_SCORING,
    _TUNING: "tuning FLOPs",
    "cost.parent_flops": "parent's FLOPs",
    "cost.initialise_flops": "initialising FLOPs",
}


def terminal_table(verdicts: Verdicts) -> str:
    """The verdicts for the end of a sweep in a terminal, as wide as the terminal is."""
    width = shutil.get_terminal_size((100, 24)).columns
    lines = [f"{verdicts.sweep}: {unit(verdicts.metric)}, {verdicts.direction} is better", ""]
    blocks = [verdict_table(verdicts), estimate_table(verdicts)]
    lines.append("\n\n".join(text(block) for block in blocks if not block.empty))
    notes = [f"{_pair(item)}: {item.reason}" for item in verdicts.comparisons if _wants_reason(item)]
    notes += [
        f"{row['comparison']}: {row['diverged']} diverged" for row in divergence_table(verdicts).to_dict("records")
    ]
    notes += [f"{item.name}: {item.reason}" for item in verdicts.estimates if item.ci_low is None]
    notes += [f"warning: {warning}" for warning in verdicts.warnings]
    if notes:
        lines.append("")
    for note in notes:
        lines += textwrap.wrap(note, max(40, width), subsequent_indent="  ")
    return "\n".join(lines)


def verdict_table(verdicts: Verdicts) -> pd.DataFrame:
    """A row a comparison."""
    return pd.DataFrame(
        [
            {
                "comparison": _pair(item),
                "difference": difference(item),
                "verdict": item.verdict + _marks(item, verdicts),
                "outcome": item.outcome or "–",
                "expected": item.expected or "–",
                "level": "–" if item.interval_level is None else f"{item.interval_level:.1%}",
                "p": "–" if item.p_adjusted is None else _p(item.p_adjusted),
                "n": f"{item.n}" if item.n == item.declared else f"{item.n} of {item.declared}",
                "equal": equal_in_words(item.equal),
            }
            for item in verdicts.comparisons
        ]
    )


def _marks(item: Comparison | Estimate, verdicts: Verdicts) -> str:
    found = marks(item, verdicts)
    return f" ({', '.join(found)})" if found else ""


def estimate_table(verdicts: Verdicts) -> pd.DataFrame:
    """A row an estimate."""
    return pd.DataFrame(
        [
            {
                "quantity": item.name.replace("_", " "),
                "value": value(item),
                "interval": interval(item),
                "level": "–" if item.interval_level is None else f"{item.interval_level:.1%}",
                "expected": region(item),
                "verdict": (item.verdict or "–") + _marks(item, verdicts),
                "n": f"{item.n} {item.unit}".strip(),
            }
            for item in verdicts.estimates
        ]
    )


def source_table(verdicts: Verdicts) -> pd.DataFrame:
    """A row an estimate: what the source says of it, beside what was found and how."""
    return pd.DataFrame(
        [
            {
                "quantity": item.name.replace("_", " "),
                "found": value(item),
                "claim": item.claim or "–",
                "source": item.source or "–",
                "reason": item.reason,
            }
            for item in verdicts.estimates
        ]
    )


def correlation_table(matrix: pd.DataFrame | None) -> pd.DataFrame:
    """Rank correlations, a row and a column a property; empty without any."""
    if matrix is None:
        return pd.DataFrame()
    rows = [{"": name} | {str(k): signed(v, 2) for k, v in row.items()} for name, row in matrix.iterrows()]
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


def detail_table(verdicts: Verdicts) -> pd.DataFrame:
    """A row a comparison: what stands behind its verdict."""
    return pd.DataFrame(
        [
            {
                "comparison": _pair(item),
                "method": item.method or "–",
                "over seeds and documents": _span(item.text_low, item.text_high, item),
                "correlation": "–" if item.correlation is None else signed(item.correlation, 2),
                "sd of differences": _g(item.sd),
                "detectable at 80% power": _g(item.minimum_detectable_effect),
                "p of equivalence": "–" if item.p_equivalence is None else _p(item.p_equivalence),
                "sign-flip p": "–" if item.p_sign_flip is None else _p(item.p_sign_flip),
                "bootstrap": _span(item.bootstrap_low, item.bootstrap_high, item),
                "derived keys": ", ".join(item.derived) or "–",
                "reason": item.reason,
            }
            for item in verdicts.comparisons
        ]
    )


def divergence_table(verdicts: Verdicts) -> pd.DataFrame:
    """A row a comparison in which a run diverged: counts and Fisher's exact test."""
    rows = []
    for item in verdicts.comparisons:
        counts = item.divergences
        if counts is None or counts.variant + counts.against == 0:
            continue
        diverged = f"{counts.variant} of {counts.variant_runs} against {counts.against} of {counts.against_runs}"
        rows.append({"comparison": _pair(item), "diverged": diverged, "Fisher p": _p(counts.p_value)})
    return pd.DataFrame(rows, columns=["comparison", "diverged", "Fisher p"])


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


def text(frame: pd.DataFrame) -> str:
    """A frame as aligned plain text."""
    cells = [[str(column) for column in frame.columns], *(list(map(str, row)) for row in frame.itertuples(index=False))]
    widths = [max(len(row[index]) for row in cells) for index in range(len(frame.columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table."""
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [list(map(str, row)) for row in frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _pair(item: Comparison) -> str:
    return f"{item.variant_label} − {item.against_label}"


def _wants_reason(item: Comparison) -> bool:
    return item.verdict in ("refused", "inconclusive", "equivalent")


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}" if value < 0.995 else "1"


def _span(low: float | None, high: float | None, item: Comparison) -> str:
    digits = decimals(item)
    return "–" if low is None or high is None else f"{signed(low, digits)} to {signed(high, digits)}"


def _g(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"
