"""What lm-eval makes of a model on tasks, as numbers for a record."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinylm.errors import UserError
from tinylm.evaluate.bits import standard_error
from tinylm.evaluate.evaluator import Scores
from tinylm.evaluate.harness.tasks import Tasks, failures

FEWSHOT_SEED = 1234  # lm-eval's own
RESAMPLES = 200  # of the bootstrap where a metric is no mean, such as a perplexity


def evaluate(lm: Any, tasks: Tasks, *, limit: float | None = None, num_fewshot: int | None = None) -> Scores:
    """Score a model on tasks.

    Scalars: ``<task>/<metric>`` and ``<task>/<metric>_stderr`` of every task and group, as lm-eval has them (a filter
    other than ``none`` stands behind the metric); for tasks of multiple choice ``<task>/answer_bits_per_byte`` with its
    standard error: the bits of the right answers over their UTF-8 bytes, the blank before them included; of several
    right answers to a question the likeliest counts. It tells models apart before accuracy leaves chance. A number
    of examples that was asked for stands behind the task: ``<task>@5/acc``. What is not finite is left out.

    Items: ``task``, ``document`` (its number in the task), ``score`` (the task's first metric, where it is a number),
    ``answer_bits`` and ``answer_bytes``.

    Args:
        lm: lm-eval's model.
        limit: documents of each task, or below 1 their share; for trying out alone.
        num_fewshot: examples before a question; None: as many as the task says.

    Raises:
        UserError: a task wants what cannot be had, or a limit of no documents.
    """
    from lm_eval.evaluator import evaluate as lm_evaluate

    if limit is not None and limit <= 0:
        raise UserError(f"limit is {limit:g}; give a number of documents, or below 1 their share")
    for task in tasks.tasks.values():
        shots = task.get_config("num_fewshot")
        if num_fewshot is not None and shots != 0:  # a task that says 0 cannot take any
            task.set_config(key="num_fewshot", value=num_fewshot)
        elif shots is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    os.environ.setdefault("DISABLE_MULTIPROC", "1")  # a bootstrap forks otherwise, which a worker may not
    unsaid = io.StringIO()  # a bar for every task and the like; the model shows a bar of its own
    with failures(), contextlib.redirect_stderr(unsaid), contextlib.redirect_stdout(unsaid):
        results = lm_evaluate(
            lm, task_dict=tasks._asdict(), limit=limit, bootstrap_iters=RESAMPLES, log_samples=True, verbosity="ERROR"
        )
    return _scores(tasks, results, "" if num_fewshot is None else f"@{num_fewshot}")


def _scores(tasks: Tasks, results: Mapping[str, Any], suffix: str) -> Scores:
    items: dict[str, list[Any]] = {
        column: [] for column in ("task", "document", "score", "answer_bits", "answer_bytes")
    }
    answers: dict[str, list[tuple[float, int]]] = {}
    for name, samples in results["samples"].items():
        task, seen = tasks.tasks[name], set()
        for sample in samples:
            if sample["doc_id"] in seen:  # another filter of the same answer
                continue
            seen.add(sample["doc_id"])
            bits, size = _answer(task, sample)
            score = sample.get(next(iter(sample["metrics"]), ""))
            items["task"].append(f"{name}{suffix}")
            items["document"].append(int(sample["doc_id"]))
            items["score"].append(float(score) if isinstance(score, int | float) else None)
            items["answer_bits"].append(bits)
            items["answer_bytes"].append(size)
            if bits is not None and size:
                answers.setdefault(name, []).append((bits, size))
    scalars: dict[str, float] = {}
    for name, numbers in {**results["results"], **results.get("groups", {})}.items():
        for key, value in numbers.items():
            metric, _, kind = key.partition(",")
            if kind and isinstance(value, int | float) and math.isfinite(value):
                scalars[f"{name}{suffix}/{metric}" + ("" if kind == "none" else f"/{kind}")] = float(value)
        pairs = [pair for member in _members(name, tasks) for pair in answers.get(member, [])]
        if pairs:
            bits_N, bytes_N = np.array(pairs).T
            scalars[f"{name}{suffix}/answer_bits_per_byte"] = float(bits_N.sum() / bytes_N.sum())
            if (error := standard_error(bits_N, bytes_N)) is not None:
                scalars[f"{name}{suffix}/answer_bits_per_byte_stderr"] = error
    shots, sizes = results["n-shot"], results["n-samples"]
    harness = importlib.metadata.version("lm_eval")
    about = {
        f"{name}{suffix}": {
            "version": version,
            "num_fewshot": shots.get(name),
            "documents": sizes.get(name, {}).get("effective"),
            "of": sizes.get(name, {}).get("original"),
            "lm_eval": harness,
        }
        for name, version in results["versions"].items()
    }
    return Scores(scalars, items, about=about)


def _answer(task: Any, sample: Mapping[str, Any]) -> tuple[float | None, int | None]:
    """Bits and bytes of the right answer to a question of multiple choice; of the likeliest where several are right."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return None, None
    right = _right(task, sample)
    likelihoods = [answer[0] for answer in sample["filtered_resps"]]
    right = [index for index in right if 0 <= index < len(likelihoods)]
    if not right:
        return None, None
    best = max(right, key=likelihoods.__getitem__)
    return -likelihoods[best] / math.log(2), len(sample["arguments"][best][1].encode())


def _right(task: Any, sample: Mapping[str, Any]) -> Sequence[int]:
    """Places of the right answers among the choices."""
    gold = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    listed = gold if isinstance(gold, list) else [gold]
    choices = task.doc_to_choice(sample["doc"])
    places = [choices.index(one) if one in choices else one for one in listed]
    return [one for one in places if isinstance(one, int)]


def _members(name: str, tasks: Tasks) -> list[str]:
    """The tasks that a name stands for."""
    if name in tasks.tasks:
        return [name]
    return [task for member in tasks.group_map.get(name, []) for task in _members(member, tasks)]
