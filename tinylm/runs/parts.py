"""Parts: everything one run is made of, built and named; no config object crosses this line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinylm.data.document import Corpus
from tinylm.data.loader import Batches
from tinylm.data.shares import Shares
from tinylm.data.split import SplitName
from tinylm.data.store import TokenStore
from tinylm.evaluate.evaluator import Evaluator
from tinylm.init.initialiser import Initialiser
from tinylm.model.lm import LanguageModel
from tinylm.model.shape import Shape, ShapeRequest
from tinylm.runs.settings import Settings
from tinylm.streams import Streams
from tinylm.train.recipe import Machine, Recipe


@dataclass(frozen=True)
class Elder:
    """A run that another begins from: its parts, and the folder that it left its weights in."""

    parts: Parts
    folder: Path


@dataclass(frozen=True)
class Parts:
    """What ``run`` needs.

    key, config, choices: as they go into the record.  identity: {"data": ..., "tokenizer": ...}, what the tokenizer
    and the store are addressed by.  model: a factory, Shape -> LanguageModel.  recipe: how to train.
    evaluators: name -> evaluator, scored on the test split once, at the end.  parent: what it begins from, or None.
    """

    key: str
    config: dict[str, Any]
    choices: dict[str, str]
    identity: dict[str, Any]
    settings: Settings
    corpus: Corpus
    tokenizer: Any
    shape: ShapeRequest
    model: Callable[[Shape], LanguageModel]
    init: Initialiser
    recipe: Recipe
    evaluators: Mapping[str, Evaluator]
    machine: Machine
    parent: Elder | None = None

    def batches(self, store: TokenStore, split: SplitName = "train") -> Batches:
        """A split of ``store`` as this run reads it: by its seed, in its unit, at its sizes.

        Weights of domains are for training; the other splits are read as large as their text is.
        """
        batch = self.settings.batch
        return Batches(
            store,
            Streams(self.settings.seed, self.settings.streams),
            unit=batch.unit,
            size=batch.size,
            context=batch.context,
            within_documents=batch.within_documents,
            split=split,
            shares=Shares() if self.corpus.shares and split != "train" else self.corpus.shares,
        )
