"""What makes a comparison void: each guard gives its reasons to refuse, or none."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from tinylm.report.claims.claim import Claim, Equal
from tinylm.report.claims.manifest import Manifest
from tinylm.report.judgement.tuning import Trial, choose, edges
from tinylm.report.records.collect import flatten

Run = Mapping[str, Any]  # a row of `collect`

SPENT: dict[Equal, str] = {
    "parameters": "accounting.parameters.total",
    "body_parameters": "accounting.parameters.body",
    "active_parameters": "accounting.parameters.active",
    "flops": "cost.flops",
    "bytes": "cost.bytes",
    "tokens": "cost.tokens",
    "seconds": "cost.seconds",
    "exposures": "cost.exposures",
}

# Config keys that tell where, how or by whom a run is made; no number depends on them.
_ELSEWHERE = (
    "seed",
    "streams",
    "root",
    "cache",
    "archives",
    "keep",
    "checkpoint_seconds",
    "logger",
    "claim",
    "sweeps",
    "hydra",
    "machine",
)
_MACHINE = ("processor", "gpu", "threads", "precision")
_ABSENT = "(absent)"


def unequal(pairs: Iterable[tuple[int, Run, Run]], equal: Equal, tolerance: float) -> list[str]:
    """Refuse where a pair missed the declared equal by more than the tolerance (relative to the opponent)."""
    worst: tuple[float, int, float, float] | None = None
    for seed, variant, against in pairs:
        a, b = variant.get(SPENT[equal]), against.get(SPENT[equal])
        if a is None or b is None or not number(a) or not number(b):
            return [f"equal {equal} cannot be checked: {SPENT[equal]} was not recorded (seed {seed})"]
        missed = abs(a - b) / abs(b) if b else (0.0 if a == b else math.inf)
        if worst is None or missed > worst[0]:
            worst = (missed, seed, float(a), float(b))
    if worst is None or worst[0] <= tolerance:
        return []
    missed, seed, a, b = worst
    return [
        f"not at equal {equal}: {a:,.6g} against {b:,.6g} ({missed:.1%} apart, {tolerance:.1%} allowed, seed {seed})"
    ]


def differing(pairs: Iterable[tuple[Run, Run]]) -> dict[str, tuple[str, str]]:
    """Config keys in which any pair differs, with their values as text.

    Paths whose content has the same hash do not differ; content that differs does, whatever its path. A key at null, or
    a neutral option without keys, is as if it were not there, as it is for a run's key: an older run knew it not.
    """
    found: dict[str, tuple[str, str]] = {}
    for variant, against in pairs:
        a, b = flatten(variant["config"]), flatten(against["config"])
        same_text = _corpus(variant) == _corpus(against) != {}
        for key in sorted(set(a) | set(b)):
            left, right = _told(a, key), _told(b, key)
            if left == right or _below(key, _ELSEWHERE):
                continue
            if same_text and key.startswith("data.") and _names_files(key, left, right):
                continue
            found.setdefault(key, (_short(left), _short(right)))
        if _corpus(variant) and _corpus(against) and not same_text:
            found.setdefault("data", ("other text", "other text"))
    return found


def _told(config: Mapping[str, object], key: str) -> object:
    value = config.get(key)
    return _ABSENT if value is None or value == {} else value


def _names_files(key: str, left: object, right: object) -> bool:
    """Whether a config key says where a text lies; archives keep the names of files without their folders."""
    return key.rpartition(".")[2] in ("paths", "held_out") or ("/" in str(left) and "/" in str(right))


def drifted(differences: Mapping[str, tuple[str, str]], claim: Claim) -> list[str]:
    """Refuse where configs differ in more than the factor, the tuned and the derived keys."""
    tuned = list(claim.tune.params) if claim.tune else []
    keys = [key for key in differences if not _below(key, [*claim.factor, *claim.derived, *tuned])]
    if not keys:
        return []
    shown = ", ".join(f"{key} ({differences[key][0]} against {differences[key][1]})" for key in keys[:4])
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return [f"configs differ in more than the factor: {shown}{more}"]


def derived(differences: Mapping[str, tuple[str, str]], claim: Claim) -> list[str]:
    """The keys that differ and are declared as derived: allowed, and marked."""
    return [key for key in differences if _below(key, claim.derived) and not _below(key, claim.factor)]


def wavering(arm: str, runs: Sequence[Run]) -> list[str]:
    """Refuse where the runs of one arm differ in more than their seed."""
    found = differing((runs[0], other) for other in runs[1:])
    if not found:
        return []
    key, (left, right) = next(iter(found.items()))
    return [f"the runs of {arm} differ among themselves in {key} ({left} against {right})"]


def mixed_machines(runs: Sequence[Run], claim: Claim) -> list[str]:
    """Refuse where processors, cards, threads or precisions are mixed inside a comparison.

    A run that did not end well may not have told its card: then it says nothing of it.
    """
    reasons = []
    for name in _MACHINE:
        told = [(run.get(f"provenance.{name}"), run["status"]) for run in runs]
        known = [value for value, status in told if not (_missing(value) and status != "done")]
        values = {"none" if _missing(value) else str(value) for value in known}
        if len(values) > 1 and not _below(name, claim.factor):
            reasons.append(f"{name} mixed inside the comparison: {', '.join(sorted(values))}")
    return reasons


def tuned_params(manifest: Manifest, claim: Claim, arm: str, runs: Mapping[str, Run]) -> dict[str, Any] | None:
    """What tuning chose for an arm by its records; None where a tuning run is missing or none ended well."""
    assert claim.tune is not None
    jobs = [job for job in manifest.jobs if job.arm == arm and job.stage == "tune"]
    if not jobs or any(job.key not in runs for job in jobs):
        return None
    trials = [Trial(job.params, job.seed, _score(runs[job.key], claim.tune.metric)) for job in jobs]
    if all(trial.score is None for trial in trials):
        return None
    return choose(trials, claim.tune.direction, arm)


def untuned(manifest: Manifest, claim: Claim, arm: str, runs: Mapping[str, Run]) -> list[str]:
    """Refuse where an arm's tuned value is unknown, is not what tuning chose, or lies at the edge of its grid."""
    if claim.tune is None:
        return []
    grids = claim.tune.params
    jobs = [job for job in manifest.jobs if job.arm == arm and job.stage == "compare"]
    used = {json.dumps({key: job.params[key] for key in grids if key in job.params}, sort_keys=True) for job in jobs}
    trials = [job.key for job in manifest.jobs if job.arm == arm and job.stage == "tune"]
    if not trials or used == {"{}"}:
        return [f"{arm} was not tuned: no {', '.join(grids)} was chosen for it"]
    chosen = tuned_params(manifest, claim, arm, runs)
    if chosen is None:
        lost = sum(key not in runs for key in trials)
        why = f"{lost} of its {len(trials)} runs have no record" if lost else "none of its runs ended well"
        return [f"the tuning of {arm} cannot be checked: {why}"]
    for text in sorted(used):
        params = json.loads(text)
        if any(params.get(key) != chosen[key] for key in grids):
            return [f"{arm} was compared at {_settings(params)}, but tuning chose {_settings(chosen)}"]
    return edges(chosen, grids, arm)


