"""The engine under test: scores of made-up or real runs in, its verdicts out, by the same way as a sweep's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tinylm.report.claims.claim import Errors
from tinylm.report.claims.manifest import Manifest
from tinylm.report.judgement.compare import decide
from tinylm.report.judgement.verdicts import Verdicts


def judged(
    scores: Mapping[str, Sequence[float]], delta: float, alpha: float = 0.05, errors: Errors = "family"
) -> Verdicts:
    """The verdicts of one family: the first arm is the baseline, lower scores are better, the n-th scores are a pair.

    Args:
        scores: arm -> bits per byte, one a seed.
        delta: the smallest effect worth having.
    """
    baseline, n = next(iter(scores)), len(next(iter(scores.values())))
    claim = {
        "question": "Does a name matter?",
        "source": "none",
        "factor": ["arm"],
        "baseline": baseline,
        "arms": {arm: {} for arm in scores},
        "equal": "tokens",
        "delta": float(delta),
        "seeds": list(range(n)),
        "alpha": alpha,
        "errors": errors,
    }
    jobs, runs = [], []
    for arm, values in scores.items():
        for seed, value in enumerate(values):
            key = f"{arm}/{seed}"
            jobs.append({"key": key, "arm": arm, "stage": "compare", "seed": seed})
            runs.append({"key": key, "status": "done", "seed": seed, "config": {"arm": arm}, "bits_per_byte": value})
    frame = pd.DataFrame(runs).assign(**{"cost.tokens": 1})
    return decide(frame, Manifest.parse({"name": "calibration", "claim": claim, "jobs": jobs}))
