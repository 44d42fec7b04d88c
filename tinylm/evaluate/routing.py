"""How a sparse model routes text, and what training lets it see that evaluation does not."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinylm.batch import IGNORE, Batch
from tinylm.errors import UserError
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject, Text
from tinylm.model.lm import LanguageModel

MOVED = 1e-3  # of a position's size, above what rounding moves it by


@dataclass(frozen=True)
class Routing(Evaluator):
    """Which experts the domains' texts go to; the gap between training's forward and evaluation's; the leak.

    Whole windows of the split's documents, as many of every domain.

    Scores: ``mode_gap``, nats a token of the model in training mode above evaluation mode (balanced assignment, dropped
    tokens, moments of a batch: what is scored is not what was trained). ``leak``, share of the positions before the
    middle of a window that change in training mode when all ids after it do: 0 where training is causal.

    Items, of layers that route: ``layer``, ``domain`` (its name, None without domains), ``expert`` and ``share`` of the
    domain's tokens that go there, in evaluation mode.

    Args:
        split: which documents.
        windows: read of every domain.
    """

    name: ClassVar[str] = "routing"
    version: ClassVar[str] = "1"

    split: Literal["train", "tune", "test"] = "tune"
    windows: int = 16

    def __call__(self, subject: Subject) -> Scores:
        """Read the windows in both modes.

        Raises:
            UserError: the split holds no text to read.
        """
        batches = list(self._batches(subject))
        if not batches:
            raise UserError(f"the {self.split} split holds no text to read; give it a larger fraction or more text")
        training = deepcopy(subject.model).train()  # whose running moments are not the model's
        was = subject.model.training
        subject.model.eval()
        items: dict[str, list[Any]] = {"layer": [], "domain": [], "expert": [], "share": []}
        gaps, leaks = [], []
        try:
            with torch.inference_mode():
                for domain, batch in batches:
                    gaps.append(_nats(training, batch) - _nats(subject.model, batch))
                    leaks.append(_leak(training, batch))
                    for name, load_E in subject.model(batch).side.stats.items():
                        if name.endswith(".ffn.load"):
                            for expert, share in enumerate(load_E.tolist()):
                                row = (int(name.split(".")[1]), subject.domain(domain), expert, share)
                                for column, value in zip(items.values(), row, strict=True):
                                    column.append(value)
        finally:
            subject.model.train(was)
        return Scores({"mode_gap": float(np.mean(gaps)), "leak": float(np.mean(leaks))}, items)

    def _batches(self, subject: Subject) -> Iterator[tuple[int | None, Batch]]:
        """A batch of windows for each domain."""
        documents = subject.documents(self.split)
        found: dict[int | None, list[np.ndarray]] = {}
        for index in range(len(documents)):
            text = Text(*documents[index])
            rows = found.setdefault(text.domain, [])
            if len(rows) < self.windows and len(text.ids) > 2:
                rows.append(text.ids[: subject.context + 1].astype(np.int64))
        device = next(subject.model.parameters()).device
        for domain, rows in sorted(found.items(), key=lambda entry: (entry[0] is None, entry[0] or 0)):
            length = int(np.median([len(row) for row in rows])) if rows else 0
            whole = [row[:length] for row in rows if len(row) >= length]
            if length < 3:
                continue
            ids_BT = torch.from_numpy(np.stack(whole))
            domain_B = None if domain is None else torch.full((len(whole),), domain)
            yield domain, Batch(ids_BT[:, :-1], ids_BT[:, 1:], domain_B=domain_B).to(device)


def _nats(model: LanguageModel, batch: Batch) -> float:
    logits_BTV = model.head(model(batch).hidden_BTD).float()
    return functional.cross_entropy(logits_BTV.flatten(0, 1), batch.targets_BT.flatten(), ignore_index=IGNORE).item()


def _leak(model: LanguageModel, batch: Batch) -> float:
    middle = batch.ids_BT.shape[1] // 2
    changed_BT = batch.ids_BT.clone()
    changed_BT[:, middle:] = changed_BT[:, middle:].flip(0, 1)  # other text, of the same ids
    before = _early(model, batch, middle)
    after = _early(model, Batch(changed_BT, batch.targets_BT, domain_B=batch.domain_B), middle)
    return ((after - before).norm(dim=-1) > MOVED * before.norm(dim=-1)).float().mean().item()


def _early(model: LanguageModel, batch: Batch, middle: int) -> Tensor:
    return model(batch).hidden_BTD[:, :middle]
