"""What a model loses without each of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar, Literal

from tinylm.evaluate.bits import BitsPerByte
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject
from tinylm.model.surgery import without_layer


@dataclass(frozen=True)
class LayerSkip(Evaluator):
    """Importance of a layer: the bits a byte that text costs more when the stream passes the layer by.

    Tang et al. 2024 (PanGu-pi Pro, arXiv 2402.02791), where it is the drop of a metric when the layer is skipped. The
    text is of the tune split, because layers are chosen by it.

    Scores: ``skip_00``, ``skip_01``, ...: bits a byte above the whole model's, a layer each. From 3 layers on
    ``skip_ends_over_middle``: the mean of the first and the last minus that of the others, above 0 where the curve is
    high at its ends (the paper's U) or at one of them: which, the layers' own scores tell.

    Args:
        split: which documents.
        at_most: documents scored, evenly spread over the split; None: all. Each is read once for every layer and
            once whole.
        rows: tokens read in one forward.
    """

    name: ClassVar[str] = "layer_skip"
    version: ClassVar[str] = "1"

    split: Literal["train", "tune", "test"] = "tune"
    at_most: int | None = 16
    rows: int = 4096

    def __call__(self, subject: Subject) -> Scores:
        """Score the documents without each layer in turn.

        Raises:
            UserError: the split holds no text.
        """
        bits = BitsPerByte(split=self.split, at_most=self.at_most, rows=self.rows)
        whole = bits(subject).scalars["bits_per_byte"]
        scalars = {}
        for layer in range(len(subject.model.layers())):
            with without_layer(subject.model, layer):
                scalars[f"skip_{layer:02d}"] = bits(subject).scalars["bits_per_byte"] - whole
        lost = list(scalars.values())
        if len(lost) > 2:
            scalars["skip_ends_over_middle"] = fmean([lost[0], lost[-1]]) - fmean(lost[1:-1])
        return Scores(scalars)
