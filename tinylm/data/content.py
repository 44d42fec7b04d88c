"""Hashes of what files hold, whatever they are called and wherever they lie."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

SETTLED = 2.0  # seconds: clocks of file systems are coarse; what is younger than this may still change unseen

_known: dict[tuple[str, int, int, int, int], str] = {}


def file_hash(path: Path) -> str:
    """Streamed SHA-256 of a file's bytes.

    Remembered within the process, for a sweep asks once a job. A file that was written a moment ago is read again:
    a second write of the same length could carry the same time.
    """
    status = os.stat(path)
    key = (os.fspath(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if key not in _known:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time() - max(status.st_mtime, status.st_ctime) < SETTLED:
            return digest
        _known[key] = digest
    return _known[key]


def text_hash(parts: Iterable[str]) -> str:
    """SHA-256 of strings in order; where one ends and the next begins matters."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(f"{len(encoded)}:".encode() + encoded)
    return digest.hexdigest()
