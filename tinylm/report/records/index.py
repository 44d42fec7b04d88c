"""The rows of a large root, kept beside its runs: an ended run is parsed once, not by every command.

The file is a snapshot that anyone may lose, delete or replace: a row counts only while its record is the very file that
it was read from (by inode, size and time), all others are read anew. So two writers need no lock, whichever comes last,
and a file that is torn or that other code wrote is no index.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from tinylm import record
from tinylm.files import write_bytes

NAME = ".index.arrow"
WORTH = 500  # runs from which on a root is given an index
Columns = dict[str, np.ndarray]  # of one length; numbers as such, all else as objects, NaN where a row lacks one
_STAMP = ("stamp.name", "stamp.inode", "stamp.size", "stamp.time")


def rows(root: Path, folders: Sequence[Path], read: Callable[[Path], dict[str, Any] | None]) -> Columns:
    """The rows of all ended runs of ``root``, in the order of ``folders``, as columns.

    Args:
        folders: all that hold an ended run.
        read: gives the row of one folder, or None where there is none to be had; it is not called for what the index
            knows.
    """
    stamps = {folder.name: stamp for folder in folders if (stamp := _stamp(folder)) is not None}
    worth = len(stamps) >= WORTH
    before, kept = _load(root / NAME, stamps) if worth else ({}, {})
    fresh = {name: row for name in stamps if name not in kept and (row := read(root / name)) is not None}
    names = [*kept, *fresh]
    known = {name: values[list(kept.values())] for name, values in before.items()}
    found = joined([(known, len(kept)), (columns(list(fresh.values())), len(fresh))])
    if worth and (fresh or len(kept) < len(_names(before))):
        _save(root / NAME, found, [stamps[name] for name in names])
    place = {name: index for index, name in enumerate(names)}
    order = [place[name] for name in stamps if name in place]
    return {name: values[order] for name, values in found.items() if name not in _STAMP}


def columns(items: Sequence[Mapping[str, Any]]) -> Columns:
    """Rows as columns, in the order in which their names turn up."""
    names = dict.fromkeys(name for item in items for name in item)
    return {name: _array([item.get(name, np.nan) for item in items]) for name in names}


def joined(parts: Iterable[tuple[Columns, int]]) -> Columns:
    """Columns below one another; each part is told with its number of rows, for it may have no column."""
    parts = [(part, number) for part, number in parts if number]
    names = dict.fromkeys(name for part, _ in parts for name in part)
    empty = {name: [part.get(name, np.full(number, np.nan)) for part, number in parts] for name in names}
    return {name: np.concatenate(pieces) for name, pieces in empty.items()}


def _array(values: list[Any]) -> np.ndarray:
    """Whole numbers as int64; numbers, some of them missing, as float64; else objects."""
    kinds = set(map(type, values))
    if kinds == {int} and all(abs(value) < 2**63 for value in values):
        return np.array(values, np.int64)
    if kinds <= {int, float, type(None)} and kinds & {int, float}:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.fromiter(values, object, len(values))


def _stamp(folder: Path) -> tuple[str, int, int, int] | None:
    """What tells one version of a record from another; None where the run has not ended."""
    try:
        told = os.stat(folder / "record.json")
    except FileNotFoundError:
        return None
    return folder.name, told.st_ino, told.st_size, told.st_mtime_ns


def _load(path: Path, stamps: Mapping[str, tuple[str, int, int, int]]) -> tuple[Columns, dict[str, int]]:
    """The index's columns, and name -> row of what still holds; both empty where there is no index."""
    try:
        with path.open("rb") as file:
            table = ipc.open_file(file).read_all()
    except (OSError, pa.ArrowException):
        return {}, {}
    if (table.schema.metadata or {}).get(b"code") != _code():
        return {}, {}
    found = {name: _decoded(table.column(name).combine_chunks()) for name in table.column_names}
    told = list(zip(*(found[name].tolist() for name in _STAMP), strict=True))
    return found, {stamp[0]: row for row, stamp in enumerate(told) if stamps.get(stamp[0]) == stamp}


def _save(path: Path, found: Columns, stamps: Sequence[tuple[str, int, int, int]]) -> None:
    """Write the index; where the folder may not be written there is none."""
    stamped = dict(zip(_STAMP, (_array(list(part)) for part in zip(*stamps, strict=True)), strict=True))
    table = pa.table({name: _encoded(values) for name, values in (found | stamped).items()})
    sink = pa.BufferOutputStream()
    options = ipc.IpcWriteOptions(compression="zstd")
    with ipc.new_file(sink, table.schema.with_metadata({"code": _code()}), options=options) as file:
        file.write_table(table)
    try:
        write_bytes(path, sink.getvalue().to_pybytes())
    except OSError:
        return


def _names(found: Columns) -> list[str]:
    return list(found[_STAMP[0]]) if found else []


def _encoded(values: np.ndarray) -> pa.Array:
    """Numbers as they are; objects as JSON, each different one once."""
    if values.dtype != object:
        return pa.array(values)
    missing = [isinstance(value, float) and np.isnan(value) for value in values]
    texts = [None if gone else json.dumps(value) for value, gone in zip(values, missing, strict=True)]
    return pa.array(texts, pa.string()).dictionary_encode()


def _decoded(values: pa.Array) -> np.ndarray:
    if not pa.types.is_dictionary(values.type):
        return values.to_numpy(zero_copy_only=False)
    different = [json.loads(text) for text in values.dictionary.to_pylist()]
    codes = values.indices.fill_null(len(different)).to_numpy(zero_copy_only=False)
    return np.fromiter([*different, np.nan], object, len(different) + 1)[codes]


def _code() -> bytes:
    """A hash of the code that makes rows out of records."""
    files = (Path(__file__), Path(__file__).with_name("collect.py"), Path(record.__file__))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest().encode()