def one_parent(runs: Iterable[Run]) -> str | None:
    """The key of the parent that all of several runs begin from; None where they have none, or several."""
    parents = [run.get("provenance.parent") for run in runs if run["status"] == "done"]
    first = parents[0] if len(parents) > 1 else None
    return first if isinstance(first, str) and parents.count(first) == len(parents) else None


def partly_shared(arm: str, runs: Iterable[Run]) -> list[str]:
    """Refuse where some runs of an arm, and not all, begin from one parent: they are no independent seeds."""
    done = [run for run in runs if run["status"] == "done"]
    parents = Counter(parent for run in done if isinstance(parent := run.get("provenance.parent"), str))
    most = max(parents.values(), default=0)
    if most < 2 or most == len(done):
        return []
    return [
        f"{most} of {len(done)} runs of {arm} begin from the same parent and the others do not; "
        "give each seed its own, or one to all"
    ]


def _score(run: Run, metric: str) -> float | None:
    value = run.get(metric)
    return float(value) if run["status"] == "done" and value is not None and number(value) else None


def _corpus(run: Run) -> dict[str, Any]:
    found = {key: value for key, value in run.items() if key.startswith("provenance.corpus")}
    return {key: value for key, value in found.items() if value is not None and value == value}


def _below(key: str, prefixes: Iterable[str]) -> bool:
    dotted = (prefix.replace("/", ".") for prefix in prefixes)
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in dotted)


def number(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def _settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items())


def _missing(value: Any) -> bool:
    return value is None or value != value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
