"""``tinylm eval``: score a trained model again, on its own text or on other text."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots
from tinylm.cli.scores import score_lines
from tinylm.errors import UserError

EVALUATE = """Score a trained model: a run of ours, or a checkpoint of another house by its folder or hub name.

examples:
  tinylm eval 3f2a                                      the run's own test split, as in its record
  tinylm eval 3f2a --text books/*.txt data.document=file    every document of these files
  tinylm eval hf:smollm --split tune data=stdlib        a Llama, Qwen2, Mistral, Mixtral or GPT-2 checkpoint
  tinylm eval 3f2a --text notes.md --domain prose       by the experts of one domain, for models that route by it
  tinylm eval 3f2a evaluate=bits_effective_dimension    by other evaluators (`tinylm list variants`)
  tinylm eval 3f2a --tasks local_blimp,local_piqa --data DIR    benchmarks on files in DIR (conf/tasks), into its record
  tinylm eval 3f2a --tasks hellaswag --num-fewshot 5 --limit 100    lm-eval's own; with a limit only shown

Overrides are those of `tinylm run`, of data, evaluate, machine and precision alone. The ± of bits per byte is one
standard error over the documents scored."""


def eval_command(words: list[str]) -> int:
    """``tinylm eval SUBJECT``."""
    parser = Parser("tinylm eval", EVALUATE)
    parser.add_argument("subject", metavar="SUBJECT", help="a run's key, or its beginning; or hf:FOLDER, hf:OWNER/NAME")
    parser.add_argument("overrides", nargs="*", help="group=option or key.path=value")
    parser.add_argument("--split", choices=["train", "tune", "test", "all"], help="which documents (default: test)")
    parser.add_argument("--text", nargs="+", metavar="FILE", help="score these files; short for data=files --split all")
    parser.add_argument("--context", type=int, metavar="TOKENS", help="in a window (default: what the model has)")
    parser.add_argument(
        "--domain", metavar="NAME", help="what all text is read as, by models that route by it (default: its labels)"
    )
    parser.add_argument("--json", action="store_true", help="print all scores, of documents too, as JSON")
    parser.add_argument("--tasks", metavar="A,B", help="benchmarks by name; short for evaluate=lm_eval evaluate.tasks")
    parser.add_argument("--data", metavar="DIR", help="the folder that local tasks read")
    parser.add_argument("--limit", type=float, metavar="N", help="documents of each task, or below 1 their share")
    parser.add_argument("--num-fewshot", type=int, metavar="N", help="examples before a question (default: the task's)")
    add_roots(parser)
    options = parser.parse_intermixed_args(words)
    named = options.text or []  # and all that follows, overrides too
    options.text = [word for word in named if "=" not in word or Path(word).exists()]
    options.overrides += [word for word in named if word not in options.text]
    options.overrides += _benchmarks(options)
    print("\n".join(_scored(options)))
    return 0


def _scored(options: argparse.Namespace) -> list[str]:
    """The lines to print."""
    from tinylm.compose.evaluation import evaluate, note

    found = evaluate(
        options.subject,
        [Path(root) for root in roots(options)],
        [*_files(options.text), *options.overrides],
        split=options.split or ("all" if options.text else None),
        context=options.context,
        domain=options.domain,
        progress=_Progress(),
    )
    where = note(found, [Path(root) for root in roots(options)]) if options.tasks and found.whole else None
    if options.json:
        scores = {
            name: {"scalars": said.scalars, "items": said.items, "notes": said.notes}
            for name, said in found.scores.items()
        }
        told = {name: value for name, value in vars(found).items() if name != "scores"}
        return [json.dumps({**told, "scores": scores}, indent=1, ensure_ascii=False)]
    lines = [
        f"{found.subject}: {found.parameters:,} parameters, {found.precision}, windows of {found.context} tokens; "
        f"data={found.data}"
    ]
    scalars = {name: value for said in found.scores.values() for name, value in said.scalars.items()}
    errors = {name: error for said in found.scores.values() for name, error in _errors(said).items()}
    lines += score_lines(scalars, errors)
    lines += [f"note: {note}" for said in found.scores.values() for note in said.notes]
    return [*lines, *([f"written into {where}"] if where is not None else [])]


def _errors(scores: Any) -> dict[str, float]:
    """Standard errors of the bits per byte among the scores."""
    import numpy as np

    from tinylm.evaluate.bits import standard_error

    items = scores.items or {}
    name = next((name for name in scores.scalars if name.endswith("bits_per_byte")), None)
    if name is None or not {"bits", "bytes"} <= items.keys():
        return {}
    error = standard_error(np.array(items["bits"]), np.array(items["bytes"]))
    return {} if error is None else {name: error}


def _benchmarks(options: argparse.Namespace) -> list[str]:
    """The overrides that ``--tasks`` and what goes with it are short for."""
    if options.tasks is None:
        if options.data or options.limit is not None or options.num_fewshot is not None:
            raise UserError("--data, --limit and --num-fewshot say how benchmarks are read; name some with --tasks")
        return []
    said = {"tasks": options.tasks.split(","), "data": options.data, "limit": options.limit}
    said |= {"num_fewshot": options.num_fewshot}
    told = [f"evaluate.lm_eval.{name}={json.dumps(value)}" for name, value in said.items() if value is not None]
    return ["evaluate=lm_eval", *told, f"+evaluate.lm_eval.progress={json.dumps(sys.stderr.isatty())}"]


def _files(text: list[str] | None) -> list[str]:
    """The overrides that ``--text`` is short for."""
    quoted = ",".join(json.dumps(path, ensure_ascii=False) for path in text or ())
    return ["data=files", f"data.paths=[{quoted}]"] if text else []


class _Progress:
    """A line about the text read so far, once a second, on a terminal alone."""

    def __init__(self) -> None:
        self.told = time.monotonic()

    def __call__(self, read: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - self.told > 1:
            self.told = time.monotonic()
            print(f"\rreading: {read / 1e6:.0f} M characters", end="\r", file=sys.stderr, flush=True)
