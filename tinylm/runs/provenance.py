"""What made a run's numbers: package versions, our own code, the machine. No torch."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "lightning", "hydra-core", "omegaconf", "tokenizers", "datasets", "numpy", "safetensors")
# The code that makes numbers.
MAKERS = ("data", "model", "exchange", "init", "train", "evaluate", "runs", "streams.py", "batch.py")


@lru_cache
def environment() -> dict[str, Any]:
    """Package versions, code version, processor and Python of this process."""
    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "code": code_version(),
        "python": platform.python_version(),
        "processor": processor(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }


@lru_cache
def code_version() -> str:
    """tinylm's version and a hash of its sources that make numbers: an edited report leaves it alone."""
    root = Path(__file__).resolve().parents[1]
    files = [path for name in MAKERS for path in sorted([root / name, *(root / name).rglob("*.py")]) if path.is_file()]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{_version('tinylm')}+{digest.hexdigest()[:8]}"


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
