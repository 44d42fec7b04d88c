"""Sparse feed-forwards against slow, obvious ones; identities; health; what is refused."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import SHAPE, random_batch, tiny_model, with_shape
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from tests.test_keys import job_of
from tinylm.batch import Batch
from tinylm.compose.rehearsal import rehearse
from tinylm.errors import UserError
from tinylm.init.initialiser import Sources, fill
from tinylm.init.scratch import Scratch
from tinylm.model.context import Context
from tinylm.model.experts import Experts
from tinylm.model.ffn.expert_choice import ExpertChoice
from tinylm.model.ffn.frozen_centroid import FrozenCentroid
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.moe import MoE
from tinylm.model.ffn.product_key import ProductKey
from tinylm.model.ffn.random_routed import RandomRouted, balanced
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.freezing import freeze
from tinylm.model.grouped import grouped
from tinylm.model.lm import LanguageModel
from tinylm.model.mixed import mixed
from tinylm.model.routing import FILL, ROUNDS, health, matched, routed
from tinylm.model.slots import FFN
from tinylm.streams import Streams
from tinylm.train.optim.adamw import AdamW
from tinylm.train.optim.lion import Lion
from tinylm.train.optim.muon import Muon

DOMAINS = with_shape(domains=("code", "prose"))


def layer_of(made: FFN, seed: int = 0, std: float = 0.3) -> FFN:
    """A layer filled with numbers of its own."""
    generator = torch.Generator().manual_seed(seed)
    draws = made.draws()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name in draws:
                draws[name](parameter, generator, lambda: torch.ones(1, SHAPE.vocab, dtype=torch.int64))
            else:
                parameter.copy_(torch.normal(0.0, std, parameter.shape, generator=generator))
    return made


def read(made: FFN, x_BTD: Tensor, domain: list[int] | None = None) -> tuple[Tensor, Any]:
    ids_BT = random_batch(*x_BTD.shape[:2]).ids_BT
    domain_B = None if domain is None else torch.tensor(domain)
    y_BTD, side = made(x_BTD, Context.of(Batch(ids_BT, ids_BT, domain_B=domain_B)))
    return y_BTD, side


def stream(B: int = 2, T: int = 12, seed: int = 1) -> Tensor:
    return torch.randn(B, T, SHAPE.width, generator=torch.Generator().manual_seed(seed))


def expert(experts: Experts, number: int, x_D: Tensor) -> Tensor:
    """What one expert makes of one token, written plainly."""
    up_F = experts.up[number] @ x_D
    if experts.unit == "swiglu":
        hidden_F = functional.silu(experts.gate[number] @ x_D) * up_F
    else:
        hidden_F = functional.gelu(up_F) if experts.unit == "gelu" else up_F.relu()
    return experts.down[number] @ hidden_F


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    width=st.sampled_from([3, 8, 16]),
    hidden=st.sampled_from([5, 8, 24]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_grouped_products_are_those_of_a_loop(counts: list[int], width: int, hidden: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(sum(counts))
    x_MD = torch.randn(sum(counts), width, generator=generator).to(dtype).requires_grad_()
    weight_EFD = torch.randn(len(counts), hidden, width, generator=generator).to(dtype).requires_grad_()
    weigh_MF = torch.randn(sum(counts), hidden, generator=generator).to(dtype)

    def gradients(y_MF: Tensor) -> tuple[Tensor, ...]:
        return y_MF, *torch.autograd.grad((y_MF * weigh_MF).sum(), (x_MD, weight_EFD))

    found = gradients(grouped(x_MD, weight_EFD, torch.tensor(counts).cumsum(0).int()))
    pieces = zip(x_MD.split(counts), weight_EFD.unbind(0), strict=True)
    expected = gradients(torch.cat([rows @ matrix.T for rows, matrix in pieces]))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5 if dtype == torch.float32 else 2e-2, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(1, 60),  # of few no expert's rows are filled up
    k=st.integers(1, 3),
    count=st.integers(1, 5),
    weighted=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_what_is_sorted_by_expert_comes_back_to_its_token(
    tokens: int, k: int, count: int, weighted: bool, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(tokens + 10 * k + 100 * count)
    x_ND, scale_ED, weigh_ND = (
        torch.randn(rows, 8, generator=generator).to(dtype).requires_grad_() for rows in (tokens, count, tokens)
    )
    weight_Nk = torch.rand(tokens, k, generator=generator).requires_grad_() if weighted else None
    expert_Nk = torch.randint(0, count, (tokens, k), generator=generator)

    def scaled(rows_MD: Tensor, ends_E: Tensor) -> Tensor:
        """An expert multiplies by numbers of its own; nobody's rows are no numbers."""
        if tokens * k >= FILL * count:
            assert not (ends_E % FILL).any()
        rest_MD = torch.full((len(rows_MD) - ends_E[-1], 8), torch.nan)
        own_MD = scale_ED.float().repeat_interleave(ends_E.diff(prepend=ends_E.new_zeros(1)), dim=0)
        return (rows_MD * torch.cat([own_MD, rest_MD])).to(dtype)

    def gradients(y_ND: Tensor) -> tuple[Tensor, ...]:
        of = (x_ND, scale_ED) if weight_Nk is None else (x_ND, scale_ED, weight_Nk)
        return y_ND, *torch.autograd.grad((y_ND.float() * weigh_ND.float()).sum(), of)

    y_ND, load_E = routed(x_ND, expert_Nk, weight_Nk, count, scaled)
    made_NkD = x_ND.float()[:, None] * scale_ED.float()[expert_Nk]
    expected_ND = (made_NkD if weight_Nk is None else made_NkD * weight_Nk[..., None]).sum(1)
    assert load_E.tolist() == [(expert_Nk == number).sum().item() for number in range(count)]
    near = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 3e-2, "atol": 1e-1}
    for ours, theirs in zip(gradients(y_ND), gradients(expected_ND), strict=True):
        torch.testing.assert_close(ours.float(), theirs.float(), **near)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 1, "unit": "gelu"},
        {"k": 3, "unit": "relu", "shared": True},
        {"normalise": False, "hidden": 16},
        {"capacity": 0.75},
        {"capacity": 1.0, "k": 1},
    ],
)
def test_moe_is_the_sum_over_a_tokens_experts(options: dict[str, Any]) -> None:
    made = layer_of(MoE(SHAPE, 0, experts=4, **options))
    assert isinstance(made, MoE)
    x_BTD = stream()
    y_BTD, side = read(made, x_BTD)
    x_ND, k = x_BTD.flatten(0, 1), made.k
    probability_NE = (x_ND @ made.router.weight.T).softmax(-1)
    room = math.ceil(made.capacity * k * len(x_ND) / 4) if made.capacity else len(x_ND)
    taken = [0] * 4
    expected_ND = torch.zeros_like(x_ND)
    choices = [row.argsort(descending=True)[:k].tolist() for row in probability_NE]
    dropped = 0
    for rank in range(k):  # first choices of all tokens, then second ones
        for token, chosen in enumerate(choices):
            number = chosen[rank]
            if taken[number] == room:
                dropped += 1
                continue
            taken[number] += 1
            weight = probability_NE[token, number]
            if made.normalise:
                weight = weight / probability_NE[token, chosen].sum()
            expected_ND[token] += weight * expert(made.experts, number, x_ND[token])
    if made.shared is not None:
        expected_ND += torch.stack([expert(made.shared, 0, x_D) for x_D in x_ND])
    torch.testing.assert_close(y_BTD.flatten(0, 1), expected_ND, rtol=1e-4, atol=1e-5)
    if made.capacity:
        assert side.stats["dropped"].item() == pytest.approx(dropped / (k * len(x_ND)))
        assert dropped
        whole, _ = read(layer_of(MoE(SHAPE, 0, experts=4, **{**options, "capacity": None})), x_BTD)
        torch.testing.assert_close(read(made.eval(), x_BTD)[0], whole)  # evaluation drops nothing


