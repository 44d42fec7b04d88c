"""The command line as a user's shell starts it, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SMALL = [
    "shape=smoke",
    "budget=steps",
    "budget.amount=6",
    "tokenizer.vocab=300",
    "batch.size=2",
    "batch.context=32",
    "compile=false",
]


def tinylm(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``tinylm words`` to its end."""
    return subprocess.run(
        command(*words), cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """The command, running."""
    return subprocess.Popen(command(*words), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tinylm", *words]


def text_files(folder: Path, documents: int = 120) -> list[str]:
    """A small corpus of made text; the overrides that read it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["the cat", "a dog", "my neighbour", "the old clock", "a river", "the second engine"]
    verbs = ["sees", "follows", "repairs", "forgets", "counts", "paints"]
    lines = [
        f"{names[i % 6]} {verbs[(i // 6) % 6]} {names[(i * 5 + 1) % 6]} number {i * 37 % 101} on day {i}, "
        f"and {names[(i + 3) % 6]} {verbs[(i * 7) % 6]} it while {names[(i + 1) % 6]} {verbs[(i + 2) % 6]} nothing"
        for i in range(documents)
    ]
    (folder / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["data=files", f"data.paths=[{folder}/text.txt]", "data.document=line", "data.tune=0.2", "data.test=0.2"]
