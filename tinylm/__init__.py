"""tinylm: does this change to a tiny language model help, by how much, at what cost, and can I trust the answer?

From Python, without the command line::

    import tinylm
    tinylm.sweep("quickstart")                    # as `tinylm sweep quickstart`
    tinylm.run("model/ffn=gelu", "seed=3")        # as `tinylm run ...`; its RunRecord
    tinylm.collect("runs")                        # a frame, one row a run
    tinylm.history("runs")                        # a long frame of curves
    tinylm.arms("quickstart", "runs")             # the same of one sweep, with arm, label and stage
    print(tinylm.compare("quickstart", "runs"))   # verdicts
    model, tokenizer = tinylm.load("3f2a")

Each name is imported when it is first used, so reading results needs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_ROOMS = {
    "run": "tinylm.compose.notebook",
    "sweep": "tinylm.compose.notebook",
    "load": "tinylm.compose.load",
    "arms": "tinylm.report.records.arms",
    "collect": "tinylm.report.records.collect",
    "history": "tinylm.report.records.history",
    "compare": "tinylm.report.judgement.compare",
}

__all__ = ["arms", "collect", "compare", "history", "load", "run", "sweep"]  # found by __getattr__


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return vars(importlib.import_module(_ROOMS[name]))[name]
    raise AttributeError(f"module 'tinylm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