@pytest.mark.parametrize(
    ("sparse", "mode"),
    [
        (MoE, "train"),
        (ExpertChoice, "train"),
        (ExpertChoice, "eval"),
        (FrozenCentroid, "train"),
        (FrozenCentroid, "eval"),
        (RandomRouted, "train"),
    ],
)
@pytest.mark.parametrize("unit", ["swiglu", "gelu"])
def test_one_expert_is_the_dense_ffn(sparse: Any, mode: str, unit: str) -> None:
    options = {MoE: {"k": 1}, ExpertChoice: {"capacity": 1}}.get(sparse, {})
    one = layer_of(sparse(SHAPE, 0, experts=1, unit=unit, **options)).train(mode == "train")
    dense = SwiGLU(SHAPE, 0) if unit == "swiglu" else GELU(SHAPE, 0)
    held: Any = one
    with torch.no_grad():
        for name, matrix in held.experts.named_parameters():
            getattr(dense, name).weight.copy_(matrix[0])
    x_BTD = stream()
    torch.testing.assert_close(read(one, x_BTD)[0], read(dense, x_BTD)[0])
    assert one.inactive_parameters() == (one.get_parameter("table").numel() if sparse is RandomRouted else 0)


def test_the_balancing_loss_and_its_gradient() -> None:
    made = layer_of(MoE(SHAPE, 0, experts=4, balance=0.5, z_loss=0.1))
    assert isinstance(made, MoE)
    x_BTD = stream()
    _, side = read(made, x_BTD)
    logits_NE = x_BTD.flatten(0, 1) @ made.router.weight.T
    probability_NE = logits_NE.softmax(-1)
    share_E = torch.bincount(probability_NE.argmax(-1), minlength=4) / len(logits_NE)  # no gradient through counts
    expected = 0.5 * 4 * (probability_NE.mean(0) * share_E).sum()
    torch.testing.assert_close(side.losses["balance"], expected)
    ours, theirs = (torch.autograd.grad(loss, made.router.weight)[0] for loss in (side.losses["balance"], expected))
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(side.losses["z_loss"], 0.1 * logits_NE.logsumexp(-1).square().mean())
    with torch.no_grad():
        made.router.weight.zero_()
    assert read(made, x_BTD)[1].losses["balance"].item() == pytest.approx(0.5)  # 1 where all is alike


