"""Tables for papers: booktabs, one ``table`` each, in one file that a paper takes by ``\\input`` or by parts."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

_HEAD = "% Tables of the sweep {name}, written by tinylm. In the preamble: \\usepackage{{booktabs}}\n"
TABLES = {  # a report's, with their captions
    "verdict": "Verdicts: difference with half of its interval at the level given; p adjusted over the family.",
    "ladder": "The ladder: gain over the rung below.",
    "trend": "Over the sizes: gain, its change for each doubling of parameters, and the opponent's FLOPs over the "
    "variant's at the same loss (a star: the report says what limits it).",
    "decision": "Pairs of arms that stand in the same order at a size and at a larger one.",
    "scaling": "Loss against training FLOPs: exponents of a power law, with their intervals over seeds.",
    "estimate": "Estimates.",
    "seed": "The metric of each run.",
    "spent": "What the arms are and cost: means over seeds; seconds are wall time, whatever else the machine did.",
    "charged": "The same with tuning, parents and initialising charged.",
    "ledger": "What the claim took in all.",
}
_OPTION = re.compile(r"^([\[*])", re.MULTILINE)  # at the head of a row the command before it would take it
# What a paper's fonts may lack.
_SIGNS = {
    "\N{MINUS SIGN}": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "<": "$<$",
    ">": "$>$",
    "π": r"$\pi$",
    "ρ": r"$\rho$",
}
_NUMBER = re.compile(r"[+\-\N{MINUS SIGN}<]?\s?[\d–].*")


def document(name: str, frames: Mapping[str, pd.DataFrame], reported_unit: str | None = None) -> str:
    """All tables of a report; those without rows are left out.

    Args:
        frames: by their names in ``TABLES``; the label is ``tab:<sweep>-<name>``.
        reported_unit: of what the source reports, which the ladder's caption says.
    """
    captions = dict(TABLES)
    if reported_unit is not None:
        captions["ladder"] += f" Reported gains: {reported_unit}."
    parts = [latex(frame, captions[key], f"tab:{name}-{key}") for key, frame in frames.items() if not frame.empty]
    return _HEAD.format(name=name) + "\n" + "\n".join(parts)


def latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    """One frame of text as a table with rules above, below and under its head; columns of numbers stand right."""
    sides = "".join("r" if _numeric(frame[column]) else "l" for column in frame)
    styler = frame.style.format(escape="latex").format_index(escape="latex", axis="columns").hide(axis="index")
    table = styler.to_latex(hrules=True, column_format=sides)
    table = _OPTION.sub(r"{}\1", table)
    words = pd.DataFrame({"caption": [caption]}).style.format(escape="latex").hide(axis="index")
    told = words.to_latex(hrules=True).split("\\midrule\n")[1].split(" \\\\\n")[0]
    text = f"\\begin{{table}}\n\\centering\n\\caption{{{told}}}\n\\label{{{label}}}\n{table}\\end{{table}}\n"
    for sign, written in _SIGNS.items():
        text = text.replace(sign, written)
    return text


def _numeric(column: pd.Series) -> bool:
    return all(_NUMBER.fullmatch(str(cell)) for cell in column)
