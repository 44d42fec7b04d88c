"""Benchmarks in a folder of the user's: what the shipped task files name as ``custom_dataset``."""

from __future__ import annotations

import gzip
import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict

from tinylm.errors import UserError

FOLDER = "TINYLM_EVAL_DATA"  # the environment variable that names the folder where no option does
LETTERED = re.compile(r"(?P<question>.*?)(?P<options>(\n [A-Z]\. .*)+)\nAnswer:", re.DOTALL)


def read(
    test: str,
    train: str | None = None,
    only: dict[str, Any] | None = None,
    data: str | None = None,
    **metadata: Any,
) -> DatasetDict:
    """The splits of a task, as lm-eval asks for them: a row a question.

    Args:
        test: JSON lines in the folder, gzip or not.
        train: where few-shot examples come from.
        only: field -> value of the rows that are taken.
        data: the folder, as ``--metadata data=DIR`` or an evaluator says; None: ``$TINYLM_EVAL_DATA``.
        metadata: what else lm-eval says of the task.

    Raises:
        UserError: no folder is named, or it lacks the file.
    """
    where = folder(data)
    files = {"test": test} | ({} if train is None else {"train": train})
    return DatasetDict({split: Dataset.from_list(_chosen(where / name, only or {})) for split, name in files.items()})


def folder(data: str | None = None) -> Path:
    """The folder with the data.

    Raises:
        UserError: none is named.
    """
    named = data or os.environ.get(FOLDER)
    if not named:
        raise UserError(f"local tasks read files: name their folder with --data DIR, or set {FOLDER}=DIR")
    return Path(named)


def spelled_out(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose question lists its answers by letter, as one whose choices are the answers; others as they are.

    So a model is asked for the answer and not for its letter, as lm-eval's own tasks on these data do.
    """
    match = LETTERED.fullmatch(str(row.get("query", "")))
    if match is None:
        return row
    options = re.split(r"\n [A-Z]\. ", match["options"])[1:]
    if len(options) != len(row["choices"]):
        return row
    return {**row, "query": match["question"], "choices": options}


def _chosen(path: Path, only: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        rows = _rows(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; --data (or {FOLDER}) names the folder that has it") from None
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON lines ({error})") from error
    found = [row for row in rows if all(row.get(field) == value for field, value in only.items())]
    if not found:
        raise UserError(f"{path}: no row has {', '.join(f'{field}={value}' for field, value in only.items())}")
    return found


@lru_cache(maxsize=4)
def _rows(path: Path, changed: int) -> tuple[dict[str, Any], ...]:
    """Cached, for many tasks may read one file; ``changed`` is when it did so last."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return tuple(spelled_out(json.loads(line)) for line in file if line.strip())
