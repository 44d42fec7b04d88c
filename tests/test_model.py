"""Identities of the model: attention against its definition, positions, groups, windows, the solver."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import SHAPE, random_batch, tiny_model, with_shape

from tinylm.batch import Batch
from tinylm.errors import UserError
from tinylm.model import accounting, kernel
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.attention.none import NoAttention
from tinylm.model.attention.window import Window
from tinylm.model.context import Context
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.layer import Layer
from tinylm.model.norm.rms import RMS
from tinylm.model.position.alibi import ALiBi
from tinylm.model.position.none import NoPosition
from tinylm.model.position.rotary import Rotary
from tinylm.model.shape import Shape, ShapeRequest, solve
from tinylm.model.slots import Side
from tinylm.model.softmax_product import softmax_product

PACKED = torch.tensor([[0] * 7 + [1] * 12 + [2], [3] * 1 + [4] * 15 + [9] * 4])


def products(B: int = 2, T: int = 20, H: int = 4, G: int = 2, K: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(B, heads, T, K, generator=generator).requires_grad_() for heads in (H, G, G)]


@pytest.mark.parametrize("documents", [None, PACKED])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("window", [3, 20])
def test_every_kernel_follows_the_definition(
    documents: torch.Tensor | None, biased: bool, groups: int, window: int
) -> None:
    q, k, v = products(G=groups)
    batch = random_batch(2, 20, document_BT=documents)
    mask = Context.of(batch).within(window)
    bias = ALiBi(SHAPE).bias(torch.arange(20)[None]) if biased else None

    expected = torch.zeros_like(q)
    with torch.no_grad():
        for b in range(2):
            for h in range(4):
                for i in range(20):
                    seen = [
                        j
                        for j in range(max(0, i - window + 1), i + 1)
                        if documents is None or documents[b, i] == documents[b, j]
                    ]
                    group = h // (4 // groups)
                    scores = torch.stack([q[b, h, i] @ k[b, group, j] / math.sqrt(8) for j in seen])
                    if biased:
                        scores = scores - torch.tensor([2.0 ** (-2 * (h + 1)) * (i - j) for j in seen])
                    expected[b, h, i] = scores.softmax(0) @ v[b, group, seen]

    gradients = []
    torch._dynamo.reset()
    for product in (kernel.plain, kernel.fused, torch.compile(kernel.plain, backend="aot_eager", fullgraph=True)):
        y = product(q, k, v, mask, bias, True)
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
        gradients.append(torch.autograd.grad(y.square().sum(), (q, k, v)))
    for plain, fused, compiled in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, fused, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(plain, compiled, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spread", [1.0, 30.0])  # 30: nearly all weight on one key
def test_one_exponential_a_score_is_as_exact_as_a_softmax(spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores, v, weight = (torch.randn(3, 40, size, generator=generator) for size in (40, 8, 8))
    scores = (spread * scores).masked_fill(torch.ones(40, 40).triu(1).bool(), -torch.inf)

    def gradients(product: Callable[..., torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
        inputs = scores.clone().requires_grad_(), v.to(dtype, copy=True).requires_grad_()
        y = product(*inputs)
        assert y.dtype == dtype
        return [y, *torch.autograd.grad((y.float() * weight).sum(), inputs)]

    def definition(scores: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return scores.softmax(-1).to(v.dtype) @ v

    truth = gradients(definition, torch.float32)
    for found, true in zip(gradients(softmax_product, torch.float32), truth, strict=True):
        torch.testing.assert_close(found, true, rtol=1e-4, atol=1e-5)
    rounded = gradients(softmax_product, torch.bfloat16)
    for found, plain, true in zip(rounded, gradients(definition, torch.bfloat16), truth, strict=True):
        assert (found.float() - true).norm() < 1.5 * (plain.float() - true).norm()
    assert not rounded[1][:, 0].any(), "a query that sees one key has no choice"


@pytest.mark.parametrize("position", [Rotary, ALiBi])
def test_whole_model_is_the_same_on_both_paths(position: type, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model(position=position), random_batch(2, 20, document_BT=PACKED)
    for autocast, tolerance in ((False, 1e-5), (True, 0.02)):  # of the norm: bf16 has 8 bits
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            monkeypatch.setattr(kernel, "PLAIN_UP_TO", 512)
            plain = model(batch).hidden_BTD
            monkeypatch.setattr(kernel, "PLAIN_UP_TO", 0)
            fused = model(batch).hidden_BTD
            with torch.no_grad():
                read = model(batch).hidden_BTD
                monkeypatch.setattr(kernel, "PLAIN_UP_TO_EAGERLY", 0)
                read_fused = model(batch).hidden_BTD
                monkeypatch.undo()
        assert (fused - plain).norm() < tolerance * plain.norm()
        assert torch.equal(read, plain)
        assert torch.equal(read_fused, fused)


def test_logits_are_those_of_llama() -> None:
    transformers = pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.LlamaConfig(
            vocab_size=SHAPE.vocab,
            hidden_size=SHAPE.width,
            intermediate_size=SHAPE.hidden,
            num_hidden_layers=SHAPE.depth,
            num_attention_heads=SHAPE.heads,
            num_key_value_heads=SHAPE.kv_heads,
            rms_norm_eps=1e-6,
            tie_word_embeddings=False,
        )
        llama = transformers.LlamaForCausalLM(config).eval()
    model, names = tiny_model(with_shape(tied=False)), {}
    for name in model.state_dict():
        theirs = name.replace("blocks.", "layers.").replace("attention.", "self_attn.").replace("ffn.", "mlp.")
        for ours, other in (
            ("attention_norm", "input_layernorm"),
            ("ffn_norm", "post_attention_layernorm"),
            ("embedding", "embed_tokens"),
        ):
            theirs = theirs.replace(ours, other)
        for site in "qkvo":
            theirs = theirs.replace(f"self_attn.{site}.", f"self_attn.{site}_proj.")
        for site in ("gate", "up", "down"):
            theirs = theirs.replace(f"mlp.{site}.", f"mlp.{site}_proj.")
        names[name] = "lm_head.weight" if name == "unembedding.weight" else f"model.{theirs}"
    llama.load_state_dict({names[name]: tensor for name, tensor in model.state_dict().items()})
    batch = random_batch(2, 20)
    logits = model.head(model(batch).hidden_BTD)
    torch.testing.assert_close(logits, llama(batch.ids_BT).logits, rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=3), st.booleans())
def test_context_restarts_at_each_document(rows: list[list[int]], causal: bool) -> None:
    T = max(map(sum, rows))
    rows = [[*row, T - sum(row)] if sum(row) < T else row for row in rows]
    document_BT = torch.tensor([[2 * n for n, length in enumerate(row) for _ in range(length)] for row in rows])
    context = Context.of(Batch(document_BT, document_BT, document_BT=document_BT), causal=causal)
    assert context.positions_BT.tolist() == [[t for length in row for t in range(length)] for row in rows]
    assert context.mask_B1TS is not None
    for row, mask_TT in zip(document_BT.tolist(), context.mask_B1TS[:, 0].tolist(), strict=True):
        for i in range(T):
            assert [added == 0 for added in mask_TT[i]] == [
                row[i] == row[j] and (j <= i or not causal) for j in range(T)
            ]


def test_windows_see_as_many_tokens_as_they_say() -> None:
    context = Context.of(random_batch(1, 9))
    seen = context.within(4)
    assert seen is not None
    assert (seen[0, 0] == 0).sum(-1).tolist() == [1, 2, 3, 4, 4, 4, 4, 4, 4]
    assert context.within(9) is None
    both_ways = Context.of(random_batch(1, 9), causal=False).within(2)
    assert both_ways is not None
    assert (both_ways[0, 0] == 0).sum(-1).tolist() == [2, 3, 3, 3, 3, 3, 3, 3, 2]


def test_window_of_the_whole_row_is_full_attention() -> None:
    batch = random_batch(2, 20)
    full = tiny_model(attention=MultiHead)(batch).hidden_BTD
    assert torch.equal(tiny_model(attention=partial(Window, window=20))(batch).hidden_BTD, full)
    assert not torch.allclose(tiny_model(attention=partial(Window, window=19))(batch).hidden_BTD, full)
    with pytest.raises(UserError, match="window is 0"):
        Window(SHAPE, 0, window=0)


def test_no_attention_is_a_window_of_the_token_itself() -> None:
    shape = with_shape(kv_heads=SHAPE.heads)
    alone = tiny_model(shape, attention=partial(Window, window=1))
    without = tiny_model(shape, attention=NoAttention)
    without.load_state_dict({name: alone.state_dict()[name] for name in without.state_dict()})
    batch = random_batch(2, 20)
    torch.testing.assert_close(without(batch).hidden_BTD, alone(batch).hidden_BTD)


def test_repeated_groups_are_ungrouped_attention() -> None:
    grouped, ungrouped = tiny_model(with_shape(kv_heads=2)), tiny_model(with_shape(kv_heads=4))
    weights = grouped.state_dict()
    for name in [name for name in weights if name.endswith(("attention.k.weight", "attention.v.weight"))]:
        weights[name] = weights[name].view(2, 8, 32).repeat_interleave(2, dim=0).reshape(32, 32)
    ungrouped.load_state_dict(weights)
    batch = random_batch(2, 20)
    torch.testing.assert_close(grouped(batch).hidden_BTD, ungrouped(batch).hidden_BTD, rtol=1e-4, atol=1e-5)


def test_rotary_scores_depend_on_distance_alone() -> None:
    position = Rotary(SHAPE)
    q_BHTK, k_BHTK = torch.randn(1, 1, 1, 8, dtype=torch.float32), torch.randn(1, 1, 1, 8)

    def score(i: int, j: int) -> torch.Tensor:
        turn = [position.rotation(torch.tensor([[place]])) for place in (i, j)]
        return (kernel.rotate(q_BHTK, turn[0]) * kernel.rotate(k_BHTK, turn[1])).sum()

    torch.testing.assert_close(score(9, 4), score(105, 100), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(score(3, 3), (q_BHTK * k_BHTK).sum())
    assert (score(9, 4) - score(9, 3)).abs() > 1e-3
    with pytest.raises(UserError, match="even head_dim"):
        Rotary(with_shape(head_dim=7))


def test_without_position_order_before_the_last_token_is_unseen() -> None:
    batch = random_batch(1, 12)
    order = torch.tensor([3, 1, 4, 0, 2, 9, 5, 8, 6, 7, 10, 11])
    shuffled = Batch(batch.ids_BT[:, order], batch.targets_BT)
    for position, blind in ((NoPosition, True), (Rotary, False), (ALiBi, False)):
        model = tiny_model(with_shape(depth=1), position=position)
        same = torch.allclose(model(batch).hidden_BTD[:, -1], model(shuffled).hidden_BTD[:, -1], atol=1e-5)
        assert same is blind


@pytest.mark.parametrize("norm", [RMS, Layer])
def test_norms_give_unit_rows(norm: type) -> None:
    layer = norm(SHAPE)
    for name, value in layer.starts().items():
        torch.nn.init.constant_(layer.get_parameter(name), value)
    y_BTD = layer(5 + 30 * torch.randn(2, 3, 32))
    torch.testing.assert_close(y_BTD.square().mean(-1), torch.ones(2, 3), rtol=1e-3, atol=1e-3)
    assert layer(torch.zeros(1, 1, 32)).abs().max() == 0
    assert layer(torch.ones(1, 1, 32, dtype=torch.bfloat16)).dtype == torch.float32


def test_read_is_called_within_the_forward_and_side_keeps_layers_apart() -> None:
    class Speaking(GELU):
        def forward(self, x_BTD: torch.Tensor, context: Context) -> tuple[torch.Tensor, Side]:
            y_BTD, _ = super().forward(x_BTD, context)
            return y_BTD, Side(losses={"balance": y_BTD.mean()}, stats={"load": y_BTD.detach().std()})

    model, batch = tiny_model(ffn=Speaking), random_batch(2, 20)
    output = model(batch, read=lambda head, hidden_BTD: (head(hidden_BTD), 7))
    assert torch.equal(output.read[0], model.head(output.hidden_BTD))
    assert output.read[0].shape == (2, 20, SHAPE.vocab)
    assert output.read[1] == 7
    assert model(batch).read is None
    assert list(output.side.losses) == ["blocks.0.ffn.balance", "blocks.1.ffn.balance"]
    assert list(output.side.stats) == ["blocks.0.ffn.load", "blocks.1.ffn.load"]


def test_names_that_others_rely_on() -> None:
    tied, untied = tiny_model(), tiny_model(with_shape(tied=False))
    assert tied.roles()["embedding.weight"] == "embedding"
    assert untied.roles().keys() - tied.roles().keys() == {"unembedding.weight"}
    assert untied.roles()["unembedding.weight"] == "head"
    assert tied.roles()["blocks.1.attention.k.weight"] == "matrix"
    assert tied.roles()["blocks.0.ffn_norm.weight"] == tied.roles()["norm.weight"] == "norm"
    block = [
        "attention_norm", "attention.q", "attention.k", "attention.v", "attention.o",
        "ffn_norm", "ffn.gate", "ffn.up", "ffn.down",
    ]  # fmt: skip
    assert list(tied.sites()) == ["embedding", *(f"blocks.{n}.{site}" for n in range(2) for site in block), "norm"]
    assert tiny_model(norm=Layer).roles()["norm.bias"] == "bias"


def test_active_is_less_where_a_layer_says_so() -> None:
    class HalfIdle(SwiGLU):
        def inactive_parameters(self) -> int:
            return self.up.weight.numel()

    model = tiny_model(ffn=HalfIdle)
    parts, flops = accounting.parameters(model), accounting.flops_per_token(model, 20)
    assert parts["total"] - parts["active"] == 2 * 32 * 48
    assert flops["forward_total"] - flops["forward"] == 2 * (2 * 32 * 48)
    assert flops["training_total"] == 3 * flops["forward_total"]


def factory(shape: Shape) -> LanguageModel:
    return LanguageModel(shape, attention=MultiHead, ffn=SwiGLU, norm=RMS, position=Rotary)


def formula(shape: Shape) -> int:
    """Parameters of ``factory``'s model, by hand."""
    projections = 2 * shape.width * shape.head_dim * (shape.heads + shape.kv_heads)
    block = projections + 3 * shape.width * shape.hidden + 2 * shape.width
    return shape.depth * block + shape.width + shape.vocab * shape.width * (1 if shape.tied else 2)


