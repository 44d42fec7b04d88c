"""Bits per byte against a slow and obvious reference, and text drawn from a model."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import tiny_model, with_shape

from tinylm.batch import Batch
from tinylm.errors import UserError
from tinylm.evaluate.bits import BitsPerByte, cut, spread
from tinylm.evaluate.evaluator import Scores, Subject, Text
from tinylm.evaluate.sample import sample

CONTEXT = 8
MODEL = tiny_model(with_shape(vocab=258, context=CONTEXT))


class ByteVocabulary:
    """A token is a byte."""

    bos, eos = 256, 257

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(index for index in ids if index < 256).decode(errors="replace")


def subject(*texts: bytes, precision: str = "fp32") -> Subject:
    documents = [Text(np.array([256, *text, 257], dtype=np.uint16), len(text)) for text in texts]
    return Subject(MODEL, ByteVocabulary(), CONTEXT, lambda split: documents, precision)  # type: ignore[arg-type]


@torch.no_grad()
def slow_bits(text: bytes) -> tuple[float, float]:
    """Bits of a text and of its end, one token at a time."""
    ids = [256, *text, 257]
    bits = []
    for place in range(len(ids) - 1):  # the token that is read last before the scored one
        half = CONTEXT // 2
        start = max(0, math.ceil((place - CONTEXT + 1) / half) * half)  # the first window to reach it
        read = torch.tensor([ids[start : place + 1]])
        logits_V = MODEL.head(MODEL(Batch(read, read)).hidden_BTD[0, -1]).double()
        bits.append(-logits_V.log_softmax(-1)[ids[place + 1]].item() / math.log(2))
    return sum(bits[:-1]), bits[-1]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=6), st.sampled_from([1, 8, 20, 4096]))
def test_bits_equal_the_slow_reference(texts: list[bytes], rows: int) -> None:
    scores = BitsPerByte(rows=rows)(subject(*texts))
    expected = [slow_bits(text) for text in texts]
    assert scores.items is not None
    assert scores.items["bits"] == pytest.approx([bits for bits, _ in expected], rel=1e-5)
    assert scores.items["end_bits"] == pytest.approx([end for _, end in expected], rel=1e-5)
    assert scores.items["bytes"] == scores.items["tokens"] == [len(text) for text in texts]
    total, count = sum(bits for bits, _ in expected), sum(map(len, texts))
    assert scores.scalars == pytest.approx(
        {
            "bits_per_byte": total / count,
            "test_loss": total * math.log(2) / count,
            "end_of_document_bits": sum(end for _, end in expected) / len(texts),
            "documents": len(texts),
            "bytes": count,
        },
        rel=1e-5,
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=6), st.integers(1, 17))
def test_windows_score_every_target_once(lengths: list[int], context: int) -> None:
    windows = cut(lengths, context)
    scored = [
        (int(document), place)
        for document, first, stop in zip(windows.document_N, windows.first_N, windows.stop_N, strict=True)
        for place in range(first, stop)
    ]
    assert scored == [(document, place) for document, length in enumerate(lengths) for place in range(length)]
    assert ((windows.stop_N - windows.start_N) <= context).all()
    later = windows.start_N > 0
    assert (windows.first_N - windows.start_N)[later].min(initial=context) >= context - max(1, context // 2)


def test_split_cap_and_prefix() -> None:
    texts = [bytes([65 + n]) * (n + 1) for n in range(10)]
    asked = []
    whole = subject(*texts)

    def documents(split: str) -> list[Text]:
        asked.append(split)
        return list(whole.documents(split))

    evaluator = BitsPerByte(split="tune", at_most=3, prefix="tune_")
    scores = evaluator(replace(whole, documents=documents))
    assert asked == ["tune"]
    assert scores.items is not None
    assert scores.items["document"] == [0, 3, 6]
    assert set(scores.scalars) == {
        f"tune_{name}" for name in ("bits_per_byte", "loss", "end_of_document_bits", "documents", "bytes")
    }
    assert scores.scalars["tune_bytes"] == 1 + 4 + 7
    assert spread(5, 9) == spread(5, None) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="the test split holds no text"):
        BitsPerByte()(subject())


def test_repeats_exactly_and_leaves_the_model_as_it_was() -> None:
    texts = [b"a document", b"another, a good deal longer than a window", b"x"]

    def score(precision: str) -> Scores:
        return BitsPerByte()(subject(*texts, precision=precision))

    MODEL.train()
    assert score("fp32") == score("fp32")
    assert MODEL.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in MODEL.parameters())
    rounded = score("bf16")
    assert rounded == score("bf16")
    assert rounded != score("fp32")
    assert rounded.scalars["bits_per_byte"] == pytest.approx(score("fp32").scalars["bits_per_byte"], rel=0.03)


def test_yaml_states_the_defaults() -> None:
    node = yaml.safe_load((Path(__file__).parents[1] / "conf/evaluate/bits.yaml").read_text(encoding="utf-8"))
    assert node["bits"].pop("_target_") == "tinylm.evaluate.bits.BitsPerByte"
    parameters = inspect.signature(BitsPerByte).parameters
    assert node == {"bits": {name: parameter.default for name, parameter in parameters.items()}}


def test_sampling() -> None:
    vocabulary = ByteVocabulary()

    def draw(**options: float | None) -> str:
        return sample(MODEL, vocabulary, "héllo", tokens=30, **options)  # type: ignore[arg-type]

    assert draw(seed=3) == draw(seed=3) != draw(seed=4)
    assert draw(seed=3).startswith("héllo")
    greedy = draw(temperature=0)
    assert draw(seed=5, top_k=1) == draw(seed=6, top_k=1, temperature=9.0) == greedy
    assert sample(MODEL, vocabulary, "abc", tokens=0) == "abc"
    for wrong in ({"temperature": -1}, {"top_k": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            draw(**wrong)
