"""How far a model is from the text's own law."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tinylm.data.document import Span
from tinylm.errors import UserError
from tinylm.evaluate.bits import cut, scored, spread
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject, Text

Law = Callable[[str], Sequence[Span]]
MIXED = "mixed"  # where a token reaches from a span of one kind into one of another


@dataclass(frozen=True)
class Piece:
    """A stretch of a document that begins and ends with a span and with a token.

    model, law: its bits under either.  span: the span that it is, where it is one alone.
    """

    kind: str
    bytes: int
    model: float
    law: float
    span: Span | None


@dataclass(frozen=True)
class Floor(Evaluator):
    """A model's bits beside those of the law that the text was drawn from, on the same documents.

    The law's bits are the least that any model can have on average (Shannon 1948; the difference is a Kullback-Leibler
    divergence, per kind too, for the kind of a span follows from what stands before it). The difference is paired by
    document, which takes away most of what documents differ by.

    Scores: ``floor_bits_per_byte``, of the law; ``gap_to_floor``, the model's minus the law's, and its standard error
    over documents ``gap_to_floor_error`` (of a ratio of sums, by linearisation). For each kind of span
    ``floor_bits_per_byte/<kind>`` and ``gap_to_floor/<kind>``: its part of these numbers, so that the parts add up;
    ``bytes_share/<kind>``, its part of the bytes. Where tokens reach across kinds their stretch is of kind ``mixed``.
    Where something has to be known by heart: ``fact_bits``, what all of it is worth, and ``fact_bits_stored``, how much
    of that the model knows: the sum over facts of what one costs whoever never learned it, minus what it costs the
    model (the part of values in the bit complexity of Allen-Zhu and Li 2024, arXiv 2404.05405, theorem 3.2). Each
    mention counts by one over its frequency, so that all facts count alike. ``fact_bits_per_parameter``: by all of the
    model's parameters.

    Items: a document's place in the split, bytes, bits, floor_bits.

    Args:
        split: which documents.
        at_most: documents scored, evenly spread over the split; None: all.
        rows: tokens read in one forward.
    """

    name: ClassVar[str] = "floor"
    version: ClassVar[str] = "1"
    needs_law: ClassVar[bool] = True

    split: Literal["train", "tune", "test"] = "test"
    at_most: int | None = None
    rows: int = 4096

    def __call__(self, subject: Subject) -> Scores:
        """Score the documents.

        Raises:
            UserError: the text's law is not known, or the split holds no text.
        """
        if subject.floor is None:
            raise UserError("evaluate=floor: the probabilities of this text are not known; take data=world")
        documents = subject.documents(self.split)
        picked = spread(len(documents), self.at_most)
        texts = [Text(*documents[index]) for index in picked]
        if not sum(text.bytes for text in texts):
            raise UserError(f"the {self.split} split holds no text to score; give it a larger fraction or more text")
        bits_NT = _token_bits(subject, texts, self.rows)
        pieces_N = [
            list(_pieces(subject, text, bits_T, subject.floor)) for text, bits_T in zip(texts, bits_NT, strict=True)
        ]
        model_N = np.array([sum(piece.model for piece in pieces) for pieces in pieces_N])
        law_N = np.array([sum(piece.law for piece in pieces) for pieces in pieces_N])
        bytes_N = np.array([text.bytes for text in texts])
        total, every = int(bytes_N.sum()), [piece for pieces in pieces_N for piece in pieces]
        gap = float((model_N - law_N).sum() / total)
        scalars = {
            "floor_bits_per_byte": float(law_N.sum() / total),
            "gap_to_floor": gap,
        }
        if len(texts) > 1:
            scalars["gap_to_floor_error"] = _error(model_N - law_N - gap * bytes_N, total)
        for kind in sorted({piece.kind for piece in every}):
            own = [piece for piece in every if piece.kind == kind]
            scalars[f"floor_bits_per_byte/{kind}"] = sum(piece.law for piece in own) / total
            scalars[f"gap_to_floor/{kind}"] = sum(piece.model - piece.law for piece in own) / total
            scalars[f"bytes_share/{kind}"] = sum(piece.bytes for piece in own) / total
        items: dict[str, list[Any]] = {
            "document": [int(index) for index in picked],
            "bytes": bytes_N.tolist(),
            "bits": model_N.tolist(),
            "floor_bits": law_N.tolist(),
        }
        size = sum(parameter.numel() for parameter in subject.model.parameters())
        return Scores(scalars | _stored(every, size), items)


def _token_bits(subject: Subject, texts: Sequence[Text], rows: int) -> list[np.ndarray]:
    """Bits of each token of each text, its end left out."""
    bits_NT = [np.zeros(len(text.ids) - 1) for text in texts]
    windows = cut([len(bits_T) for bits_T in bits_NT], subject.context)
    for document_M, place_M, nats_M in scored(subject, texts, windows, rows):
        for document, place, nats in zip(document_M, place_M, nats_M, strict=True):
            bits_NT[document][place] = nats / math.log(2)
    return [bits_T[:-1] for bits_T in bits_NT]


def _pieces(subject: Subject, text: Text, bits_T: np.ndarray, floor: Law) -> Iterator[Piece]:
    """The finest pieces of a document in whose ends tokens and spans agree."""
    ids = [int(index) for index in text.ids[1:-1]]
    spans: list[Span] = list(floor(subject.tokenizer.decode(ids)))
    size = {index: len(subject.tokenizer.decode([index])) for index in set(ids)}  # the texts of a law are ASCII
    token, at = 0, 0
    first, begin, begin_token = 0, 0, 0
    for number, span in enumerate(spans):
        while at < span.stop:
            at += size[ids[token]]
            token += 1
        if at != span.stop:
            continue
        own = spans[first : number + 1]
        yield Piece(
            kind=own[0].kind if len({one.kind for one in own}) == 1 else MIXED,
            bytes=at - begin,
            model=float(bits_T[begin_token:token].sum()),
            law=sum(one.bits for one in own),
            span=own[0] if len(own) == 1 else None,
        )
        first, begin, begin_token = number + 1, at, token


def _error(residual_N: np.ndarray, total: int) -> float:
    """Standard error of a ratio of sums over documents, from what each adds to it beyond its share."""
    return float(residual_N.std(ddof=1) * math.sqrt(len(residual_N)) / total)


def _stored(pieces: Sequence[Piece], parameters: int) -> dict[str, float]:
    """Bits known by heart, and how many there are to know."""
    mentions = [
        (piece.model, piece.span.unknown, piece.span.mention)
        for piece in pieces
        if piece.span is not None and piece.span.unknown is not None and piece.span.mention is not None
    ]
    if not mentions:
        return {}
    stored = sum((unknown - model) / share for model, unknown, share in mentions) / len(mentions)
    return {
        "fact_bits": sum(unknown / share for _, unknown, share in mentions) / len(mentions),
        "fact_bits_stored": stored,
        "fact_bits_per_parameter": stored / parameters,
    }
