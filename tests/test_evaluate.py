"""Bits per byte against a slow and obvious reference, and text drawn from a model."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import tiny_model, with_shape
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tinylm.batch import Batch
from tinylm.compose.rehearsal import rehearse
from tinylm.data.corpus.probe import Probe
from tinylm.data.task.induction import Induction
from tinylm.errors import UserError
from tinylm.evaluate.bits import BitsPerByte, cut, spread
from tinylm.evaluate.effective_dimension import EffectiveDimension, components
from tinylm.evaluate.evaluator import Scores, Subject, Text
from tinylm.evaluate.extrapolation import Extrapolation, ending
from tinylm.evaluate.floor import Floor
from tinylm.evaluate.generate import following, generate
from tinylm.evaluate.harness.likelihood import likelihoods
from tinylm.evaluate.int8 import Int8, nearest, rounded, sizes
from tinylm.evaluate.latency import Latency, LiveBytes, pace
from tinylm.evaluate.layer_skip import LayerSkip
from tinylm.evaluate.probes import Probes
from tinylm.evaluate.routing import Routing
from tinylm.evaluate.sample import samples
from tinylm.model.accounting import flops_per_token
from tinylm.model.attention.window import Window
from tinylm.model.context import Context
from tinylm.model.ffn.expert_choice import ExpertChoice
from tinylm.model.ffn.moe import MoE
from tinylm.model.ffn.random_routed import RandomRouted
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.position.alibi import ALiBi
from tinylm.model.position.learned import Learned
from tinylm.model.position.none import NoPosition
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Side

CONTEXT = 8
MODEL = tiny_model(with_shape(vocab=258, context=CONTEXT))


class ByteVocabulary:
    """A token is a byte."""

    bos, eos = 256, 257
    bytes_V = np.array([1] * 256 + [0, 0])

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


@pytest.mark.parametrize(
    ("name", "evaluator"),
    [
        ("bits", BitsPerByte),
        ("latency", Latency),
        ("int8", Int8),
        ("effective_dimension", EffectiveDimension),
        ("layer_skip", LayerSkip),
        ("routing", Routing),
        ("floor", Floor),
    ],
)
def test_yaml_states_the_defaults(name: str, evaluator: type) -> None:
    node = yaml.safe_load((Path(__file__).parents[1] / f"conf/evaluate/{name}.yaml").read_text(encoding="utf-8"))
    assert node[name].pop("_target_") == f"{evaluator.__module__}.{evaluator.__name__}"
    parameters = inspect.signature(evaluator).parameters
    assert node == {name: {key: parameter.default for key, parameter in parameters.items()}}


def idle(model: LanguageModel, layer: int) -> None:
    """Make a block add nothing to the stream."""
    with torch.no_grad():
        model.layers()[layer].attention.o.weight.zero_()
        model.layers()[layer].ffn.down.weight.zero_()


def test_an_idle_layer_is_worth_nothing_and_no_other() -> None:
    model = tiny_model(with_shape(vocab=258, context=CONTEXT, depth=3))
    idle(model, 1)
    of = replace(subject(b"abc def ghi", b"more of it, longer than a window"), model=model)
    scalars = LayerSkip(at_most=None)(of).scalars
    assert list(scalars) == ["skip_00", "skip_01", "skip_02", "skip_ends_over_middle"]
    assert scalars["skip_ends_over_middle"] == pytest.approx((scalars["skip_00"] + scalars["skip_02"]) / 2)
    assert scalars["skip_01"] == 0
    assert abs(scalars["skip_00"]) > 1e-3
    assert abs(scalars["skip_02"]) > 1e-3
    assert len(model.layers()) == 3


def test_effective_dimension_counts_the_directions_that_are_there() -> None:
    model = tiny_model(with_shape(vocab=258, context=CONTEXT))
    idle(model, 0)
    idle(model, 1)
    texts = [bytes(range(place, place + 10)) for place in range(0, 250, 10)]  # of 12 ids: windows of 8 and of 4
    of = replace(subject(*texts), model=model)
    with torch.no_grad():
        model.embedding.weight[:, 3:] = 0  # the stream is the embedding: three directions of alike variance
        model.embedding.weight[:, :3] = torch.linalg.qr(torch.randn(258, 3)).Q
    scalars = EffectiveDimension(share=0.99)(of).scalars
    assert scalars["effective_dimension_00"] == scalars["effective_dimension_01"] == scalars["effective_dimension"] == 3
    assert EffectiveDimension(share=0.3)(of).scalars["effective_dimension_00"] == 1
    ids = [part for text in texts for part in ([256, *text[:7]], [*text[7:], 257])]
    windows = [model.embedding.weight[part].detach().double() for part in ids]
    expected = np.mean([np.linalg.norm(window - window.mean(0), "fro") for window in windows])
    assert scalars["diversity_01"] == pytest.approx(expected, rel=1e-5)
    read: list[int] = []
    hook = model.embedding.register_forward_hook(lambda module, given, gave: read.append(given[0].numel()))
    EffectiveDimension(tokens=3 * CONTEXT)(of)
    hook.remove()
    assert len(read) == 3
    with torch.no_grad():
        model.embedding.weight[:] = 1.0
    alike = EffectiveDimension()(of).scalars
    assert alike["effective_dimension_00"] == alike["diversity_00"] == 0
    with pytest.raises(UserError, match="share is 0"):
        EffectiveDimension(share=0.0)(of)
    with pytest.raises(UserError, match="holds no text"):
        EffectiveDimension()(subject())


def test_components_hold_the_share() -> None:
    covariance_DD = torch.diag(torch.tensor([1.0, 5.0, 3.0, 1.0]).double())
    assert [components(covariance_DD, share) for share in (0.5, 0.51, 0.8, 0.81, 1.0)] == [1, 2, 2, 3, 4]


def test_live_bytes_follow_what_lives() -> None:
    with torch.no_grad(), LiveBytes() as live:
        first = torch.zeros(1000)
        second = first + 1
        seen = second.view(10, 100)  # no bytes of its own
        del first, second
        assert live.now == 4000
        third = seen * 2
        del seen
        fourth = third[:500].clone()
        assert (live.now, live.peak) == (8000, 8000)
        del third, fourth
        assert live.now == 0


def test_latency_is_the_median_and_memory_repeats_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    of = subject(b"abc")
    decode, first, prefill = [3.0, 1.0, 2.0], [6.0, 4.0, 8.0], [5.0, 4.0, 7.0]
    texts = zip([100.0, 100.0, *first], [100.0, 100.0, *decode], strict=True)  # that for memory, and one to warm up
    clock = iter([t for a, b in texts for t in (0.0, a, a + b)] + [t for a in (100.0, *prefill) for t in (0.0, a, a)])
    with monkeypatch.context() as patched:
        patched.setattr("tinylm.evaluate.latency.time.perf_counter", lambda: next(clock))
        scalars = Latency(prompt=3, tokens=4, repeats=3)(of).scalars
    assert next(clock, None) is None
    assert scalars["decode_ms_per_token"] == 500
    assert scalars["decode_tokens_per_second"] == 2
    assert scalars["time_to_first_token_ms"] == 6000
    assert scalars["prefill_tokens_per_second"] == CONTEXT / 5
    assert scalars["latency_threads"] == torch.get_num_threads()
    shape, peak = MODEL.shape, scalars["decode_peak_mib"]
    assert scalars["cache_mib"] * 2**20 == 2 * shape.depth * CONTEXT * shape.kv_heads * shape.head_dim * 4
    assert Latency(prompt=3, tokens=4, repeats=1)(of).scalars["decode_peak_mib"] == peak
    weights = sum(parameter.nbytes for parameter in MODEL.parameters()) / 2**20
    assert scalars["model_mib_fp32"] == 2 * scalars["model_mib_bf16"] == weights
    assert Latency(prompt=4, tokens=4, repeats=1)(of).scalars["decode_peak_mib"] > peak > weights
    with pytest.raises(UserError, match=r"latency\.tokens is 0"):
        Latency(tokens=0)(of)


def test_the_cache_is_faster_than_reading_all_again() -> None:
    """In operations that are counted, so that no other program's work is in them."""
    model = tiny_model(with_shape(context=64), position=NoPosition).eval()
    with FlopCounterMode(display=False) as cached, torch.no_grad():
        generate(model, [list(range(20))], tokens=30)
    with FlopCounterMode(display=False) as each, torch.no_grad():
        for size in range(20, 50):
            following(model, [[0] * size])
    once = flops_per_token(model, 1)
    assert cached.get_total_flops() < 0.1 * each.get_total_flops()
    assert cached.get_total_flops() > 49 * (once["forward"] - once["head"])
    seconds = pace(model, list(range(20)), 3)
    assert len(seconds) == 2
    assert min(seconds) > 0