def test_experts_choose_their_tokens() -> None:
    made = layer_of(ExpertChoice(SHAPE, 0, experts=4, capacity=2))
    assert isinstance(made, ExpertChoice)
    x_BTD = stream()
    x_ND = x_BTD.flatten(0, 1)
    score_NE = (x_ND @ made.router.weight.T).softmax(-1)
    expected_ND = torch.zeros_like(x_ND)
    for number in range(4):
        for token in score_NE[:, number].argsort(descending=True)[: len(x_ND) * 2 // 4].tolist():
            expected_ND[token] += score_NE[token, number] * expert(made.experts, number, x_ND[token])
    torch.testing.assert_close(read(made, x_BTD)[0].flatten(0, 1), expected_ND, rtol=1e-4, atol=1e-5)
    expected_ND = torch.zeros_like(x_ND)
    for token, row in enumerate(score_NE):
        for number in row.argsort(descending=True)[:2].tolist():
            expected_ND[token] += row[number] * expert(made.experts, number, x_ND[token])
    torch.testing.assert_close(read(made.eval(), x_BTD)[0].flatten(0, 1), expected_ND, rtol=1e-4, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(1, 40), experts=st.integers(1, 7), seed=st.integers(0, 99), ties=st.booleans())
def test_matched_tokens_are_spread_evenly(tokens: int, experts: int, seed: int, ties: bool) -> None:
    affinity_NE = torch.randn(tokens, experts, generator=torch.Generator().manual_seed(seed))
    if ties:
        affinity_NE = affinity_NE.round()
    count_E = matched(affinity_NE).bincount(minlength=experts)
    assert count_E.sum() == tokens
    assert count_E.max() - count_E.min() <= 1


def test_matching_takes_no_more_rounds_for_more_experts() -> None:
    same = torch.arange(200.0, 0, -1).repeat(450, 1)  # all like the same experts, of whom a round fills one
    count_E = matched(same).bincount(minlength=200)
    assert sorted(set(count_E.tolist())) == [2, 3]
    rounds = []
    for experts in (8, 256):
        affinity_NE = torch.randn(512, experts, generator=torch.Generator().manual_seed(0))
        with Sorts() as sorts:
            assert len(matched(affinity_NE).bincount().unique()) == 1
        rounds.append(sorts.count // 2)
    assert rounds == [8, ROUNDS]


class Sorts(TorchDispatchMode):
    """Counts what a round does twice."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "sort" in str(func) and "searchsorted" not in str(func)
        return func(*args, **(kwargs or {}))


def test_matching_prefers_the_keenest() -> None:
    affinity_NE = torch.tensor([[3.0, 0.0], [2.0, 1.0], [1.0, 0.0], [9.0, 8.0]])
    assert matched(affinity_NE).tolist() == [0, 1, 1, 0]
    even = torch.eye(4).repeat(3, 1)
    assert matched(even).tolist() == even.argmax(-1).tolist()  # where all can have their way, they have it


def test_centroids_are_orthogonal_and_stay() -> None:
    model = tiny_model(ffn=partial(FrozenCentroid, experts=4, gain=0.5))
    ffn = model.layers()[0].ffn
    assert isinstance(ffn, FrozenCentroid)
    torch.testing.assert_close(ffn.centroids @ ffn.centroids.T, 0.25 * torch.eye(4), rtol=0, atol=1e-6)
    assert not torch.equal(ffn.centroids, model.layers()[1].ffn.get_parameter("centroids"))
    assert "blocks.0.ffn.centroids" in dict(model.named_parameters())  # and so in every checkpoint


def test_a_table_routes_by_domain_and_id() -> None:
    made = layer_of(RandomRouted(DOMAINS, 0, groups={"prose": 2, "code": 3}))
    assert isinstance(made, RandomRouted)
    assert made.groups == [3, 2]  # in the order of the text's domains
    assert RandomRouted(DOMAINS, 0, groups=4).groups == [4, 4]
    assert made.table[0].unique().tolist() == [0, 1, 2]
    assert made.table[1].unique().tolist() == [3, 4]
    x_BTD, ids_BT = stream(), random_batch(2, 12).ids_BT
    y_BTD, _ = read(made, x_BTD, domain=[1, 0])
    for row, domain in enumerate([1, 0]):
        for place in range(12):
            number = int(made.table[domain, ids_BT[row, place]])
            expected = expert(made.experts, number, x_BTD[row, place])
            torch.testing.assert_close(y_BTD[row, place], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="needs the domain of every sequence"):
        read(made, x_BTD)


@given(st.lists(st.integers(0, 50), min_size=8, max_size=60), st.integers(1, 5), st.integers(0, 9))
def test_a_balanced_table_spreads_the_text(counts: list[int], size: int, seed: int) -> None:
    counts_V = torch.tensor(counts)
    table_V = balanced(counts_V, size, torch.Generator().manual_seed(seed))
    load_E = torch.zeros(size, dtype=torch.int64).scatter_add_(0, table_V, counts_V)
    assert load_E.max() - load_E.min() <= counts_V.max()  # as near as the last id given away
    if not any(counts):
        ids_E = table_V.bincount(minlength=size)
        assert ids_E.max() - ids_E.min() <= 1


def test_balanced_tables_count_their_own_domain() -> None:
    counts_MV = torch.zeros(2, SHAPE.vocab, dtype=torch.int64)
    counts_MV[0, :6], counts_MV[1, -6:] = 10, 10
    ffn = partial(RandomRouted, groups={"code": 2, "prose": 3}, table="balanced")
    with torch.device("meta"):
        model = LanguageModel(DOMAINS, **{**_slots(), "ffn": ffn})
    fill(model, [Scratch()], Streams(0), Sources(counts=lambda: counts_MV))
    table_MV = model.layers()[0].ffn.get_parameter("table")
    assert table_MV[0, :6].bincount(minlength=5).tolist() == [3, 3, 0, 0, 0]
    assert table_MV[1, -6:].bincount(minlength=5).tolist() == [0, 0, 2, 2, 2]
    with torch.device("meta"):
        model = LanguageModel(DOMAINS, **{**_slots(), "ffn": ffn})
    with pytest.raises(UserError, match="no text was given"):
        fill(model, [Scratch()], Streams(0))


def _slots() -> dict[str, Any]:
    from tinylm.model.attention.multihead import MultiHead
    from tinylm.model.norm.rms import RMS
    from tinylm.model.position.rotary import Rotary

    return {"attention": MultiHead, "norm": RMS, "position": Rotary}


@pytest.mark.parametrize("optimiser", [AdamW, Lion, Muon])
@pytest.mark.parametrize(("decay", "earlier", "moves"), [(0.0, 0, False), (0.1, 0, True), (0.0, 1, True)])
def test_training_a_domain_leaves_the_others_experts(optimiser: Any, decay: float, earlier: int, moves: bool) -> None:
    """By a fresh optimiser without weight decay; decay, and momentum of steps on the other domain, do move them."""
    model = tiny_model(DOMAINS, ffn=partial(RandomRouted, groups={"code": 2, "prose": 2}))
    freeze(model, ["embedding.*", "*.attention.*", "*norm.*"])  # what all domains share
    code, prose = (_with_domain(number) for number in (0, 1))
    trained = optimiser(model, weight_decay=decay)

    def step(batch: Batch) -> None:
        model(batch, read=lambda head, hidden_BTD: head(hidden_BTD).square().mean()).read.backward()
        trained.step()
        trained.zero_grad()

    for _ in range(earlier):
        step(prose)
    before, moved = model(prose).hidden_BTD.clone(), model(code).hidden_BTD.clone()
    for _ in range(3):
        step(code)
    assert torch.equal(model(prose).hidden_BTD, before) != moves
    assert not torch.equal(model(code).hidden_BTD, moved)


def _with_domain(number: int) -> Batch:
    batch = random_batch(2, 12)
    return Batch(batch.ids_BT, batch.targets_BT, domain_B=torch.full((2,), number))


@pytest.mark.parametrize("normalise", ["batch", "layer", None])
def test_a_memory_reads_the_best_of_all_slots(normalise: Any) -> None:
    made = layer_of(ProductKey(SHAPE, 0, keys=6, read=4, heads=3, query=8, normalise=normalise))
    assert isinstance(made, ProductKey)
    if normalise == "batch":
        with torch.no_grad():
            made.mean.zero_()
            made.variance.fill_(1.0)
    made.eval()
    x_BTD = stream()
    y_BTD, side = read(made, x_BTD)
    scale = (1 + 1e-5) ** -0.5 if normalise == "batch" else 1.0
    seen = set()
    for place in range(12):
        expected_D = torch.zeros(SHAPE.width)
        query = (made.query(x_BTD[0, place]) * scale).view(3, 8)
        for head, q in enumerate(functional.layer_norm(query, (8,)) if normalise == "layer" else query):
            first, second = made.keys[2 * head] @ q[:4], made.keys[2 * head + 1] @ q[4:]
            scores = (first[:, None] + second[None, :]).flatten()  # all 36 slots
            best = scores.topk(4)
            expected_D += best.values.softmax(-1) @ made.values[best.indices]
            seen |= set(best.indices.tolist())
        torch.testing.assert_close(y_BTD[0, place], expected_D, rtol=1e-4, atol=1e-5)
    assert side.stats["slots_read"].item() >= len(seen) / 36
    assert 0 < side.stats["slots_kl"].item() < math.log(36)


def test_queries_moments_run_in_training_alone() -> None:
    model = tiny_model(ffn=partial(ProductKey, keys=8, start="zero"))
    ffn = model.layers()[0].ffn
    assert isinstance(ffn, ProductKey)
    assert not ffn.values.any()
    assert (ffn.mean.unique().tolist(), ffn.variance.unique().tolist()) == ([0.0], [1.0])
    model.eval()
    model(random_batch(2, 12))
    assert not ffn.mean.any()
    model.train()
    model(random_batch(2, 12))
    assert ffn.mean.any()


@pytest.mark.parametrize("optimiser", [AdamW, Lion, Muon])
def test_a_memorys_values_may_have_a_rate_of_their_own(optimiser: Any) -> None:
    model = tiny_model(ffn=partial(ProductKey, keys=8))
    values = {id(block.ffn.get_parameter("values")) for block in model.layers()}
    groups = optimiser(model, memory_lr=0.5).param_groups
    assert [group["lr"] for group in groups if values & {id(p) for p in group["params"]}] == [0.5]
    (own,) = [group for group in groups if group["lr"] == 0.5]
    assert {id(p) for p in own["params"]} == values
    assert own["weight_decay"] == 0
    assert all(group["lr"] != 0.5 for group in optimiser(model).param_groups)


def test_sparse_layers_stand_where_they_are_asked_for() -> None:
    shape = with_shape(depth=5)

    def kinds(**options: Any) -> list[str]:
        model = tiny_model(shape, ffn=partial(mixed, sparse=partial(MoE, experts=2), dense=SwiGLU, **options))
        return [type(block.ffn).__name__ for block in model.layers()]

    assert kinds() == ["SwiGLU", "MoE", "SwiGLU", "MoE", "SwiGLU"]
    assert kinds(layers="last", last=2) == ["SwiGLU"] * 3 + ["MoE"] * 2
    assert kinds(layers="at", at=[0, -2]) == ["MoE", "SwiGLU", "SwiGLU", "MoE", "SwiGLU"]
    with pytest.raises(UserError, match="has 5 layers"):
        kinds(layers="last", last=6)
    for wrong in ([5], None):
        with pytest.raises(UserError, match=r"name layers from 0 to 4"):
            kinds(layers="at", at=wrong)


def test_health_tells_a_collapse() -> None:
    even, one = (health(torch.tensor(load)) for load in ([5, 5, 5, 5], [20, 0, 0, 0]))
    assert (even["load_entropy"].item(), even["dead"].item(), even["largest_share"].item()) == pytest.approx(
        (1, 0, 0.25)
    )
    assert (one["load_entropy"].item(), one["dead"].item(), one["largest_share"].item()) == pytest.approx((0, 0.75, 1))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(MoE, experts=4, k=5), r"model\.ffn\.k is 5"),
        (partial(MoE, capacity=0.0), "leaves an expert nothing"),
        (partial(MoE, hidden=-8), r"model\.ffn\.hidden is -8"),
        (partial(RandomRouted, hidden=0), r"model\.ffn\.hidden is 0"),
        (partial(ExpertChoice, experts=4, capacity=5), r"model\.ffn\.capacity is 5"),
        (partial(FrozenCentroid, experts=33), "give 1 to 32"),
        (partial(RandomRouted, groups={"code": 2}), "domain prose of the text has no group"),
        (partial(RandomRouted, groups={"code": 2, "prose": 0}), r"groups\.prose is 0"),
        (partial(RandomRouted, groups={"code": 2, "prose": 1, "pros": 1}), r"groups\.pros: .*did you mean 'prose'"),
        (lambda shape, layer: RandomRouted(SHAPE, layer, groups=2), "the text has no domains"),
        (partial(ProductKey, keys=4, read=5), r"model\.ffn\.read is 5"),
        (partial(ProductKey, query=7), r"model\.ffn\.query=7"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make(DOMAINS, 0)


ROUTED = ("moe", "expert_choice", "random_routed", "frozen_centroid", "product_key", "moefied", "mixed")
MIXTURE = "data=code_and_prose"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *(([f"model/ffn={ffn}", "batch.unit=bytes"], "batch.unit=bytes pads its rows") for ffn in ROUTED),
        (["model/ffn=expert_choice", "model.ffn.experts=512", "model.ffn.capacity=1"], "less than one token"),
        (["model/ffn=moe", "model.ffn.experts=512", "model.ffn.capacity=0.25"], "less than one token"),
        (
            ["model/ffn=moe", "model.ffn.experts=512", "model.ffn.k=1", "model.ffn.capacity=1", "batch.micro=1"],
            "has 64",
        ),
        (["model/ffn=moe", "model.ffn.hidden=-8"], "model.ffn.hidden is -8"),
        (
            [MIXTURE, "model/ffn=random_routed", "model.ffn.groups={code: 4.5, prose: 2}"],
            "groups.code: 4.5 is not an int",
        ),
        ([MIXTURE, "model/ffn=random_routed", "model.ffn.groups={code: four}"], "groups.code: 'four' is not an int"),
        ([MIXTURE, "model/ffn=random_routed", "model.ffn.groups=four"], "model.ffn.groups: 'four' is not"),
        ([MIXTURE, "data.weights={code: x, prose: 1}"], "data.weights.code: 'x' is not a float"),
        ([MIXTURE, "data.weights=3"], "data.weights: 3 is not a mapping"),
        ([MIXTURE, "data.weights={code: 1}"], "data.weights: domain prose has none"),
        ([MIXTURE, "data.weights={code: 1, prose: -1}"], "data.weights.prose=-1 is below 0"),
        ([MIXTURE, "data.weights={code: 0, prose: 0}"], "all are 0"),
        ([MIXTURE, "data.temperature=0"], "data.temperature=0"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_read(words: list[str], said: str) -> None:
    """In the rehearsal, by one line."""
    small = ["tokenizer.vocab=300", "shape=smoke", "shape.hidden=48", "batch.size=4", "batch.context=64"]
    try:
        told = rehearse(job_of(*small, *words)) or ""
    except UserError as error:
        told = str(error)
    assert said in told
    assert "\n" not in told


def test_a_capacity_is_of_all_tokens_of_a_forward() -> None:
    few = ["tokenizer.vocab=300", "shape=smoke", "model/ffn=moe", "model.ffn.experts=512", "model.ffn.k=1"]
    assert rehearse(job_of(*few, "model.ffn.capacity=1", "batch.size=16", "batch.context=256")) is None
