"""Bits per byte of held-out text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinylm.batch import IGNORE, Batch
from tinylm.errors import UserError
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject, Text, refuse_foresight

CHUNK = 1024  # tokens whose logits are made at once


@dataclass(frozen=True)
class Windows:
    """The windows of many documents, a row each, as places in the document's targets (its ids but BOS).

    document_N: which document.  start_N, stop_N: what is read.  first_N: from where it is scored, up to ``stop_N``.
    """

    document_N: np.ndarray
    start_N: np.ndarray
    stop_N: np.ndarray
    first_N: np.ndarray


@dataclass(frozen=True)
class BitsPerByte(Evaluator):
    """Bits of a document's text under the model, over its UTF-8 bytes; the sum of bits over the sum of bytes.

    Each document is read alone, from BOS. A window is ``context`` tokens, the next begins half a window later and
    scores what the one before did not reach: every token is scored once, from the second window on with at least half
    a window of text before it. The bits of the end-of-document token are kept apart.

    Scores, each after ``prefix``: ``bits_per_byte``; ``loss``, nats a token of text (``test_loss`` without a prefix);
    ``end_of_document_bits``, a document's mean; ``documents``; ``bytes``; where texts are of several domains
    ``bits_per_byte/<domain>``, of each that has text among those scored. Items: a document's place in the split,
    domain, bits, bytes, end_bits and tokens (of text).

    Args:
        split: which documents.
        at_most: documents scored, evenly spread over the split; None: all.
        prefix: stands before the names of the scores.
        rows: tokens read in one forward.
    """

    name: ClassVar[str] = "bits_per_byte"
    version: ClassVar[str] = "1"

    split: Literal["train", "tune", "test"] = "test"
    at_most: int | None = None
    prefix: str = ""
    rows: int = 4096

    def __call__(self, subject: Subject) -> Scores:
        """Score the documents.

        Raises:
            UserError: the split holds no text, or the model lets a token see later ones in evaluation.
        """
        documents = subject.documents(self.split)
        picked = spread(len(documents), self.at_most)
        texts = [Text(*documents[index]) for index in picked]
        bytes_N = np.array([text.bytes for text in texts], dtype=np.int64)
        if not bytes_N.sum():
            raise UserError(f"the {self.split} split holds no text to score; give it a larger fraction or more text")
        tokens_N = np.array([len(text.ids) - 2 for text in texts], dtype=np.int64)
        nats_N, end_N = np.zeros(len(texts)), np.zeros(len(texts))
        windows = cut([len(text.ids) - 1 for text in texts], subject.context)
        for document_M, place_M, nats_M in scored(subject, texts, windows, self.rows):
            is_end_M = place_M == tokens_N[document_M]
            np.add.at(nats_N, document_M[~is_end_M], nats_M[~is_end_M])
            end_N[document_M[is_end_M]] = nats_M[is_end_M]
        bits_N, end_bits_N = nats_N / math.log(2), end_N / math.log(2)
        scalars = {
            f"{self.prefix}bits_per_byte": float(bits_N.sum() / bytes_N.sum()),
            f"{self.prefix or 'test_'}loss": float(nats_N.sum() / tokens_N.sum()),
            f"{self.prefix}end_of_document_bits": float(end_bits_N.mean()),
            f"{self.prefix}documents": float(len(texts)),
            f"{self.prefix}bytes": float(bytes_N.sum()),
        }
        domain_N = np.array([-1 if text.domain is None else text.domain for text in texts])
        for number, name in enumerate(subject.domains if len(subject.domains) > 1 else ()):
            if size := int(bytes_N[domain_N == number].sum()):
                scalars[f"{self.prefix}bits_per_byte/{name}"] = float(bits_N[domain_N == number].sum() / size)
        items = {
            "document": [int(index) for index in picked],
            "domain": [subject.domain(text.domain) for text in texts],
            "bits": bits_N.tolist(),
            "bytes": bytes_N.tolist(),
            "end_bits": end_bits_N.tolist(),
            "tokens": tokens_N.tolist(),
        }
        return Scores(scalars, items)


def scored(
    subject: Subject, texts: Sequence[Text], windows: Windows, rows: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Batches of scored targets: whose they are, their places in the document, their nats.

    Args:
        rows: tokens read in one forward.

    Raises:
        UserError: the model lets a token see later ones in evaluation.
    """
    refuse_foresight(subject.model)
    length_N = windows.stop_N - windows.start_N
    order = np.argsort(-length_N, kind="stable")  # alike lengths together, so that little is padding
    training = subject.model.training
    subject.model.eval()
    try:
        at = 0
        while at < len(order):
            picked = order[at : at + max(1, rows // int(length_N[order[at]]))]
            at += len(picked)
            yield _forward(subject, texts, windows, picked)
    finally:
        subject.model.train(training)


def _forward(
    subject: Subject, texts: Sequence[Text], windows: Windows, picked: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One forward over the picked windows."""
    start_B, stop_B, first_B = windows.start_N[picked], windows.stop_N[picked], windows.first_N[picked]
    place_BT = start_B[:, None] + np.arange((stop_B - start_B).max())
    ids_BT = np.full(place_BT.shape, subject.tokenizer.eos, dtype=np.int64)  # what pads is never scored
    targets_BT = np.full(place_BT.shape, IGNORE, dtype=np.int64)
    for row, (document, start, stop) in enumerate(zip(windows.document_N[picked], start_B, stop_B, strict=True)):
        read = texts[document].ids[start : stop + 1].astype(np.int64)
        ids_BT[row, : stop - start] = read[:-1]
        targets_BT[row, : stop - start] = read[1:]
    scored_BT = (place_BT >= first_B[:, None]) & (place_BT < stop_B[:, None])

    device = next(subject.model.parameters()).device
    domains = [texts[document].domain for document in windows.document_N[picked]]
    batch = Batch(
        ids_BT=torch.from_numpy(ids_BT),
        targets_BT=torch.from_numpy(targets_BT),
        domain_B=None if None in domains else torch.tensor(domains, dtype=torch.int64),
    ).to(device)
    wanted = torch.from_numpy(scored_BT).to(device)

    def read_nats(head: Callable[[Tensor], Tensor], hidden_BTD: Tensor) -> Tensor:
        return nats(head, hidden_BTD[wanted], batch.targets_BT[wanted])

    autocast = torch.autocast(device.type, torch.bfloat16, enabled=subject.precision == "bf16")
    with torch.inference_mode(), autocast:
        nats_M = subject.model(batch, read=read_nats).read
    document_BT = np.broadcast_to(windows.document_N[picked][:, None], place_BT.shape)
    return document_BT[scored_BT], place_BT[scored_BT], nats_M.double().cpu().numpy()


def nats(head: Callable[[Tensor], Tensor], hidden_MD: Tensor, targets_M: Tensor) -> Tensor:
    """Negative log-likelihood of each target, in fp32, the logits made ``CHUNK`` tokens at a time."""
    return torch.cat(
        [
            functional.cross_entropy(head(rows_MD).float(), wanted_M, reduction="none")
            for rows_MD, wanted_M in zip(hidden_MD.split(CHUNK), targets_M.split(CHUNK), strict=True)
        ]
    )


def token_nats(model: nn.Module, batch: Batch, precision: Literal["bf16", "fp32"]) -> Tensor:
    """Negative log-likelihood (B, T) of every target of a batch, 0 where there is none; nothing is learned."""

    def read(head: Callable[[Tensor], Tensor], hidden_BTD: Tensor) -> Tensor:
        return nats(head, hidden_BTD.flatten(0, 1), batch.targets_BT.flatten())

    with torch.inference_mode(), torch.autocast(batch.ids_BT.device.type, torch.bfloat16, enabled=precision == "bf16"):
        return model(batch, read=read).read.view_as(batch.targets_BT)


def cut(lengths: Sequence[int], context: int) -> Windows:
    """Windows of ``context`` targets over documents of so many, each half a window after the one before.

    The parts that are scored, ``first_N`` to ``stop_N``, tile each document.
    """
    rows: list[tuple[int, int, int, int]] = []
    stride = max(1, context // 2)
    for document, length in enumerate(lengths):
        start = first = 0
        while first < length:
            stop = min(start + context, length)
            rows.append((document, start, stop, first))
            start, first = start + stride, stop
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Windows(table[:, 0], table[:, 1], table[:, 2], table[:, 3])


def standard_error(bits_N: np.ndarray, bytes_N: np.ndarray) -> float | None:
    """Of the bits per byte of N documents, as a sample of more of their kind; None of fewer than two.

    Of a ratio of two sums: Cochran 1977, Sampling Techniques, eq. 6.13 without its factor for a finite population.
    """
    N, total = len(bits_N), bytes_N.sum()
    if N < 2:
        return None
    left_N = bits_N - bits_N.sum() / total * bytes_N
    return float(math.sqrt(N / (N - 1) * np.square(left_N).sum()) / total)


def spread(count: int, at_most: int | None) -> list[int]:
    """Indices of ``at_most`` of ``count`` things, evenly spread; all where there are no more."""
    if at_most is None or at_most >= count:
        return list(range(count))
    return [index * count // at_most for index in range(at_most)]