def test_int8_rows_have_their_own_scale_and_all_comes_back() -> None:
    texts = [b"a document of bytes", b"another, a good deal longer than a window"]
    shape = with_shape(vocab=258, context=CONTEXT)
    model = tiny_model(shape, ffn=partial(MoE, experts=3, k=1))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    of = replace(subject(*texts), model=model)
    exact, scores = BitsPerByte()(of).scalars, Int8()(of)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    lost = scores.scalars["int8_bits_per_byte"] - exact["bits_per_byte"]
    assert scores.scalars["int8_bits_lost"] == lost
    assert 0 < abs(lost) < 0.05
    with rounded(model):
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                assert torch.equal(parameter, before[name]), name
                continue
            scale = before[name].abs().amax(-1, keepdim=True) / 127.5
            steps = parameter / scale
            torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
            assert ((parameter - before[name]).abs() <= 0.5001 * scale).all(), name
    found = sizes(model)
    rows = {name: value.numel() // value.shape[-1] for name, value in before.items() if value.dim() > 1}
    vectors = sum(value.numel() for value in before.values() if value.dim() == 1)
    numbers = sum(value.numel() for value in before.values()) - vectors
    assert found["int8"] == numbers + 4 * sum(rows.values()) + 4 * vectors


def test_int8_is_that_of_torchao() -> None:
    tensors = pytest.importorskip("torchao.quantization.quantize_.workflows.int8.int8_tensor")
    granularity = pytest.importorskip("torchao.quantization.granularity")
    weight = torch.randn(40, 24, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 40)[:, None]
    theirs = tensors.Int8Tensor.from_hp(weight, granularity.PerRow()).dequantize()
    torch.testing.assert_close(nearest(weight), theirs, rtol=1e-6, atol=0)


def test_sampling() -> None:
    vocabulary = ByteVocabulary()

    def draw(**options: float | None) -> str:
        return samples(MODEL, vocabulary, ["héllo"], tokens=30, **options)[0][0]  # type: ignore[arg-type]

    assert draw(seed=3) == draw(seed=3) != draw(seed=4)
    assert draw(seed=3).startswith("héllo")
    greedy = draw(temperature=0)
    assert draw(seed=5, top_k=1) == draw(seed=6, top_k=1, temperature=9.0) == greedy
    assert samples(MODEL, vocabulary, ["abc"], tokens=0) == [["abc"]]
    several = samples(MODEL, vocabulary, ["héllo", "x"], number=3, tokens=30, seed=3)
    assert [len(own) for own in several] == [3, 3]
    assert several[0][0] == draw(seed=3)
    assert len(set(several[0])) == 3
    assert several[1] == samples(MODEL, vocabulary, ["x"], number=3, tokens=30, seed=3)[0]
    for wrong in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            draw(**wrong)


def test_routing_tells_where_text_goes_and_what_training_leaks() -> None:
    shape = with_shape(vocab=258, context=CONTEXT, domains=("code", "prose"))
    texts = [bytes(range(place, place + 12)) for place in range(0, 240, 12)]

    def scores(ffn: Any) -> Scores:
        of = subject(*texts)
        documents = [Text(text.ids, text.bytes, number % 2) for number, text in enumerate(of.documents("tune"))]
        model = tiny_model(shape, ffn=ffn)
        before = {name: parameter.clone() for name, parameter in model.named_parameters()}
        found = Routing()(replace(of, model=model, documents=lambda split: documents, domains=shape.domains))
        assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
        return found

    grouped = scores(partial(RandomRouted, groups={"code": 2, "prose": 3}))
    assert grouped.scalars == {"mode_gap": 0.0, "leak": 0.0}
    assert grouped.items is not None
    share = {key: value for *key, value in zip(*grouped.items.values(), strict=True) for key in [tuple(key)]}
    assert len(share) == 2 * 2 * 5  # layers, domains, experts
    for layer in (0, 1):
        assert sum(share[layer, "code", expert] for expert in (0, 1)) == pytest.approx(1)
        assert sum(share[layer, "prose", expert] for expert in (2, 3, 4)) == pytest.approx(1)
    chosen = scores(ExpertChoice).scalars
    assert chosen["leak"] > 0.2
    assert abs(chosen["mode_gap"]) > 1e-3
    assert scores(MoE).scalars == pytest.approx({"mode_gap": 0.0, "leak": 0.0}, abs=1e-5)
    assert scores(SwiGLU).items == {"layer": [], "domain": [], "expert": [], "share": []}


def test_every_length_scores_the_same_text() -> None:
    lengths = [33, 40, 57]
    tiles = []
    for factor in (1, 2, 4):
        windows = ending(lengths, 8, factor, 4)
        assert (windows.stop_N - windows.start_N == 8 * factor).all()
        assert windows.start_N.min() == 32 - 8 * factor
        spans = zip(windows.document_N, windows.first_N, windows.stop_N, strict=True)
        tiles.append([(document, place) for document, first, stop in spans for place in range(first, stop)])
    assert tiles[0] == tiles[1] == tiles[2]
    assert len(set(tiles[0])) == len(tiles[0])
    assert {place for document, place in tiles[0] if document == 2} == set(range(28, 56))  # 56 is the document's end


@torch.no_grad()
def test_bits_with_more_text_in_view() -> None:
    text = bytes(np.random.default_rng(0).integers(97, 123, 70, dtype=np.uint8))

    def told(**slots: Any) -> Scores:
        model = tiny_model(with_shape(vocab=258, context=CONTEXT), **slots)
        return Extrapolation()(replace(subject(text, b"short"), model=model))

    model = tiny_model(with_shape(vocab=258, context=CONTEXT), position=ALiBi)
    found = Extrapolation()(replace(subject(text, b"short"), model=model))
    for factor in (1, 2, 4):
        ids = [256, *text, 257]
        bits = []
        for stop in range(4 * CONTEXT, 71, CONTEXT // 2):
            read = torch.tensor([ids[stop - factor * CONTEXT : stop]])
            scores = model.head(model(Batch(read, read)).hidden_BTD)[0].log_softmax(-1)
            last = range(stop - CONTEXT // 2 + 1, stop + 1)
            bits += [-float(scores[at - stop - 1, ids[at]]) / math.log(2) for at in last]
        assert found.scalars[f"extrapolation_bits_{factor * CONTEXT:04d}"] == pytest.approx(np.mean(bits), rel=1e-4)
    assert found.items is not None
    assert found.items["bytes"] == [len(bits)]
    assert abs(found.scalars["extrapolation_4"]) > 1e-3

    # What sees no further than half a window, relative to itself, is the same however much is in view.
    near = told(attention=partial(Window, window=2), position=ALiBi)  # two layers: two tokens back
    assert [near.scalars[f"extrapolation_{factor}"] for factor in (2, 4)] == pytest.approx([0, 0], abs=1e-5)

    fixed = told(position=Learned)
    assert fixed.scalars.keys() == {"extrapolation_bits_0008", "extrapolation_documents"}
    assert len(fixed.notes) == 2
    nothing = Extrapolation(factors=[16])(replace(subject(text), model=model))
    assert not nothing.scalars
    assert "128 tokens" in nothing.notes[0]


class Peeking(FFN):
    """A feed-forward that adds the mean of the whole row to each token, in evaluation too."""

    causal_train, causal_eval = False, False

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(shape.width, shape.width))

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        return (x_BTD + x_BTD.mean(1, keepdim=True)) @ self.weight, Side()

    def flops_per_token(self) -> float:
        return 2.0 * self.weight.numel()


def test_what_sees_later_tokens_in_evaluation_is_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    said = r"blocks\.0\.ffn \(Peeking\) lets a token see later ones in evaluation too"
    model = tiny_model(MODEL.shape, ffn=Peeking)
    of = replace(subject(b"what is read is known before it is read, and so is no news"), model=model)
    corpus = Probe(Induction([3], words=8), size=200)
    for score in (BitsPerByte(), Int8(), LayerSkip(), Extrapolation(), Probes(corpus, texts=2)):
        with pytest.raises(UserError, match=said):
            score(of)
    with pytest.raises(UserError, match=said):
        likelihoods(model, [([1], [2])], window=8)
    monkeypatch.setenv("TINYLM_ALLOW", __name__.split(".")[0])
    from tests.test_keys import job_of

    line = rehearse(job_of(f"model.ffn._target_={__name__}.Peeking", "shape.parameters=null", "shape.width=64"))
    assert line is not None
    assert re.match(said, line)
    assert "\n" not in line
