"""What text longer than a model was trained on does for it, or to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from tinylm.errors import UserError
from tinylm.evaluate.bits import Windows, scored, spread
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject, Text


@dataclass(frozen=True)
class Extrapolation(Evaluator):
    """Bits per byte of the same text, read with once, twice, four times the trained length in view.

    Press et al. 2021 (arXiv 2108.12409) score all that longer and longer windows hold. Here the scored tokens are the
    same at every length (`ending`), so that a difference is what the added text does; a document's end, and all that
    has less text before it than the longest window holds, are left out.

    Scores: ``extrapolation_bits_0128``: bits a byte with windows of 128 tokens, the trained length; then of its
    multiples. ``extrapolation_2``: those at twice the trained length minus those at the trained one, below 0 where the
    longer text helps. ``extrapolation_documents``. A length that learned positions do not reach has no score, and
    where no document is long enough, none has; a note says so.

    Items: a row a document: its place in the split, bytes scored, bits at each length.

    Args:
        split: which documents.
        at_most: documents scored of those that are long enough, evenly spread; None: all.
        factors: multiples of the trained length, each above 1.
        rows: tokens read in one forward.
    """

    name: ClassVar[str] = "extrapolation"
    version: ClassVar[str] = "1"

    split: Literal["train", "tune", "test"] = "test"
    at_most: int | None = None
    factors: list[int] = field(default_factory=lambda: [2, 4])
    rows: int = 4096

    def __post_init__(self) -> None:
        for factor in self.factors:
            if factor < 2:
                raise UserError(f"evaluate.extrapolation.factors: {factor} is no multiple above 1 of the length")

    def __call__(self, subject: Subject) -> Scores:
        """Score the documents at every length."""
        trained = subject.model.shape.context
        factors = [1, *sorted(set(self.factors))]
        documents = subject.documents(self.split)
        long = [index for index in range(len(documents)) if len(documents[index].ids) > factors[-1] * trained + 1]
        if not long:
            note = (
                f"extrapolation: no document of the {self.split} split has {factors[-1] * trained} tokens; give longer"
                " ones (data.document, data.passage_bytes), or lower batch.context"
            )
            return Scores({}, notes=[note])
        picked = [long[place] for place in spread(len(long), self.at_most)]
        texts = [Text(*documents[index]) for index in picked]
        columns: dict[str, list[Any]] = {"document": picked}
        bits: dict[int, float] = {}
        notes = []
        for factor in factors:
            if factor > 1 and not subject.model.position.any_length:
                notes.append(f"extrapolation: learned positions do not reach {factor} times the trained length")
                continue
            windows = ending([len(text.ids) - 1 for text in texts], trained, factor, factors[-1])
            bits_N, bytes_N = self._sums(subject, texts, windows)
            bits[factor] = float(bits_N.sum() / bytes_N.sum())
            columns |= {"bytes": bytes_N.tolist(), f"bits_{factor}": bits_N.tolist()}
        scalars = {f"extrapolation_bits_{factor * trained:04d}": value for factor, value in bits.items()}
        scalars |= {f"extrapolation_{factor}": value - bits[1] for factor, value in bits.items() if factor > 1}
        return Scores({**scalars, "extrapolation_documents": float(len(texts))}, columns, notes)

    def _sums(self, subject: Subject, texts: list[Text], windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Bits and bytes of what is scored of each text."""
        bits_N, bytes_N = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
        for document_M, place_M, nats_M in scored(subject, texts, windows, self.rows):
            np.add.at(bits_N, document_M, nats_M / math.log(2))
            ids_M = np.array(
                [texts[document].ids[place + 1] for document, place in zip(document_M, place_M, strict=True)]
            )
            np.add.at(bytes_N, document_M, subject.tokenizer.bytes_V[ids_M])
        return bits_N, bytes_N


def ending(lengths: list[int], trained: int, factor: int, largest: int) -> Windows:
    """Windows of ``factor`` x ``trained`` targets, of which the last half of ``trained`` is scored.

    They end at ``largest`` x ``trained`` and from there on at every half of ``trained``, short of the document's end.
    So the same targets are scored whatever ``factor`` is.

    Args:
        lengths: targets of each document, its end included; more than ``largest`` x ``trained``.
    """
    half = max(1, trained // 2)
    rows = [
        (document, stop - factor * trained, stop, stop - half)
        for document, length in enumerate(lengths)
        for stop in range(largest * trained, length, half)
    ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Windows(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
