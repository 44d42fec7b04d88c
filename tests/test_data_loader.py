"""Batches are a function of (store, seed, step), hold every id once an epoch, and the same text for all tokenizers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
import tiny_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_corpus import packed

from tinylm.batch import IGNORE, Batch
from tinylm.data import pack as pack_module
from tinylm.data.loader import Batches
from tinylm.data.store import MARK, TokenStore
from tinylm.data.tokenizer.bpe import BPE
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.data.tokens import Tokenizer
from tinylm.streams import Streams
from tinylm.train.budget import Flops

Unit = Literal["tokens", "bytes"]
UNITS: tuple[Unit, ...] = ("tokens", "bytes")

WORDS = ["the", "cat", "and", "中文", "mouse", "naïve", "🙂", "sat", "on", "a", "very", "very", "long", "wall", ""]
TEXTS = [
    " ".join(np.random.default_rng(number).choice(WORDS, 3 + number * 7 % 90).tolist()) + str(number)
    for number in range(40)
]
TEXTS.append(" ".join(np.random.default_rng(99).choice(WORDS, 2500).tolist()))  # longer than the distance of two marks


@pytest.fixture(scope="module", autouse=True)
def small_splits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_module, "SMALLEST", 1)
        yield


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {"bpe": BPE(300).train(lambda: TEXTS), "bytes": Bytes().train(list)}


@pytest.fixture(scope="module")
def stores(tokenizers: dict[str, Tokenizer], tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenStore]:
    folder = tmp_path_factory.mktemp("stores")
    return {name: packed(TEXTS, tokenizer, folder / name) for name, tokenizer in tokenizers.items()}


def batches(store: TokenStore, unit: Unit, size: int = 4, context: int = 48, seed: int = 0) -> Batches:
    return Batches(store, Streams(seed), unit=unit, size=size, context=context, within_documents=True)


def same(first: Batch, second: Batch) -> bool:
    tensors = ("ids_BT", "targets_BT", "document_BT")
    return (first.bytes, first.tokens) == (second.bytes, second.tokens) and all(
        getattr(first, name).equal(getattr(second, name)) for name in tensors
    )


def stream(store: TokenStore, seed: int, epochs: int) -> np.ndarray:
    """The stream of ids, laid out plainly."""
    orders = [
        Streams(seed).numpy("data", "epoch", epoch).permutation(store.split("train").documents)
        for epoch in range(epochs)
    ]
    return np.concatenate([store.document("train", index) for order in orders for index in order]).astype(np.int64)


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
@pytest.mark.parametrize("unit", UNITS)
def test_any_step_is_reached_directly(stores: dict[str, TokenStore], kind: str, unit: Unit) -> None:
    straight = batches(stores[kind], unit)
    expected = [straight[step] for step in range(300)]
    assert straight.epoch(300) > 2
    for step in np.random.default_rng(0).permutation(300)[:60]:
        assert same(batches(stores[kind], unit)[int(step)], expected[step])
        assert same(straight[int(step)], expected[step])
    assert not same(batches(stores[kind], unit, seed=1)[0], expected[0])
    assert not same(straight[0], straight[1])
    with pytest.raises(IndexError):
        straight[-1]


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 9), context=st.integers(1, 700), seed=st.integers(0, 9))
def test_every_id_is_a_target_once(
    stores: dict[str, TokenStore], kind: str, unit: Unit, size: int, context: int, seed: int
) -> None:
    store = stores[kind]
    made = batches(store, unit, size, context, seed)
    steps = min(int(2.2 / made.epoch(1)) + 1, 60)
    first = int(0.9 / made.epoch(1))  # over the seam of two epochs, and more
    rows = [(batch, row) for batch in map(made.__getitem__, range(first, first + steps)) for row in range(size)]
    laid = stream(store, seed, int(made.epoch(first + steps)) + 2)

    # What lies where, plainly: the byte that each id of the stream belongs to.
    size_of = store.bytes_V[laid]
    byte = np.cumsum(size_of) - size_of - (laid == store.eos)
    for index, (batch, row) in enumerate(rows, start=first * size):
        if unit == "tokens":
            low, high = index * context + 1, (index + 1) * context + 1
        else:
            low, high = np.searchsorted(byte, [index * context, (index + 1) * context])
            low += laid[low] == store.bos
        high = max(low, high)
        length = high - low
        ids, targets = batch.ids_BT[row].numpy(), batch.targets_BT[row].numpy()
        expected = np.where(laid[low:high] == store.bos, IGNORE, laid[low:high])
        assert targets[:length].tolist() == expected.tolist()
        assert ids[:length].tolist() == laid[low - 1 : high - 1].tolist()
        assert (targets[length:] == IGNORE).all()
        assert (ids[length:] == store.eos).all()
    for batch, _ in rows[::size]:
        scored = batch.targets_BT[batch.targets_BT != IGNORE].numpy()
        assert batch.bytes == store.bytes_V[scored].sum()
        assert batch.tokens == len(scored)
        assert batch.ids_BT.shape == batch.targets_BT.shape
        if unit == "bytes":
            assert batch.ids_BT.shape[1] % 64 == 0
            assert abs(batch.bytes - size * context) <= 2 * int(store.bytes_V.max())


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
@pytest.mark.parametrize("unit", UNITS)
def test_the_mean_step_is_exact(stores: dict[str, TokenStore], kind: str, unit: Unit) -> None:
    split = stores[kind].split("train")
    whole = split.tokens if unit == "tokens" else split.bytes
    five = batches(stores[kind], unit, size=5, context=whole)  # epochs a step
    for step in range(3):
        assert (five[step].bytes, five[step].tokens) == (5 * split.bytes, 5 * (split.tokens - split.documents))
    assert (five.bytes_per_step, five.tokens_per_step) == pytest.approx((five[0].bytes, five[0].tokens))
    part = batches(stores[kind], unit, size=2, context=31)
    assert part.bytes_per_step == pytest.approx(five.bytes_per_step * 62 / (5 * whole))
    assert part.tokens_per_step == pytest.approx(five.tokens_per_step * 62 / (5 * whole))
    assert part.epoch(1000) == pytest.approx(62_000 / whole)


def test_all_tokenizers_read_the_same_text(stores: dict[str, TokenStore], tokenizers: dict[str, Tokenizer]) -> None:
    """Step by step: rows begin at the same bytes, but for the rest of an id that began in the row before."""
    longest = max(map(len, tokenizers["bpe"].pieces))
    for step in range(80):
        texts = {}
        for kind, store in stores.items():
            batch = batches(store, "bytes", context=100)[step]
            texts[kind] = [
                b"".join(tokenizers[kind].pieces[target] for target in row if target != IGNORE)
                for row in batch.targets_BT.tolist()
            ]
            assert abs(batch.bytes - 400) <= 2 * longest
        for ours, theirs in zip(texts["bpe"], texts["bytes"], strict=True):
            assert len(theirs) == 100
            assert any(theirs[skip:] in ours or ours in theirs for skip in range(longest))


def test_documents_of_a_row_are_numbered(stores: dict[str, TokenStore]) -> None:
    for kind, store in stores.items():
        for unit in UNITS:
            made = batches(store, unit, context=300)
            for step in range(20):
                batch = made[step]
                assert batch.document_BT is not None
                for ids, targets, numbers in zip(batch.ids_BT, batch.targets_BT, batch.document_BT, strict=True):
                    real = len(targets) - int((targets.flip(0) != IGNORE).int().argmax())
                    opened = (ids == store.bos).int()
                    opened[0] = 0
                    assert numbers[:real].tolist() == opened.cumsum(0)[:real].tolist(), (kind, unit, step)
                    assert bool((numbers[real + 1 :] > numbers[real - 1]).all())
            plain = Batches(store, Streams(0), unit=unit, size=4, context=300, within_documents=False)[0]
            assert plain.document_BT is None
            assert plain.ids_BT.equal(made[0].ids_BT)


@pytest.mark.parametrize("unit", UNITS)
def test_ranks_share_a_batch(stores: dict[str, TokenStore], unit: Unit) -> None:
    made = batches(stores["bpe"], unit, size=6)
    whole = made[7]
    parts = [made.rows(7, rank, 4) for rank in range(4)]
    for rank, part in enumerate(parts):
        assert part.ids_BT.equal(whole.ids_BT[rank::4])
        assert part.targets_BT.equal(whole.targets_BT[rank::4])
    assert sum(part.bytes for part in parts) == whole.bytes
    assert sum(part.tokens for part in parts) == whole.tokens


def test_long_documents_are_entered_anywhere(stores: dict[str, TokenStore]) -> None:
    """The longest document here spans several marks: bytes inside it are found from any of them."""
    assert max(np.diff(store.split("train").start_N1).max() for store in stores.values()) > 3 * MARK


def test_a_data_seed_of_its_own_keeps_the_order(stores: dict[str, TokenStore]) -> None:
    fixed = [
        Batches(stores["bpe"], Streams(seed, {"data": 5}), unit="tokens", size=4, context=48, within_documents=True)[3]
        for seed in (0, 1)
    ]
    assert same(*fixed)
    assert same(fixed[0], batches(stores["bpe"], "tokens", seed=5)[3])


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_a_budget_in_flops_pays_for_padding(stores: dict[str, TokenStore], kind: str) -> None:
    """What a run computes makes up its budget within 1%, however much of it is padding; in tokens nothing changes."""
    made = batches(stores[kind], "bytes", context=300)
    planned = tiny_run.recipe(budget=Flops(1e9)).plan(made, flops_per_token=1e3)
    assert planned.steps is not None
    assert planned.steps > 500
    read = [made[step] for step in range(planned.steps)]
    assert sum(batch.ids_BT.numel() for batch in read) * 1e3 == pytest.approx(1e9, rel=0.01)
    assert sum(batch.tokens for batch in read) * 1e3 < 0.97e9
    plain = batches(stores[kind], "tokens")
    assert plain.positions_per_step == plain.tokens_per_step
