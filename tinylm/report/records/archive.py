"""A sweep's runs made small enough to commit: records whole, histories and tales of inheritance thinned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tinylm.errors import UserError
from tinylm.files import write_json, write_text
from tinylm.record import RunRecord
from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.claims.portable import portable
from tinylm.report.records.collect import run_folders
from tinylm.report.records.history import read_history
from tinylm.report.statistics.documents import in_blocks, read_table

LINES = 60  # a history's lines in an archive, about
_NAMES_FILES = {"command", "overrides", "params", "sizes"}  # what of a manifest is words of the command line
CHARACTERS = 16_384  # of JSON of what a run inherited


def archive(name: str, roots: Sequence[str | Path], out: Path) -> Path:
    """Copy a sweep's runs into ``out/runs``, from which its report can be made again.

    Writes ``out/runs/<key>/record.json``, ``history.jsonl`` and ``inheritance.json`` (thinned) and
    ``out/runs/sweeps/<name>.json``; a run that lies there already is replaced. Weights stay where they are. Of
    ``items.parquet`` come along the tables that are not of documents, and of those that are the bits and bytes, in
    blocks: what the interval over seeds and documents takes. Files that configs and commands name lose their folders:
    an archive is there to be shared.

    Raises:
        UserError: no root has the sweep.
    """
    manifest = read_manifest(name, *roots)
    wanted = manifest.needed
    target = out / "runs"
    for root in roots:
        for folder in run_folders(root):
            if folder.name not in wanted or folder.resolve() == (target / folder.name).resolve():
                continue
            try:
                record = RunRecord.read(folder)
            except UserError:
                continue  # a torn record is named by the report's warnings
            wanted.remove(folder.name)
            record.config = portable(record.config)
            record.items = _tables(folder, record, target / folder.name)
            if (folder / "history.jsonl").is_file():
                lines = thinned(read_history(folder / "history.jsonl", []))
                written = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
                write_text(target / folder.name / "history.jsonl", written)
            if (folder / "inheritance.json").is_file():
                told = json.loads((folder / "inheritance.json").read_text(encoding="utf-8"))
                write_json(target / folder.name / "inheritance.json", portable(shortened(told)))
            record.write(target / folder.name)
    Manifest.parse(_shared(manifest.as_json())).write(target)
    return target


def _shared(value: Any) -> Any:
    """A manifest's JSON without the folders of the files that it names; prose with a slash in it stays as it is."""
    if isinstance(value, dict):
        return {key: portable(item) if key in _NAMES_FILES else _shared(item) for key, item in value.items()}
    return [_shared(item) for item in value] if isinstance(value, list) else value


def _tables(folder: Path, record: RunRecord, target: Path) -> str | None:
    """Copy the tables that are not of documents, and bits by document; the name of their file, or None without any."""
    if record.items is None or not (folder / record.items).is_file():
        return None
    try:
        frame = read_table(folder / record.items)
    except UserError:
        return None  # the report's warnings name it
    if "document" in frame:
        others = frame[frame["document"].isna()].dropna(axis="columns", how="all")
        parts = [part for part in (in_blocks(frame), others) if not part.empty]
        frame = pd.concat(parts, ignore_index=True) if parts else others
    if frame.empty:
        return None
    target.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(target / record.items, index=False)
    return record.items


def thinned(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """About 60 lines, evenly taken, the first and the last among them, and every one with a score on the tune split."""
    if len(lines) <= LINES:
        return list(lines)
    step = (len(lines) - 1) / (LINES - 1)
    kept = {round(index * step) for index in range(LINES)}
    return [line for index, line in enumerate(lines) if index in kept or any(name.startswith("tune_") for name in line)]


def shortened(told: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each initialiser told, without its longest parts where all of it is above 16,384 characters of JSON.

    Parts go longest first; ``left_out`` of the initialiser names them.

    Args:
        told: initialiser -> part -> what it says, as in a run's ``inheritance.json``.
    """
    kept = {initialiser: dict(parts) for initialiser, parts in told.items()}
    sizes = {(who, part): len(json.dumps(value)) for who, parts in kept.items() for part, value in parts.items()}
    for who, part in sorted(sizes, key=lambda place: -sizes[place]):
        if sum(sizes.values()) <= CHARACTERS:
            break
        del kept[who][part], sizes[who, part]
        kept[who].setdefault("left_out", []).append(part)
    return kept
