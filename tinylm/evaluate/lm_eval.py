"""The benchmarks that others publish, through lm-eval."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from tinylm.evaluate.domain import assumed, domain_of
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject
from tinylm.evaluate.harness.scores import evaluate
from tinylm.evaluate.harness.tasks import Tasks, load


@dataclass(frozen=True)
class LMEval(Evaluator):
    """Tasks of EleutherAI's lm-eval (Biderman et al. 2024, arXiv 2405.14782), which is the extra ``eval``.

    Scores and items: ``tinylm.evaluate.harness.scores.evaluate``. The record tells of every task its version and
    lm-eval's, how many examples stood before a question, and how many of its documents were scored.

    Args:
        tasks: names of lm-eval's tasks, groups or tags, or of those in ``conf/tasks``; or paths of task files.
        data: the folder with the data of local tasks; None: the one that ``TINYLM_EVAL_DATA`` names.
        limit: documents of each task, or below 1 their share; None: all. For trying out: scores of parts are not
            those that others publish.
        num_fewshot: examples before a question; None: as many as the task says.
        progress: whether to show a bar on stderr.
        domain: what the documents are read as, by models that route by it; None: the first that the model knows, which
            a note says.
    """

    name: ClassVar[str] = "lm_eval"
    version: ClassVar[str] = "1"

    tasks: list[str]
    data: str | None = None
    limit: float | None = None
    num_fewshot: int | None = None
    progress: bool | None = None
    domain: str | None = None

    @cached_property
    def loaded(self) -> Tasks:
        """The tasks with their documents, read once."""
        return load(self.tasks, self.data)

    def content(self) -> dict[str, str | None]:
        """What stands for the folder in a key: the hash of the documents that are asked about, of whichever origin.

        Raises:
            UserError: lm-eval is not installed, or a task or its documents cannot be had.
        """
        digest = hashlib.sha256()
        for name, task in sorted(self.loaded.tasks.items()):
            digest.update(json.dumps([name, str(task.VERSION)]).encode())
            for document in task.eval_docs:
                digest.update(json.dumps(document, sort_keys=True, default=str).encode())
        return {"data": digest.hexdigest()}

    def __call__(self, subject: Subject) -> Scores:
        """Score the subject.

        Raises:
            UserError: lm-eval is not installed, or a task or its documents cannot be had; or the model routes by no
                domain, or knows none of that name.
        """
        loaded = self.loaded  # before the import: it says so where lm-eval is not installed
        from tinylm.evaluate.harness.model import HarnessModel

        lm = HarnessModel(
            subject.model,
            subject.tokenizer,
            window=subject.context,
            precision=subject.precision,
            progress=bool(self.progress),
            domain=domain_of(subject.model, self.domain, "evaluate.lm_eval.domain"),
        )
        scores = evaluate(lm, loaded, limit=self.limit, num_fewshot=self.num_fewshot)
        return replace(scores, notes=[*scores.notes, *assumed(subject.model, self.domain, "evaluate.lm_eval.domain")])