@pytest.mark.parametrize("parameters", [1_000_000, 3_000_000])
@pytest.mark.parametrize("vocab", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("depth", range(2, 17))
def test_solver_meets_every_budget_at_every_depth(depth: int, vocab: int, parameters: int) -> None:
    solved = solve(ShapeRequest(depth=depth, parameters=parameters), vocab=vocab, context=256, count=formula)
    shape = solved.shape
    assert solved.reached == formula(shape)
    assert solved.missed == pytest.approx((solved.reached - parameters) / parameters)
    assert abs(solved.missed) <= 0.01
    assert (shape.width % 32, shape.hidden % 8, shape.depth, shape.vocab) == (0, 0, depth, vocab)
    assert shape.heads == shape.kv_heads == shape.width // 32
    assert 0.5 < shape.hidden / shape.width < 8


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12), st.sampled_from([{"head_dim": 8}, {"head_dim": 64}, {"head_dim": None, "heads": 4}]),
    st.sampled_from([256, 4096]), st.booleans(), st.integers(10_000, 20_000_000), st.sampled_from([None, 1, 2]),
)  # fmt: skip
def test_solver_is_within_a_percent_or_says_so(
    depth: int, heads: dict[str, Any], vocab: int, tied: bool, parameters: int, kv_heads: int | None
) -> None:
    request = ShapeRequest(depth=depth, **heads, tied=tied, kv_heads=kv_heads, parameters=parameters)
    calls = 0

    def counting(shape: Shape) -> int:
        nonlocal calls
        calls += 1
        return formula(shape)

    refusal = None
    try:
        solved = solve(request, vocab=vocab, context=64, count=counting)
    except UserError as error:
        refusal = str(error)
    else:
        assert abs(solved.reached - parameters) <= 0.01 * parameters
        assert solved.shape.heads % solved.shape.kv_heads == 0
        assert solved.shape.heads * solved.shape.head_dim == solved.shape.width
        assert solved.shape.head_dim % 4 == 0
    assert refusal is None or ("the nearest is" in refusal and "\n" not in refusal)
    assert calls < 150


