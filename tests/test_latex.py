"""Tables for papers: rows and cells as they were, whatever a cell holds."""

from __future__ import annotations

import re
import string

import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinylm.report.tables.latex import document, latex

CELLS = st.text(string.ascii_letters + string.digits + " [*&%$#_{}~^\\−±×–", max_size=6)


@settings(deadline=None, max_examples=40)
@example([["[b]", "", ""], ["*", "[", "]"]])
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=4))
def test_no_cell_breaks_its_table(rows: list[list[str]]) -> None:
    frame = pd.DataFrame(rows, columns=["a_1", "b & c", ""])
    told = latex(frame, "50% & more", "tab:x")
    body = told.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert len(body) == len(rows)
    for line in body:
        assert line.endswith(" \\\\")
        plain = line.removesuffix(" \\\\").replace("\\textbackslash", "")
        assert len(re.findall(r"(?<!\\)&", plain)) == 2, "as many cells as columns"
        assert not re.findall(r"(?<!\\)[%#_]", plain)
        assert plain.isascii()
        assert not line.startswith(("[", "*")), "the command before it would take it for its own"
    assert "\\caption{50\\% \\& more}" in told
    for rule in ("\\toprule", "\\midrule", "\\bottomrule", "\\label{tab:x}"):
        assert told.count(rule) == 1


def test_numbers_stand_right_and_empty_tables_are_left_out() -> None:
    frame = pd.DataFrame({"arm": ["d4", "d8"], "difference": ["−0.021 ± 0.006", "–"], "p": ["< 0.0001", "0.3"]})
    told = document("mine", {"verdict": frame, "ladder": pd.DataFrame()})
    assert told.count("\\begin{table}") == 1
    assert "\\begin{tabular}{lrr}" in told
    assert "\\label{tab:mine-verdict}" in told
    assert "$-$0.021 $\\pm$ 0.006" in told


def test_the_ladders_caption_says_what_is_reported_in_what() -> None:
    frame = pd.DataFrame({"rung": ["b"], "gain": ["+0.1"], "reported gain": ["+1.7"]})
    assert "Reported gains: points at 1\\% of it." in document("mine", {"ladder": frame}, "points at 1% of it")
    assert "Reported" not in document("mine", {"ladder": frame})
