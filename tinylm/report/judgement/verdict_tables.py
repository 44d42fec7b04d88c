"""Tables: verdicts and runs in, frames of text out; frames to text, for the terminal and for Markdown."""

from __future__ import annotations

import shutil
import textwrap

import pandas as pd

from tinylm.report.judgement.verdicts import Comparison, Estimate, Verdicts
from tinylm.report.judgement.wording import (
    decimals,
    difference,
    equal_in_words,
    interval,
    marks,
    region,
    signed,
    trend_sentence,
    unit,
    value,
)


def terminal_table(verdicts: Verdicts) -> str:
    """The verdicts for the end of a sweep in a terminal, as wide as the terminal is."""
    width = shutil.get_terminal_size((100, 24)).columns
    lines = [f"{verdicts.sweep}: {unit(verdicts.metric)}, {verdicts.direction} is better", ""]
    blocks = [verdict_table(verdicts), estimate_table(verdicts)]
    lines.append("\n\n".join(text(block) for block in blocks if not block.empty))
    lines += ["", *(f"{trend_sentence(item, verdicts)}." for item in verdicts.trends)] * bool(verdicts.trends)
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


def text(frame: pd.DataFrame) -> str:
    """A frame as aligned plain text."""
    cells = [[str(column) for column in frame.columns], *(list(map(str, row)) for row in frame.itertuples(index=False))]
    widths = [max(len(row[index]) for row in cells) for index in range(len(frame.columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


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
