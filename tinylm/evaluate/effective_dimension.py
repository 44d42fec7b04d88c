"""In how many directions the features of tokens vary, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from tinylm.batch import IGNORE, Batch
from tinylm.errors import UserError
from tinylm.evaluate.bits import spread
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject, Text


@dataclass(frozen=True)
class EffectiveDimension(Evaluator):
    """How far the features of a layer's tokens have collapsed. Wang et al. 2023 (PanGu-pi, arXiv 2312.17276).

    The features are the stream after each block, in fp32, of windows that lie end to end in the documents read.

    Scores, a layer each: ``effective_dimension_00``, ...: the principal components (of the features about their mean)
    that hold ``share`` of the variance, the paper's d(0.8) in its section on feature collapse; ``effective_dimension``:
    their mean over the layers. ``diversity_00``, ...:
    d_M(H) = || (I - e e^T) H ||_F with e = 1 / sqrt(N), the distance of a window's N tokens from all being alike, the
    mean over windows; it grows with the stream's size, so compare it within one placement of norms.

    Args:
        split: which documents.
        tokens: read at most, in windows evenly spread over the split; above the width, or they bound the answer.
        share: of the variance.
    """

    name: ClassVar[str] = "effective_dimension"
    version: ClassVar[str] = "1"

    split: Literal["train", "tune", "test"] = "tune"
    tokens: int = 8192
    share: float = 0.8

    def __call__(self, subject: Subject) -> Scores:
        """Read the text and measure every layer.

        Raises:
            UserError: a share outside (0, 1], or no text in the split.
        """
        if not 0 < self.share <= 1:
            raise UserError(f"evaluate.effective_dimension.share is {self.share}; give a share above 0, 1 at most")
        features = [_Features() for _ in subject.model.layers()]
        hooks = [
            block.register_forward_hook(seen.take) for block, seen in zip(subject.model.layers(), features, strict=True)
        ]
        training = subject.model.training
        subject.model.eval()
        try:
            with torch.inference_mode():
                for batch in self._windows(subject):
                    subject.model(batch)
        finally:
            subject.model.train(training)
            for hook in hooks:
                hook.remove()
        scalars = {}
        for layer, seen in enumerate(features):
            scalars[f"effective_dimension_{layer:02d}"] = float(components(seen.covariance(), self.share))
            scalars[f"diversity_{layer:02d}"] = float(np.mean(seen.diversity))
        dimensions = [scalars[f"effective_dimension_{layer:02d}"] for layer in range(len(features))]
        scalars["effective_dimension"] = float(np.mean(dimensions))
        return Scores(scalars)

    def _windows(self, subject: Subject) -> Iterator[Batch]:
        documents = subject.documents(self.split)
        if not len(documents):
            raise UserError(f"the {self.split} split holds no text to read; give it a larger fraction or more text")
        device = next(subject.model.parameters()).device
        count = max(1, self.tokens // subject.context)
        texts = [Text(*documents[index]) for index in spread(len(documents), 2 * count)]  # some are short
        starts = [(text, start) for text in texts for start in range(0, len(text.ids) - 1, subject.context)]
        for index in spread(len(starts), count):
            text, start = starts[index]
            ids_1T = torch.from_numpy(text.ids[start : start + subject.context].astype(np.int64))[None]
            domain_1 = None if text.domain is None else torch.tensor([text.domain])
            yield Batch(ids_1T, torch.full_like(ids_1T, IGNORE), domain_B=domain_1).to(device)


class _Features:
    """Moments of the tokens that passed a block, and each window's diversity."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_D: Tensor | float = 0.0
        self.squares_DD: Tensor | float = 0.0
        self.diversity: list[float] = []

    def take(self, block: Any, read: Any, gave: tuple[Tensor, Any]) -> None:
        """A forward hook: ``gave`` is what a block gives."""
        features_ND = gave[0].flatten(0, 1).double()
        self.count += len(features_ND)
        self.sum_D = self.sum_D + features_ND.sum(0)
        self.squares_DD = self.squares_DD + features_ND.T @ features_ND
        self.diversity.append((features_ND - features_ND.mean(0)).norm().item())

    def covariance(self) -> Tensor:
        """(D, D), in fp64."""
        mean_D = torch.as_tensor(self.sum_D) / self.count
        return torch.as_tensor(self.squares_DD) / self.count - torch.outer(mean_D, mean_D)


def components(covariance_DD: Tensor, share: float) -> int:
    """The fewest principal components that hold ``share`` of the variance; 0 where nothing varies."""
    variance_D = torch.linalg.eigvalsh(covariance_DD).flip(0).clamp(min=0)
    total = variance_D.sum()
    if total <= 0:
        return 0
    held_D = variance_D.cumsum(0) / total
    return int((held_D < share - 1e-12).sum()) + 1
