"""Benchmarks of others: our model against lm-eval's own, on the same questions to the same weights."""

from __future__ import annotations

import contextlib
import io
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.machine import disturbance
from benchmarks.table import Row, middle
from benchmarks.training import busy
from benchmarks.workload import SHAPE, our_model

Asked = tuple[str, str]
PACKAGES = ("transformers", "accelerate", "lm_eval")


@dataclass(frozen=True)
class Size:
    """``questions`` of each kind, asked ``turns`` times."""

    questions: int = 150
    turns: int = 5


def harness(size: Size, threads: int, say: Callable[[str], None]) -> list[Row]:
    """Seconds of lm-eval's `hf` model over ours, for pairs of sentences and for questions with four answers each."""
    kinds = {"pairs of sentences": pairs, "four answers each": answers}
    names = {kind: f"lm-eval, {kind}: its `hf` model's seconds over ours" for kind in kinds}
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        note = f"{missing[0]} is not installed: pip install 'tinylm[hf,eval]'"
        return [Row(name, None, "x", 1, note=note) for name in names.values()]
    torch.set_num_threads(threads)
    rows = []
    with TemporaryDirectory(prefix="tinylm-bench-") as folder:
        say("exporting a model for lm-eval's own model to load")
        theirs, ours = sides(Path(folder) / "export")
        for kind, make in kinds.items():
            say(names[kind])
            asked, ratios, seconds, disturbed = make(size.questions), [], [], []
            for _ in range(size.turns):
                disturbed.append(disturbance())
                spent = [timed(side, asked) for side in (theirs, ours)]
                ratios.append(spent[0] / spent[1])
                seconds.append(spent[1])
            told = busy([share for share in disturbed if share is not None], size.turns)
            note = f"ours: {middle(seconds)} s for {len(asked)} likelihoods" + (f"; {told}" if told else "")
            rows.append(Row(names[kind], middle(ratios), "x", 1, note=note))
    return rows


def sides(folder: Path) -> tuple[Any, Any]:
    """lm-eval's model of an export and ours of what was exported: the shape of the training rows, not trained."""
    from lm_eval.models.huggingface import HFLM

    from tinylm.data.tokenizer.bpe import BPE
    from tinylm.evaluate.harness.model import HarnessModel
    from tinylm.exchange.export import export

    tokenizer = BPE(SHAPE.vocab).train(texts)
    model = our_model(replace(SHAPE, vocab=tokenizer.vocab_size)).eval()
    export(model, tokenizer, folder, lambda proof: "")
    with contextlib.redirect_stderr(io.StringIO()):
        hf = HFLM(pretrained=str(folder), batch_size=64, device="cpu")
    return hf, HarnessModel(model, tokenizer, progress=False)


def texts() -> list[str]:
    """Modules of the standard library."""
    return [path.read_text(encoding="utf-8") for path in sorted(Path(os.__file__).parent.glob("*.py"))[:80]]


def pairs(count: int) -> list[Asked]:
    """A sentence and the same with two words exchanged, without a context, as BLiMP asks."""
    draw, words = random.Random(0), [word for word in " ".join(texts()).split() if len(word) < 12]
    asked = []
    for _ in range(count):
        start = draw.randrange(len(words) - 12)
        good = words[start : start + draw.randrange(6, 12)]
        bad = [*good[:2], good[3], good[2], *good[4:]]
        asked += [("", " " + " ".join(good)), ("", " " + " ".join(bad))]
    return asked


def answers(count: int) -> list[Asked]:
    """A context of some 25 words and four answers of some 8, as HellaSwag asks."""
    draw, words = random.Random(0), [word for word in " ".join(texts()).split() if len(word) < 12]
    asked = []
    for _ in range(count):
        start = draw.randrange(len(words) - 40)
        context = " ".join(words[start : start + draw.randrange(20, 30)])
        for _ in range(4):
            start = draw.randrange(len(words) - 12)
            asked.append((context, " " + " ".join(words[start : start + draw.randrange(6, 10)])))
    return asked


def timed(lm: Any, asked: list[Asked]) -> float:
    """Seconds that a model takes to answer."""
    from lm_eval.api.instance import Instance

    requests = [Instance("loglikelihood", {}, one, index) for index, one in enumerate(asked)]
    with contextlib.redirect_stderr(io.StringIO()):
        began = time.perf_counter()
        lm.loglikelihood(requests, disable_tqdm=True)
        return time.perf_counter() - began
