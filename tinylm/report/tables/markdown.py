"""Frames and sentences as Markdown."""

from __future__ import annotations

import re

import pandas as pd


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table."""
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [list(map(str, row)) for row in frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def list_item(text: str) -> str:
    """A line as an item of a Markdown list; a label such as ``+ norm`` before it is no list within the list."""
    return "- " + re.sub(r"^([-+*#>]) ", r"\\\1 ", text)
