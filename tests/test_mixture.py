"""Mixtures: proportions are exact at any step, rows are of one domain, and nothing depends on how a run got there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import Listed, quiet

from tests.commands import SMALL, tinylm
from tinylm.batch import IGNORE
from tinylm.data import pack as pack_module
from tinylm.data.corpus.mixture import Mixture
from tinylm.data.corpus.stdlib import Stdlib
from tinylm.data.loader import Batches
from tinylm.data.mixture import Turns
from tinylm.data.shares import Shares
from tinylm.data.store import TokenStore
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.errors import UserError
from tinylm.report.records.collect import collect
from tinylm.streams import Streams

WORDS = {"low": "abcdefg", "high": "HIJKLMNOP", "digit": "0123456789"}
SIZES = {"low": 200, "high": 40, "digit": 10}


def texts(name: str) -> list[str]:
    rng = np.random.default_rng(len(name))
    return ["".join(rng.choice(list(WORDS[name]), 30 + 11 * number % 90)) for number in range(SIZES[name])]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_module, "SMALLEST", 1)
        folder = tmp_path_factory.mktemp("mixture") / "store"
        folder.mkdir()
        parts = {name: Listed(texts(name), tune=f"{name} tune", test=f"{name} test") for name in WORDS}
        pack_module.pack(Mixture(dict(reversed(parts.items()))), Bytes().train(list), folder, quiet)
        yield TokenStore.open(folder)


def batches(store: TokenStore, shares: Shares, seed: int = 0, unit: str = "tokens", **options: int) -> Batches:
    assert unit in ("tokens", "bytes")
    return Batches(
        store,
        Streams(seed),
        unit="tokens" if unit == "tokens" else "bytes",
        size=options.get("size", 4),
        context=options.get("context", 32),
        within_documents=False,
        shares=shares,
    )


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=6),
    zeros=st.integers(0, 2),
    seed=st.integers(0, 5),
)
def test_turns_are_exact_and_reached_directly(weights: list[float], zeros: int, seed: int) -> None:
    share_D = np.array(weights + [0.0] * zeros) / sum(weights)

    def turns() -> Turns:
        return Turns(share_D, lambda block: np.random.default_rng([seed, block]))

    straight = turns()
    rows = 3 * straight.block + 7
    if rows > 5000:
        rows = 5000
    seen: Counter[int] = Counter()
    for row in range(rows):
        domain, before = straight[row]
        assert before == seen[domain]  # its number among that domain's rows
        seen[domain] += 1
        if (row + 1) % straight.block == 0:
            for number, share in enumerate(share_D):
                assert abs(seen[number] - share * (row + 1)) <= 1
    assert not any(seen[len(weights) + number] for number in range(zeros))
    for row in np.random.default_rng(seed).integers(0, rows, 20).tolist():
        assert turns()[row] == straight[row]


@pytest.mark.parametrize("unit", ["tokens", "bytes"])
def test_rows_are_of_one_domain_in_the_declared_proportion(store: TokenStore, unit: str) -> None:
    weights = {"low": 1.0, "high": 2.0, "digit": 1.0}
    made = batches(store, Shares(weights), unit=unit)
    rows: Counter[str] = Counter()
    size: Counter[str] = Counter()
    steps = 100  # 400 rows; of the digits, the smallest domain, several epochs
    for step in range(steps):
        batch = made[step]
        assert batch.domain_B is not None
        for domain, row_T in zip(batch.domain_B.tolist(), batch.targets_BT.numpy(), strict=True):
            name = store.domains[domain]
            text = bytes(int(i) for i in row_T[row_T != IGNORE] if i < 256).decode()
            assert set(text) <= set(WORDS[name]), (name, text)
            rows[name] += 1
            size[name] += len(text)
    assert all(abs(rows[name] - steps * 4 * weights[name] / 4) <= 8 for name in weights)
    assert size["high"] / size.total() == pytest.approx(0.5, abs=0.03)
    assert made.epoch(steps) > 4
    mean = np.mean([(made[step].tokens, made[step].bytes) for step in range(400)], axis=0)
    assert (made.tokens_per_step, made.bytes_per_step) == pytest.approx(mean, rel=0.01)


def test_a_domain_reads_each_id_once_an_epoch(store: TokenStore) -> None:
    made = batches(store, Shares({"low": 1.0, "high": 1.0, "digit": 0.0}), size=1, context=64)
    split = store.split("train")
    assert split.domain_N is not None
    number = store.domains.index("high")
    held = np.concatenate([store.document("train", d) for d in np.flatnonzero(split.domain_N == number)])
    seen: list[int] = []
    step = 0
    while len(seen) < len(held):
        batch = made[step]
        assert batch.domain_B is not None
        assert batch.domain_B.item() != store.domains.index("digit")  # of weight 0
        if batch.domain_B.item() == number:
            seen += [store.bos if i == IGNORE else i for i in batch.targets_BT[0].tolist()]
        step += 1
    assert Counter([*seen[: len(held) - 1], store.bos]) == Counter(held.tolist())


def test_any_step_of_a_mixture_is_reached_directly(store: TokenStore) -> None:
    shares = Shares({"low": 0.3, "high": 0.5, "digit": 0.2})
    straight = [batches(store, shares)[step] for step in range(60)]
    for step in (59, 3, 31):
        fresh = batches(store, shares)[step]
        assert fresh.domain_B is not None
        assert straight[step].domain_B is not None
        assert fresh.ids_BT.equal(straight[step].ids_BT)
        assert fresh.domain_B.equal(straight[step].domain_B)
        halves = [batches(store, shares).rows(step, rank, 2) for rank in (0, 1)]
        assert halves[1].ids_BT.equal(fresh.ids_BT[1::2])
        assert halves[1].domain_B is not None
        assert halves[1].domain_B.equal(fresh.domain_B[1::2])
    assert not batches(store, shares, seed=1)[0].ids_BT.equal(straight[0].ids_BT)
    one = batches(store, shares)
    units = one.units("sequence", 20)
    chosen = units.reading(np.array([5, 6, 7, 8]))[0]
    expected = [one[1].ids_BT[1:], one[2].ids_BT[:1]]
    assert chosen.ids_BT.tolist() == [row for part in expected for row in part.tolist()]
    assert chosen.domain_B is not None
    with pytest.raises(UserError, match=r"rounds\.unit=document"):
        one.units("document", 20)


def test_temperature_flattens() -> None:
    size_D, names = np.array([800.0, 150.0, 50.0]), ["a", "b", "c"]
    assert Shares().of(size_D, names) == pytest.approx([0.8, 0.15, 0.05])
    root = np.sqrt([0.8, 0.15, 0.05])
    assert Shares(temperature=2.0).of(size_D, names) == pytest.approx(root / root.sum())
    assert Shares(temperature=1e9).of(size_D, names) == pytest.approx([1 / 3] * 3)
    assert Shares({"a": 0, "b": 3, "c": 1}, temperature=1e9).of(size_D, names) == pytest.approx([0, 0.5, 0.5])


@pytest.mark.parametrize(
    ("weights", "temperature", "words"),
    [
        ({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, 1.0, r"data\.weights\.d: there is no such"),
        ({"a": 1.0, "b": 1.0}, 1.0, "domain c has none"),
        ({"a": 1.0, "b": -1.0, "c": 1.0}, 1.0, r"weights\.b=-1 is below 0"),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, 1.0, "all are 0"),
        ({"a": 1.0, "b": 1e-7, "c": 1.0}, 1.0, r"weights\.b: a share of"),
        (None, 0.0, r"data\.temperature=0"),
    ],
)
def test_wrong_shares_are_refused(weights: dict[str, float] | None, temperature: float, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Shares(weights, temperature).of(np.array([800.0, 150.0, 50.0]), ["a", "b", "c"])


def test_parts_keep_their_own_splits_and_get_their_names() -> None:
    parts = {"b": Stdlib(limit_bytes=60_000, only="prose"), "a": Stdlib(limit_bytes=60_000, only="code", test=0.3)}
    mixed = list(Mixture(dict(parts)).splits())
    alone = [(split, replace(document, domain=name)) for name in "ab" for split, document in parts[name].splits()]
    assert mixed == alone
    assert {document.domain for _, document in mixed} == {"a", "b"}


def test_a_mixture_runs_and_scores_each_domain(tmp_path: Path) -> None:
    small = ["data=code_and_prose", "data.parts.code.limit_bytes=300000", "data.parts.prose.limit_bytes=300000"]
    small += [f"data.parts.{name}.test=0.2" for name in ("code", "prose")]
    for reading in ("data.weights={code: 1, prose: 3}", "data.temperature=3"):
        ran = tinylm("run", *small, *SMALL, reading, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
    runs = collect(tmp_path / "runs")
    assert len(runs) == 2  # how the text is read is part of a run, ...
    assert len(list(tmp_path.rglob("store.json"))) == 1  # ... but not of what is packed
    assert runs["provenance.corpus"].nunique() == 1
    assert runs[["bits_per_byte/code", "bits_per_byte/prose"]].notna().all(axis=None)
    row = runs.iloc[0]
    low, high = sorted([row["bits_per_byte/code"], row["bits_per_byte/prose"]])
    assert low <= row["bits_per_byte"] <= high
    for wrong, words in {"data=mixture": "data.parts is empty", "data.weights={cod: 1}": "did you mean 'code'"}.items():
        refused = tinylm("run", *small[:1], *SMALL, wrong, cwd=tmp_path)
        assert refused.returncode == 2
        assert words in refused.stderr
