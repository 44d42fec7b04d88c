"""Reading piece by piece equals reading at once, for every variant; what is drawn follows from it."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_variants import build, each_case
from tiny_model import SHAPE, random_batch, tiny_model, with_shape
from torch import Tensor

from tinylm.batch import Batch
from tinylm.errors import UserError
from tinylm.evaluate.generate import distribution, generate
from tinylm.model import kernel
from tinylm.model.attention.window import Window
from tinylm.model.cache import Cache
from tinylm.model.experts import Experts
from tinylm.model.ffn.moe import MoE
from tinylm.model.ffn.series import Series
from tinylm.model.lm import LanguageModel
from tinylm.model.position.alibi import ALiBi
from tinylm.model.position.learned import Learned

T = 20


def in_pieces(model: LanguageModel, batch: Batch, cuts: list[int], cache: Cache) -> Tensor:
    """Logits (B, T, V) of a batch that is read in pieces of so many tokens."""
    logits, at = [], 0
    for size in cuts:
        piece = slice(at, at + size)
        documents = None if batch.document_BT is None else batch.document_BT[:, piece]
        read = Batch(batch.ids_BT[:, piece], batch.targets_BT[:, piece], document_BT=documents)
        logits.append(model.head(model(read, cache=cache).hidden_BTD))
        at += size
    assert at == batch.ids_BT.shape[1]
    return torch.cat(logits, dim=1)


@each_case
@torch.no_grad()
def test_read_in_pieces_as_at_once(slot: str, name: str, other: dict[str, Any]) -> None:
    """Whole rows, rows padded on the left, and packed documents; token by token and in larger pieces."""
    if (slot, name) == ("attention", "window"):
        other = {"window": 5}
    model = build(slot, name, other).eval()
    assert model.causal
    padded = (torch.arange(T) < torch.tensor([[0], [7], [12]])).long()
    packed = torch.tensor([[0] * 7 + [1] * 12 + [2], [3] * 1 + [4] * 15 + [9] * 4, [0] * T])
    for documents in (None, padded, packed):
        batch = random_batch(3, T, document_BT=documents)
        whole = model.head(model(batch).hidden_BTD)
        for cuts, room in (([1] * T, T), ([13] + [1] * 7, 0), ([4, 1, 9, 6], T)):
            cache = Cache(room)
            found = in_pieces(model, batch, cuts, cache)
            assert cache.length == T
            assert (found - whole).abs().max() <= 1e-5 * whole.abs().max(), (documents, cuts)


@pytest.mark.parametrize("position", [ALiBi, Learned])
@torch.no_grad()
def test_the_fused_kernel_reads_pieces_too(position: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "PLAIN_UP_TO_EAGERLY", 0)
    for documents in (None, (torch.arange(T) < torch.tensor([[0], [7]])).long()):
        model, batch = tiny_model(position=position), random_batch(2, T, document_BT=documents)
        found = in_pieces(model, batch, [6, 1, 8, 5], Cache())
        torch.testing.assert_close(found, model.head(model(batch).hidden_BTD), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_one_prefix_goes_on_in_many_ways() -> None:
    """Continuations of unequal length after a prefix read once: what pads them on the right touches nothing."""
    model = tiny_model(attention=lambda shape, layer: Window(shape, layer, 4))
    prefix = random_batch(1, 9).ids_BT
    ways = [[1, 2, 3, 4, 5], [6], [7, 8, 9]]
    cache = Cache()
    model(Batch(prefix, prefix), cache=cache)
    held = cache.bytes
    ids_BT = torch.tensor([way + [0] * (5 - len(way)) for way in ways])
    together = model(Batch(ids_BT, ids_BT), cache=cache.rows(torch.zeros(3, dtype=torch.int64))).hidden_BTD
    assert (cache.length, cache.bytes) == (9, held)
    for row, way in zip(together, ways, strict=True):
        alone = torch.cat((prefix, torch.tensor([way])), dim=1)
        expected = model(Batch(alone, alone)).hidden_BTD[0, 9:]
        torch.testing.assert_close(row[: len(way)], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_window_holds_no_more_than_it_sees() -> None:
    model = tiny_model(with_shape(depth=1), attention=lambda shape, layer: Window(shape, layer, 4))
    cache, sizes = Cache(), set()
    for id in range(60):
        model(Batch(torch.tensor([[id]]), torch.tensor([[id]])), cache=cache)
        sizes.add(cache.bytes)
    assert max(sizes) <= (2 * 3 + 1) * SHAPE.kv_heads * SHAPE.head_dim * 2 * 4  # 3 held, as many again, and the new one


def slow(model: LanguageModel, prompt: list[int], tokens: int, choose: Any, context: int | None = None) -> list[int]:
    """One forward a token over the window that bits per byte would score it in."""
    ids, context = list(prompt), context or model.shape.context
    while len(ids) < len(prompt) + tokens:
        half = context // 2
        start = max(0, math.ceil((len(ids) - context) / half) * half)
        read = torch.tensor([ids[start:]])
        ids.append(choose(model.head(model(Batch(read, read)).hidden_BTD[0, -1])))
    return ids[len(prompt) :]


SLOTS: list[dict[str, Any]] = [
    {},
    {"position": Learned, "attention": lambda shape, layer: Window(shape, layer, 6)},
    {"position": ALiBi, "ffn": lambda shape, layer: Series(shape, layer, kernel=3)},
]


@pytest.mark.parametrize("slots", SLOTS)
@torch.no_grad()
def test_generated_text_is_the_slow_reference_s(slots: dict[str, Any]) -> None:
    """Ragged prompts, some beyond the context, that grow past it; greedy and drawn."""
    model = tiny_model(with_shape(context=12), std=0.2, **slots).eval()
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(61, (length,), generator=generator).tolist() for length in (1, 5, 12, 13, 40)]
    found = generate(model, prompts, tokens=16)
    for prompt, own in zip(prompts, found, strict=True):
        assert own == slow(model, prompt, 16, lambda logits_V: int(logits_V.argmax()))
    options: dict[str, Any] = {"temperature": 0.7, "top_k": 20, "top_p": 0.9}
    drawn = generate(model, prompts, tokens=16, seeds=[5, 6, 7, 8, 9], **options)
    for seed, prompt, own in zip((5, 6, 7, 8, 9), prompts, drawn, strict=True):
        of_seed = torch.Generator().manual_seed(seed)

        def choose(logits_V: Tensor, of_seed: torch.Generator = of_seed) -> int:
            return int(torch.multinomial(distribution(logits_V[None], **options)[0], 1, generator=of_seed))

        assert own == slow(model, prompt, 16, choose)
        assert own == generate(model, [prompt], tokens=16, seeds=[seed], **options)[0]


@pytest.mark.parametrize("window", [6, 20])
@torch.no_grad()
def test_a_window_of_another_length_is_read_whole(window: int) -> None:
    model = tiny_model(with_shape(context=12), std=0.2).eval()
    prompts = [list(range(length)) for length in (3, 13, 40)]
    for prompt, own in zip(prompts, generate(model, prompts, tokens=16, window=window), strict=True):
        assert own == slow(model, prompt, 16, lambda logits_V: int(logits_V.argmax()), window)


def test_ends_and_refusals() -> None:
    model = tiny_model().train()
    prompts = [[1], [2, 3, 4], [5, 6]]
    whole = generate(model, prompts, tokens=12)
    assert model.training
    assert [len(own) for own in whole] == [12] * 3
    end = whole[1][4]
    stopped = generate(model, prompts, tokens=12, stop=[end])
    assert stopped == [own[: own.index(end)] if end in own else own for own in whole]
    halted = generate(model, prompts, tokens=12, until=lambda ids: ids[-1] == end)
    assert halted == [own[: own.index(end) + 1] if end in own else own for own in whole]
    banned = generate(model, prompts, tokens=12, never=[end], temperature=1.0)
    assert not any(end in own for own in banned)
    assert generate(model, prompts, tokens=0) == [[], [], []]
    assert generate(model, [], tokens=3) == []
    for wrong, named in (
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ):
        with pytest.raises(UserError, match=named):
            generate(model, prompts, tokens=2, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="prompt 1 has no ids"):
        generate(model, [[1], []], tokens=2)
    sees_all = tiny_model()
    for block in sees_all.layers():
        block.ffn.causal_eval = False
    with pytest.raises(UserError, match="later ones"):
        generate(sees_all, prompts, tokens=2)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.floats(0.05, 0.999), st.sampled_from([0.3, 1.0, 2.5]), st.sampled_from([None, 1, 4, 99])
)
def test_the_nucleus_is_the_smallest_set_that_holds_p(seed: int, p: float, temperature: float, k: int | None) -> None:
    logits_BV = torch.randn(3, 17, generator=torch.Generator().manual_seed(seed)).double() * 3
    whole_BV = distribution(logits_BV, temperature, k)
    exact_BV = (logits_BV / temperature).softmax(-1)
    assert ((whole_BV > 0).sum(-1) == min(k or 17, 17)).all()
    for whole_V, exact_V, cut_V in zip(whole_BV, exact_BV, distribution(logits_BV, temperature, k, p), strict=True):
        kept = cut_V > 0
        assert whole_V[kept].sum() >= p - 1e-9
        assert whole_V[kept].sum() - whole_V[kept].min() < p + 1e-9  # without the least of them it would be less
        assert not (~kept).any() or whole_V[~kept].max() <= whole_V[kept].min()
        for full_V, part_V in ((exact_V, whole_V), (whole_V, cut_V)):  # what is kept keeps its proportions
            torch.testing.assert_close(part_V, (full_V * (part_V > 0)) / full_V[part_V > 0].sum())


def test_experts_are_rounded_once_for_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(ffn=lambda shape, layer: MoE(shape, layer, experts=4), std=0.2)
    rounded, fetch = list[torch.dtype](), Experts.fetch

    def counted(experts: Experts, dtype: torch.dtype) -> dict[str, Tensor]:
        rounded.append(dtype)
        return fetch(experts, dtype)

    def written() -> list[list[int]]:
        rounded.clear()
        with torch.autocast("cpu", torch.bfloat16):
            return generate(model, [[1, 2, 3]], tokens=12)

    monkeypatch.setattr(Experts, "fetch", counted)
    for _ in range(2):
        quick = written()
        assert rounded == [torch.bfloat16] * len(model.layers())
        with monkeypatch.context() as patch:
            patch.setattr("tinylm.evaluate.generate.held", lambda model: nullcontext())
            assert written() == quick
            assert len(rounded) == 12 * len(model.layers())
        for parameter in model.parameters():  # the next text is written by the weights that are there then
            parameter.data.normal_(0, 0.2)
