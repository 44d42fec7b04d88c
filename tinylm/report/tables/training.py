"""What the compared runs were trained on and how: what they share, and where they differ all that they take."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from tinylm.report.records.collect import flatten

_PARTS = (  # of a config, in the order in which a reader asks
    "data",
    "tokenizer",
    "batch",
    "budget",
    "shape",
    "model",
    "init",
    "freeze",
    "objective",
    "optim",
    "schedule",
    "update",
    "rounds",
    "precision",
    "evaluate",
)
_SHOWN = 4  # values of one setting
_CLASS = "_target_"
_LEFT_OUT = ("_partial_",)  # says nothing to a reader
_NOTHING = "–"


def training_table(placed: pd.DataFrame) -> pd.DataFrame:
    """A row a part of the compared runs' configs: its settings; where arms differ, every value, such as ``4 | 8``.

    Args:
        placed: of `tinylm.report.records.arms.by_arm`.
    """
    ran = placed[placed["status"] != "not run"] if "config" in placed else placed.head(0)
    compared = ran[ran["stage"] == "compare"]
    chosen = (ran if compared.empty else compared).drop_duplicates("key")
    configs = [flatten(config) for config in chosen.get("config", pd.Series(dtype=object)).dropna()]
    rows = []
    for part in _PARTS:
        names = dict.fromkeys(name for config in configs for name in config if name == part or _inside(name, part))
        told = [text for name in names if (text := _setting(name.removeprefix(part).lstrip("."), name, configs))]
        if part == "data" and (hashes := _hashes(chosen)):
            told.append(f"hash {hashes}")
        if told:
            rows.append({"part": part, "settings": ", ".join(told)})
    return pd.DataFrame(rows, columns=["part", "settings"])


def _inside(name: str, part: str) -> bool:
    return name.startswith(f"{part}.") and name.rpartition(".")[2] not in _LEFT_OUT


def _setting(short: str, name: str, configs: Sequence[Mapping[str, Any]]) -> str:
    """One setting with its values over the runs; empty where no run sets it."""
    values = dict.fromkeys(_told(name, config.get(name)) for config in configs)
    if set(values) <= {_NOTHING}:
        return ""
    shown = " | ".join(list(values)[:_SHOWN]) + (f" | ... ({len(values)} values)" if len(values) > _SHOWN else "")
    label = short.removesuffix(_CLASS).rstrip(".")
    return f"{label} {shown}".strip()


def _told(name: str, value: Any) -> str:
    if value is None or value in ({}, [], ""):
        return _NOTHING
    if name.endswith(_CLASS):
        return str(value).rpartition(".")[2]
    if isinstance(value, list):
        return " ".join(_told(name, item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.0f}" if value == int(value) and 1e4 <= abs(value) < 1e12 else f"{value:g}"
    text = str(value)
    return PurePath(text).name if "/" in text and " " not in text else text


def _hashes(runs: pd.DataFrame) -> str:
    """The first digits of the content hash of the runs' text; of several texts each."""
    columns = [name for name in runs if str(name).startswith("provenance.corpus")]
    found: dict[Hashable, None] = dict.fromkeys(str(value)[:8] for name in columns for value in runs[name].dropna())
    return " ".join(map(str, found))
