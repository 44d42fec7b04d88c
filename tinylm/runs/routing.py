"""What a run's layers said of themselves at its end: how their experts were used, and whether a router collapsed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

LAST = 0.1  # of the lines of history: one step alone may have met no text of a domain
SIDE = re.compile(r"stat/blocks\.(\d+)\.ffn\.(\w+)")


def layers(history: Path) -> tuple[dict[str, float], list[str]]:
    """Numbers of the record, and warnings, of the feed-forwards that tell any.

    ``<name>_<layer>`` is the mean over the last tenth of the history's lines. Of a routed layer ``load_entropy``
    (1: all experts alike, 0: one has all), ``largest_share`` and ``dead`` (share of the experts without a token) are of
    the experts' mean load over these lines, not the means of single steps'.

    Args:
        history: ``history.jsonl`` of a run that ended.
    """
    lines = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    told = [line for line in lines if any(name.startswith("stat/") for name in line)]
    kept = told[-math.ceil(len(told) * LAST) :] if told else []
    found: dict[str, float] = {}
    warnings = []
    for key in sorted({key for line in kept for key in line if SIDE.fullmatch(key)}):
        match = SIDE.fullmatch(key)
        assert match is not None
        layer, name = int(match[1]), match[2]
        mean = np.mean([line[key] for line in kept if key in line], axis=0)
        if name != "load":
            found = {f"{name}_{layer:02d}": float(mean), **found}  # what the load says goes before
            continue
        use = _use(mean)
        found |= {f"{part}_{layer:02d}": value for part, value in use.items()}
        if len(mean) > 1 and (use["dead"] > 0.5 or use["load_entropy"] < 0.5):
            warnings.append(f"the router of layer {layer} collapsed: most text goes to few of its {len(mean)} experts")
    return dict(sorted(found.items())), warnings


def _use(share_E: np.ndarray) -> Mapping[str, float]:
    used = share_E[share_E > 0]
    entropy = float(-(used * np.log(used)).sum())
    return {
        "load_entropy": entropy / math.log(len(share_E)) if len(share_E) > 1 else 1.0,
        "largest_share": float(share_E.max()),
        "dead": float((share_E == 0).mean()),
    }
