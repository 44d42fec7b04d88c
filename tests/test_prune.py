"""Pruned tokenizers: exact on any text, no piece out of reach, the original at full size; and models pruned in step."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import Listed, quiet
from tiny_model import random_batch, tiny_model, with_shape
from tiny_tokenizers import TEXTS, form, saved, tokenizer
from tokenizers import models, pre_tokenizers, processors

from tinylm.batch import Batch
from tinylm.data.alphabet import LETTERS
from tinylm.data.prepare import prepare
from tinylm.data.prune import Kept, basis, bytes_per_token, count, keep, prune, restricted, unreachable
from tinylm.data.tokenizer.bpe import BPE
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.data.tokenizer.file import File
from tinylm.data.tokenizer.pruned import Pruned
from tinylm.data.tokens import BOS, EOS, Origin, Tokenizer
from tinylm.errors import UserError
from tinylm.model.accounting import parameters, vocabulary_share
from tinylm.model.vocabulary import with_vocabulary

KINDS = ["letters", "llama", "unigram"]
each_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def original(kind: str) -> Tokenizer:
    with TemporaryDirectory() as folder:
        return tokenizer(kind, Path(folder))


@cache
def pruned(kind: str, spare: int | None) -> Tokenizer:
    """With ``spare`` ids beyond those that are always kept; None: all ids."""
    made = original(kind)
    vocab = made.vocab_size if spare is None else len(basis(made)) + spare
    return prune(made, count(made, TEXTS), vocab=vocab)


# Blanks and what stands for them, names of special tokens and bytes, characters that no piece has, broken neighbours.
PIECES = st.sampled_from(
    [
        BOS,
        EOS,
        "<s>",
        "</s>",
        "<unk>",
        "<0x41>",
        "▁",
        "▁▁the",
        " ",
        "  ",
        "\n",
        "\x00",
        "é",
        "中",
        "🙂",
        " the",
        "\u0300",
    ]
)
ANY_TEXT = st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=12).map("".join)


@each_kind
@settings(max_examples=60, deadline=None)
@given(text=ANY_TEXT, raw=st.binary(max_size=12), spare=st.sampled_from([0, 37, 120, None]))
def test_any_text_and_any_bytes_come_back(kind: str, text: str, raw: bytes, spare: int | None) -> None:
    made = pruned(kind, spare)
    ids = made.encode(text)
    assert made.decode(ids) == text
    assert made.decode_bytes(ids) == text.encode()
    assert made.bytes_V[ids].sum() == len(text.encode())
    assert not made.specials & set(ids)
    mixed = raw + text.encode() + raw
    assert made.decode_bytes(made.encode_bytes(mixed)) == mixed
    assert made.encode_bytes(text.encode()) == ids
    assert made.encode_batch([text, "", text]) == [ids, [], ids]
    if spare is None:
        assert ids == original(kind).encode(text)


@each_kind
def test_sizes_are_met_and_nothing_is_out_of_reach(kind: str) -> None:
    made = original(kind)
    for spare in (0, 37, 120, None):
        small = pruned(kind, spare)
        origin = small.origin
        assert origin is not None
        assert small.vocab_size == len(origin.ids_V) == origin.report["vocab"]
        assert spare is None or small.vocab_size == len(basis(made)) + spare
        assert origin.hash == made.hash
        assert [made.pieces[index] for index in origin.ids_V] == small.pieces
        assert origin.ids_V[[small.bos, small.eos]].tolist() == [made.bos, made.eos]
        assert len(unreachable(small)) == origin.report["unreachable"] == origin.report["unreachable_before"]
        assert small.encode("") == []


@each_kind
def test_full_size_is_the_original_and_twice_is_once(kind: str) -> None:
    made = original(kind)
    assert pruned(kind, None).hash == made.hash
    for spare in (0, 37, 120):
        once = pruned(kind, spare)
        again = prune(once, count(once, TEXTS), vocab=once.vocab_size)
        assert again.hash == once.hash
        with TemporaryDirectory() as folder:  # what is written is a file like any other
            once.save(Path(folder) / "tokenizer.json")
            assert File(f"{folder}/tokenizer.json").train(list).hash == once.hash


def test_a_piece_without_its_parts_is_found_out_of_reach() -> None:
    made = original("letters")
    merge = made.form["model"]["merges"][0]
    gone = made.backend.token_to_id("".join(merge))
    kept = [index for index in range(made.vocab_size) if index != gone]
    new = {old: index for index, old in enumerate(kept)}
    broken = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(restricted(made.form, new))))
    assert not unreachable(made)
    assert unreachable(broken)


def test_pieces_that_the_original_could_not_reach_are_counted() -> None:
    form = original("letters").form
    form["model"]["merges"] = form["model"]["merges"][1:]
    made = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(form)))
    lost = unreachable(made)
    assert len(lost) > 1
    whole, fewer = (prune(made, count(made, TEXTS), vocab=made.vocab_size - spare) for spare in (0, len(lost)))
    for small, left in ((whole, len(lost)), (fewer, 0)):
        assert small.origin is not None
        assert len(unreachable(small)) == left
        assert (small.origin.report["unreachable"], small.origin.report["unreachable_before"]) == (left, left)


def hand_made(merges: list[tuple[str, str]]) -> Tokenizer:
    results = dict.fromkeys("".join(pair) for pair in merges)
    vocabulary = {piece: index for index, piece in enumerate([*LETTERS, *results])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens([BOS, EOS])
    return Tokenizer(backend)


def test_a_piece_brings_the_parts_that_the_encoder_merges_it_from() -> None:
    # abcd comes from ab + cd, though a + bcd makes it too and is named first: bcd is not needed.
    made = hand_made([("a", "b"), ("c", "d"), ("a", "bcd"), ("ab", "cd"), ("b", "cd"), ("e", "f")])
    text = "abcd abcd ef"
    assert [made.pieces[index] for index in made.encode(text)] == [b"abcd", b" ", b"abcd", b" ", b"ef"]
    counts_V = count(made, [text])
    small = prune(made, counts_V, vocab=258 + 3)
    assert [piece for piece in small.pieces if len(piece) > 1] == [b"ab", b"cd", b"abcd"]
    assert small.origin is not None
    assert small.origin.report["closure"] == 1  # cd, in the place of ef
    assert small.encode("abcd") == [small.backend.token_to_id("abcd")]
    # No room for abcd with both parts: what fits is taken, the most frequent first.
    assert [piece for piece in prune(made, counts_V, vocab=260).pieces if len(piece) > 1] == [b"ab", b"ef"]


def entered(made: Tokenizer, counts_V: Any, kept: Kept) -> list[set[int]]:
    """What was kept after each entrant, the most frequent first, each with all that it is merged from; at last all."""
    vocabulary, merges = made.backend.get_vocab(), made.form["model"].get("merges", [])
    parts = {vocabulary["".join(pair)]: [vocabulary[part] for part in pair] for pair in merges}
    assert len(parts) == len(merges), "no piece comes from two merges, so what it needs is plain"
    stages = [basis(made)]
    for index in sorted(set(vocabulary.values()) - basis(made), key=lambda index: (-counts_V[index], index)):
        if stages[-1] == {*kept.ids}:
            break
        needed = [index]
        for one in needed:  # it grows on the way
            needed += parts.get(one, [])
        stages.append(stages[-1] | {*needed})
    assert stages[-1] == {*kept.ids}
    return stages


@each_kind
def test_coverage_is_reached_with_as_few_as_can_be(kind: str) -> None:
    """Without the last that came in, and what came with it, too little is covered."""
    made = original(kind)
    counts_V = count(made, TEXTS)
    text = sum(len(text.encode()) for text in TEXTS)
    assert bytes_per_token(made, counts_V) * counts_V.sum() == pytest.approx(text)
    sizes = []
    for coverage in (0.5, 0.9, 1.0):
        kept = keep(made, counts_V, coverage=coverage)
        assert coverage <= kept.coverage == counts_V[kept.ids].sum() / counts_V.sum()
        assert counts_V[sorted(entered(made, counts_V, kept)[-2])].sum() < coverage * counts_V.sum()
        sizes.append(len(kept.ids))
    assert len(basis(made)) <= sizes[0] < sizes[1] < sizes[2]
    nine = prune(made, counts_V, coverage=0.9)
    assert nine.vocab_size == sizes[1]
    assert bytes_per_token(nine, count(nine, TEXTS)) < bytes_per_token(made, counts_V)


@each_kind
def test_ids_in_the_post_processor_follow(kind: str) -> None:
    made = json.loads(form(kind))
    if kind == "letters":
        with_specials = tokenizers.Tokenizer.from_str(form(kind))
        ids = [(name, with_specials.token_to_id(name)) for name in (BOS, EOS)]
        with_specials.post_processor = processors.Sequence([processors.RobertaProcessing(ids[1], ids[0])])
        made = json.loads(with_specials.to_str())
    with TemporaryDirectory() as folder:
        whole = File(saved(made, Path(folder))).train(list)
    small = prune(whole, count(whole, TEXTS), vocab=len(basis(whole)) + 10)
    assert small.backend.encode("", add_special_tokens=True).ids == [small.bos, small.eos]


def test_a_single_end_of_text_closes_and_a_token_that_opens_is_added(tmp_path: Path) -> None:
    """As GPT-2 has it; with runs of blanks as added tokens that are no special ones, as GPT-NeoX has them."""
    made = json.loads(form("letters"))
    made["added_tokens"] = [
        {**made["added_tokens"][0], "content": "<|endoftext|>", "id": 598},
        {**made["added_tokens"][1], "content": "   ", "id": 599, "special": False},
    ]
    made["pre_tokenizer"]["add_prefix_space"] = True
    whole = File(saved(made, tmp_path)).train(list)
    assert whole.bos == whole.vocab_size - 1
    assert whole.eos == 598
    assert whole.pieces[599] == b"   "
    text = "a   b    c<|endoftext|> é"
    for one in (whole, prune(whole, count(whole, [text]), vocab=258), prune(whole, count(whole, [text]), vocab=261)):
        ids = one.encode(text)
        assert one.decode(ids) == text
        assert one.bytes_V[ids].sum() == len(text.encode())


@pytest.mark.parametrize("steps", [{"type": "NFC"}, {"type": "Sequence", "normalizers": [{"type": "NFC"}]}])
def test_letters_and_accents_come_back_as_they_were_written(tmp_path: Path, steps: dict[str, Any]) -> None:
    made = File(saved({**json.loads(form("letters")), "normalizer": steps}, tmp_path)).train(list)
    apart = "e\u0301"
    assert made.decode(made.encode(apart)) == apart != "\u00e9"
    plain = File(saved(json.loads(form("letters")), tmp_path)).train(list)
    assert made.encode("\u00e9 a b") == plain.encode("\u00e9 a b"), "composed text is what it was trained on"


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("letters", {"normalizer": {"type": "NFKC"}}, r"normaliser \(NFKC\) changes text.*set \"normalizer\" to null"),
        ("unigram", {"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}, "Cannot parse precompiled"),
        ("letters", {"pre_tokenizer": {"type": "WhitespaceSplit"}}, r"splitter \(WhitespaceSplit\) loses text"),
        ("letters", {"pre_tokenizer": None}, "does not cover all 256 bytes"),
        ("unigram", {"model.byte_fallback": False}, r"does not cover .*byte_fallback off"),
        ("unigram", {"model.vocab": [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], ["▁", -1.0]]}, "no piece '<0x00>'"),
        ("unigram", {"model.unk_id": None}, r"model\.unk_id is null"),
        ("letters", {"model.dropout": 0.1}, r"model\.dropout is 0\.1"),
        ("letters", {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}, "WordLevel, which loses"),
    ],
)
def test_a_tokenizer_that_is_not_exact_is_refused(tmp_path: Path, kind: str, change: dict[str, Any], says: str) -> None:
    made = copy.deepcopy(json.loads(form(kind)))
    for name, value in change.items():
        node, _, key = name.rpartition(".")
        (made[node] if node else made)[key] = value
    if "model.vocab" in change or "model" in change:
        made["added_tokens"] = made["added_tokens"][:3] if kind == "unigram" else []
    with pytest.raises(UserError, match=says) as caught:
        File(saved(made, tmp_path))
    assert "tokenizer.json: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_target_is_said_before_any_text_is_read(tmp_path: Path) -> None:
    for options, says in (
        ({}, "neither is given"),
        ({"vocab": 300, "coverage": 0.9}, "both are given"),
        ({"vocab": 257}, "tokenizer.vocab=257 is below 258"),
        ({"vocab": 601}, "tokenizer.vocab=601 is above the 600 ids"),
        ({"coverage": 0.0}, "tokenizer.coverage=0 "),
        ({"coverage": 1.01}, r"tokenizer.coverage=1\.01 "),
    ):
        with pytest.raises(UserError, match=says):
            Pruned(BPE(600), **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="below 260"):  # <unk>, <s>, </s> and the blank, beside the bytes
        Pruned(File(saved(json.loads(form("unigram")), tmp_path)), vocab=259)
    with pytest.raises(UserError, match=r"tokenizer\.path=/nowhere/t\.json: cannot be read"):
        File("/nowhere/t.json")
    with pytest.raises(UserError, match="above the 258 ids"):
        prune(Bytes().train(list), count(Bytes().train(list), ["a"]), vocab=259)


def test_the_original_is_shared_and_the_origin_is_kept(tmp_path: Path) -> None:
    corpus = Listed([text * 2 for text in TEXTS])
    plain, nested = {"vocab": 400}, {"vocab": 300, "of": {"vocab": 400}}
    child = prepare(corpus, Pruned(BPE(400), vocab=300), {"data": {}, "tokenizer": nested}, tmp_path, quiet)
    made = sorted(path.name for path in (tmp_path / "tokenizers").iterdir() if path.is_dir())
    parent = prepare(corpus, BPE(400), {"data": {}, "tokenizer": plain}, tmp_path, quiet)
    assert sorted(path.name for path in (tmp_path / "tokenizers").iterdir() if path.is_dir()) == made
    assert len(made) == 2
    origin = child.tokenizer.origin
    assert origin is not None
    assert parent.tokenizer.origin is None
    assert origin.hash == parent.tokenizer.hash == child.provenance["tokenizer_pruning"]["original"]
    assert origin.ids_V.dtype == "int64"
    assert origin.ids_V.shape == (300,)
    said = child.provenance["tokenizer_pruning"]
    assert (said["original_vocab"], said["vocab"], said["unreachable"]) == (400, 300, 0)
    assert 1 < said["bytes_per_token"] < said["bytes_per_token_before"]
    tune = child.store.split("tune")
    assert tune.bytes / (tune.tokens - 2 * tune.documents) == pytest.approx(said["tune"]["bytes_per_token"])
    assert said["tune"]["bytes_per_token"] <= said["tune"]["bytes_per_token_before"]
    assert 0 < said["tune"]["coverage"] <= 1
    train = child.store.split("train")
    assert train.bytes / (train.tokens - 2 * train.documents) == pytest.approx(said["bytes_per_token"])

    path = tmp_path / "run" / "tokenizer.json"
    child.tokenizer.save(path)
    assert Origin.beside(path).name == "tokenizer.origin.json"
    again = Tokenizer.load(path)
    assert again.origin is not None
    assert again.origin.ids_V.tolist() == origin.ids_V.tolist()
    assert (again.origin.hash, again.origin.report) == (origin.hash, origin.report)
    Origin.beside(path).write_text('{"hash": "0", "ids": [1, 2], "report": {}}')
    with pytest.raises(UserError, match=r"tokenizer\.origin\.json: maps 2 ids, .* has 300"):
        Tokenizer.load(path)
    parent.tokenizer.save(path)
    assert Tokenizer.load(path).origin is None


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_pruned_in_step(tied: bool) -> None:
    model = tiny_model(with_shape(tied=tied)).eval()
    ids_V = torch.tensor([3, 5, 8, 13, 21, 34, 55, 60])
    small = with_vocabulary(model, ids_V)
    assert small.shape.vocab == 8
    assert not small.training
    assert small.roles().keys() == dict(small.named_parameters()).keys()
    assert parameters(small)["total"] == parameters(model)["total"] - (2 - tied) * (61 - 8) * 32
    assert vocabulary_share(small, 61) == pytest.approx(vocabulary_share(model))
    assert vocabulary_share(small) < vocabulary_share(model)
    batch = random_batch(2, 20, vocab=8)
    whole = Batch(ids_V[batch.ids_BT], batch.targets_BT)
    with torch.no_grad():
        hidden_BTD, expected_BTD = small(batch).hidden_BTD, model(whole).hidden_BTD
        assert torch.equal(hidden_BTD, expected_BTD)
        kept = model.head(expected_BTD)[..., ids_V]
        torch.testing.assert_close(small.head(hidden_BTD), kept, rtol=0, atol=1e-6)
        small.embedding.weight.zero_()
    assert model.embedding.weight.abs().sum() > 0  # the copy is a copy
    for wrong in (torch.tensor([0, 61]), torch.tensor([-1])):
        with pytest.raises(IndexError):
            with_vocabulary(model, wrong)


def test_a_pruning_that_leaves_pieces_out_of_reach_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = original("letters")
    gone = made.backend.token_to_id("".join(made.form["model"]["merges"][0]))
    kept = [index for index in range(made.vocab_size) if index != gone]
    monkeypatch.setattr("tinylm.data.prune.keep", lambda *_, **__: Kept(kept, 0, 1.0))
    with pytest.raises(UserError, match="no text would reach"):
        prune(made, count(made, TEXTS), vocab=len(kept))