def test_solver_ends_where_no_hidden_size_helps() -> None:
    request = ShapeRequest(depth=2, head_dim=16, parameters=1_000_000)
    with pytest.raises(UserError, match="cannot be met"):
        solve(request, vocab=64, context=64, count=lambda shape: 7 * shape.width**2)


@pytest.mark.parametrize("count", ["total", "body", "active"])
def test_counter_counts_the_model_that_is_built(count: str) -> None:
    request = ShapeRequest(depth=3, head_dim=16, parameters=300_000, count=count)  # type: ignore[arg-type]
    solved = solve(request, vocab=512, context=64, count=accounting.counter(factory, request.count))
    counted = accounting.parameters(factory(solved.shape))[count]
    assert counted == solved.reached
    assert abs(counted - 300_000) <= 3000


def test_shape_as_given() -> None:
    given_shape = ShapeRequest(depth=6, width=256, hidden=704, head_dim=64)
    solved = solve(given_shape, vocab=4096, context=256, count=formula)
    assert solved.shape == Shape(6, 256, 4, 4, 64, 704, 4096, 256, True)
    assert (solved.target, solved.missed, solved.reached) == (None, 0.0, 5_868_800)
    assert solve(ShapeRequest(depth=2, width=96), vocab=512, context=64, count=formula).shape.hidden == 256
    held = solve(ShapeRequest(depth=6, width=96, parameters=1_000_000), vocab=4096, context=64, count=formula)
    assert held.shape.width == 96
    four = solve(ShapeRequest(depth=2, width=112, heads=4, head_dim=None), vocab=512, context=64, count=formula).shape
    assert (four.heads, four.kv_heads, four.head_dim) == (4, 4, 28)
    assert abs(held.missed) <= 0.01


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (ShapeRequest(depth=6), "shape.width"),
        (ShapeRequest(depth=0, width=64), "shape.depth"),
        (ShapeRequest(depth=6, width=100), "no multiple of shape.head_dim=32"),
        (ShapeRequest(depth=6, width=98, heads=4, head_dim=None), "no multiple of shape.heads=4"),
        (ShapeRequest(depth=6, width=96, head_dim=None), "neither head_dim nor heads"),
        (ShapeRequest(depth=6, heads=4, head_dim=None, parameters=1_000), "change shape.depth, shape.heads"),
        (ShapeRequest(depth=6, width=96, kv_heads=2), "shape.kv_heads"),
        (ShapeRequest(depth=6, width=96, hidden=256, parameters=1_000_000), "nothing to solve"),
        (ShapeRequest(depth=6, parameters=100_000), "the nearest is width 32"),
        (ShapeRequest(depth=6, width=64, ratio=0.0), "shape.ratio"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(request_: ShapeRequest, names: str) -> None:
    with pytest.raises(UserError, match=names):
        solve(request_, vocab=4096, context=256, count=formula)
