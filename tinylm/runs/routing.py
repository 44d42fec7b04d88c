"""What a run's layers said of themselves at its end: how their experts were used, and whether a router collapsed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tinylm.model.slots import FFN
from tinylm.train.meter import LAST

SIDE = re.compile(r"stat/blocks\.(\d+)\.ffn\.(\w+)")


def layers(history: Path, ffns: Sequence[FFN]) -> tuple[dict[str, float], list[str]]:
    """Numbers of the record, and warnings, of the feed-forwards that tell any.

    ``<name>_<layer>`` is the mean over the last tenth of the history's lines. Of a routed layer ``load_entropy``
    (1: all experts alike, 0: one has all), ``largest_share`` and ``dead`` (share of the experts without a token) are of
    the experts' mean load over these lines, not the means of single steps'. So are ``slots_read`` and ``slots_kl`` of a
    memory: a single step reads as many slots as its tokens do, however many are in use.

    A warning is told by what k experts a token leave open: where all text goes to the same k of E, the load's entropy
    is ln k and E - k experts are dead; it comes where the entropy is nearer to that than to ln E, or more than half of
    these E - k are dead. Sets of experts with text of their own are asked one by one, those without text not at all.

    Args:
        history: ``history.jsonl`` of a run that ended.
        ffns: the model's feed-forwards, by layer.
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
        if name == "slots":
            found |= {f"{part}_{layer:02d}": value for part, value in _memory(mean).items()}
            continue
        if name != "load":
            found = {f"{name}_{layer:02d}": float(mean), **found}  # what loads and slots say goes before
            continue
        use = _use(mean)
        found |= {f"{part}_{layer:02d}": value for part, value in use.items()}
        ffn = ffns[layer]
        sets = np.split(mean, np.cumsum(ffn.groups)[:-1]) if ffn.groups else [mean]
        warnings += [
            f"layer {layer} collapsed: its {ffn.sender} sends most text to few of its {len(share)} experts"
            for share in sets
            if share.any() and _collapsed(share / share.sum(), ffn.k)
        ]
    return dict(sorted(found.items())), warnings


def _collapsed(share_E: np.ndarray, k: int) -> bool:
    """Whether the load is nearer to the most uneven one that ``k`` of E experts a token can have."""
    count = len(share_E)
    if k >= count:
        return False  # a token has all of them
    use = _use(share_E)
    open_to = (use["load_entropy"] * math.log(count) - math.log(k)) / (math.log(count) - math.log(k))
    return open_to < 0.5 or use["dead"] * count > (count - k) / 2


def _memory(share_V: np.ndarray) -> Mapping[str, float]:
    share_V = share_V / share_V.sum()
    used = share_V[share_V > 0]
    return {
        "slots_read": len(used) / len(share_V),
        "slots_kl": math.log(len(share_V)) + float((used * np.log(used)).sum()),
    }


def _use(share_E: np.ndarray) -> Mapping[str, float]:
    used = share_E[share_E > 0]
    entropy = float(-(used * np.log(used)).sum())
    return {
        "load_entropy": entropy / math.log(len(share_E)) if len(share_E) > 1 else 1.0,
        "largest_share": float(share_E.max()),
        "dead": float((share_E == 0).mean()),
    }
