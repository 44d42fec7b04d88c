"""What a reader of the verdicts has to know beside them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tinylm.report.claims.manifest import Job, Manifest
from tinylm.report.judgement.guards import Run
from tinylm.report.judgement.pairing import Pairing
from tinylm.report.records.arms import label_of, parent

_SIZES = ("depth", "width", "heads", "kv_heads")


def caveats(manifest: Manifest, rows: Mapping[str, Run], pairings: Sequence[Pairing]) -> list[str]:
    """Versions that differ, runs that failed or are not there, seeds that stand apart, and what the runs say."""
    found = [f"declared anew when runs had ended: {change}" for change in manifest.amended]
    for name, prefix in (("code", "provenance.code"), ("package", "provenance.packages")):
        versions = Counter(_version(row, prefix) for row in rows.values())
        versions.pop("", None)
        if len(versions) > 1:
            counts = ", ".join(f"{version} ({count})" for version, count in sorted(versions.items()))
            found.append(f"runs were made by different {name} versions: {textwrap.shorten(counts, 300)}")
            found += _strangers(rows, pairings, name, prefix)
    served = {(job.key, _served(job, manifest, rows)) for job in manifest.jobs if job.key in rows}
    found += _solved(manifest, rows, pairings)
    failed = Counter(arm for key, arm in served if rows[key]["status"] == "failed")
    found += [f"{count} run(s) of {arm} failed" for arm, count in sorted(failed.items())]
    absent = sum(job.key not in rows for job in manifest.jobs)
    if absent:
        found.append(f"{absent} of {len(manifest.jobs)} planned runs have no record yet")
    apart = sorted({text for pairing in pairings for text in pairing.outliers})
    if apart:
        found.append(f"stands apart from its arm, and counts all the same: {', '.join(apart)}")
    if any(pairing.extended for pairing in pairings):
        times = f" in {len(manifest.added)} turns" if len(manifest.added) > 1 else ""
        found.append(f"seeds were added to the declared ones{times}: the verdicts rest on those added last alone")
        if manifest.claim is not None:
            looks = _declared_seen(manifest, rows, pairings) + len(manifest.added)
            error = 1 - (1 - manifest.claim.alpha) ** looks
            if looks > 1:
                found.append(f"whoever adds seeds until a result pleases errs in {error:.0%} of cases by {looks} looks")
    shared = sorted({arm for pairing in pairings for arm in pairing.given})
    if shared:
        found.append(f"all seeds begin from one parent: {', '.join(shared)}; the intervals are given that parent")
    notes: dict[str, list[Job]] = {}
    for job in manifest.jobs:
        for note in dict.fromkeys(_notes(rows.get(job.key, {}))):
            notes.setdefault(note, []).append(job)
    for note, jobs in sorted(notes.items()):
        whose = ", ".join(dict.fromkeys(_served(job, manifest, rows) for job in jobs))
        named = textwrap.shorten(whose, 120, placeholder=" ...")
        found.append(f"{note} ({len({job.key for job in jobs})} run(s) of {named})")
    return found


def _declared_seen(manifest: Manifest, rows: Mapping[str, Run], pairings: Sequence[Pairing]) -> bool:
    """Whether some comparison could be looked at on the declared seeds: both its arms have ended runs of them."""
    declared = [] if manifest.claim is None else manifest.claim.seeds

    def seen(arm: str) -> bool:
        keys = [key for seed, key in manifest.keys(arm).items() if seed in declared]
        return any(rows[key]["status"] in ("done", "diverged") for key in keys if key in rows)

    return any(seen(pairing.variant) and seen(pairing.against) for pairing in pairings)


def _strangers(rows: Mapping[str, Run], pairings: Sequence[Pairing], name: str, prefix: str) -> list[str]:
    """Comparisons of which no version made both arms: what the versions change would stand in the difference."""
    found = []
    for pairing in pairings:
        sides = [{_version(rows.get(key, {}), prefix) for key in keys} for keys in (pairing.keys, pairing.against_keys)]
        if all(sides) and not sides[0] & sides[1]:
            found.append(f"{pairing.variant} and {pairing.against}")
    if not found:
        return []
    named = textwrap.shorten("; ".join(found), 300, placeholder=" ...")
    return [f"no {name} version made runs of both arms, so the version may be part of the difference: {named}"]


def _solved(manifest: Manifest, rows: Mapping[str, Run], pairings: Sequence[Pairing]) -> list[str]:
    """Sizes in which arms differ though the claim is not about shape: a shape solved for a budget may move them all."""
    claim = manifest.claim
    if claim is None or any(key.partition(".")[0] == "shape" for key in claim.factor):
        return []
    found = []
    for pairing in pairings:
        sides = [rows.get(keys[0], {}) for keys in (pairing.keys, pairing.against_keys) if keys]
        for size in _SIZES:
            values = [side.get(f"accounting.shape.{size}") for side in sides]
            if len(values) == 2 and not any(map(pd.isna, values)) and values[0] != values[1]:
                found.append(f"{size} {values[0]:g} of {pairing.variant} against {values[1]:g} of {pairing.against}")
    if not found:
        return []
    named = textwrap.shorten(", ".join(found), 300, placeholder=" ...")
    return [f"shapes solved for their budget differ in more than the hidden size: {named}"]


def _served(job: Job, manifest: Manifest, rows: Mapping[str, Run]) -> str:
    """Whose run it is, by its label: an arm's, or a parent's."""
    if job.stage == "parent":
        return parent(rows[job.key])
    return label_of(manifest.claim, job.arm)


def _notes(row: Run) -> list[str]:
    notes: Any = row.get("warnings")
    return notes if isinstance(notes, list) else []


def _version(row: Run, prefix: str) -> str:
    found = {key: value for key, value in row.items() if key == prefix or key.startswith(f"{prefix}.")}
    known = {key: value for key, value in found.items() if isinstance(value, str | int | float) and value == value}
    return " ".join(f"{key.removeprefix(prefix).lstrip('.')} {value}".strip() for key, value in sorted(known.items()))
