"""Exact bytes: every text encodes to ids that stand for its UTF-8, and decodes back."""

from __future__ import annotations

import inspect
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.data import document, tokens
from tinylm.data.tokenizer.bpe import BPE
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.data.tokenizer.words import Words
from tinylm.data.tokens import BOS, EOS, Tokenizer
from tinylm.errors import UserError

TEXTS = [inspect.getsource(module) for module in (tokens, document, inspect)] + [
    "naïve 中文 café 🙂 🙂 中文 naïve café"
] * 3


@cache
def tokenizer(kind: str) -> Tokenizer:
    return {"bpe": BPE(512), "bytes": Bytes(), "words": Words(300)}[kind].train(lambda: TEXTS)


# Byte fallback, blanks at either end, U+FFFD, characters of 2 to 4 bytes, the special tokens' own names.
PIECES = st.sampled_from(
    [BOS, EOS, "<|", "|>", "\ufffd", " ", "  ", "\n\n", "\x00", "é", "中", "🙂", " the", "self", "\u0300"]
)
ANY_TEXT = st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=20).map("".join)


@pytest.mark.parametrize("kind", ["bpe", "bytes", "words"])
@settings(max_examples=150, deadline=None)
@given(text=ANY_TEXT)
def test_bytes_are_exact_and_text_comes_back(kind: str, text: str) -> None:
    made = tokenizer(kind)
    ids = made.encode(text)
    assert made.decode(ids) == text
    assert made.bytes_V[ids].sum() == len(text.encode())
    assert not {made.bos, made.eos} & set(ids)
    assert b"".join(made.pieces[index] for index in ids) == text.encode()  # also where an id splits a character
    assert made.decode([made.bos, *ids, made.eos]) == text


@given(st.lists(ANY_TEXT, max_size=5))
@settings(max_examples=40, deadline=None)
def test_a_batch_is_its_texts(texts: list[str]) -> None:
    made = tokenizer("bpe")
    assert made.encode_batch(texts) == [made.encode(text) for text in texts]


@given(st.binary(max_size=30))
def test_ids_of_raw_bytes_are_the_bytes(raw: bytes) -> None:
    made = tokenizer("bytes")
    assert made.decode(list(raw)) == raw.decode(errors="replace")
    text = raw.decode(errors="replace")
    assert made.encode(text) == list(text.encode())


@pytest.mark.parametrize(("kind", "size"), [("bpe", 512), ("bytes", 258), ("words", 300)])
def test_the_vocabulary(tmp_path: Path, kind: str, size: int) -> None:
    made = tokenizer(kind)
    assert (made.vocab_size, made.bos, made.eos) == (size, size - 2, size - 1)
    assert made.bytes_V[[made.bos, made.eos]].tolist() == [0, 0]
    assert len(set(made.pieces)) == size - 1  # all different, but for the two special ones
    assert {bytes([byte]) for byte in range(256)} <= set(made.pieces)

    made.save(tmp_path / "deep" / "tokenizer.json")
    read = Tokenizer.load(tmp_path / "deep" / "tokenizer.json")
    assert read.hash == made.hash
    assert read.encode(f" {BOS}the naïve") == made.encode(f" {BOS}the naïve")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["tokenizer.json"]


def test_merges_shorten_what_was_trained_on() -> None:
    text = TEXTS[0]
    assert len(tokenizer("bpe").encode(text)) < 0.7 * len(text.encode())


def test_training_is_the_same_in_every_process() -> None:
    program = (
        "import inspect; from tinylm.data import document, tokens; from tinylm.data.tokenizer.bpe import BPE;"
        "print(BPE(512).train(lambda: [inspect.getsource(m) for m in (tokens, document, inspect)]"
        " + ['naïve 中文 café 🙂 🙂 中文 naïve café'] * 3).hash)"
    )
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUTF8": "1"}
        shown = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == tokenizer("bpe").hash


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UserError, match=r"tokenizer\.vocab=200 is below 258 .*tokenizer=bytes"):
        BPE(200)
    with pytest.raises(
        UserError, match=r"tokenizer\.vocab=4096 cannot be reached: .* give 2\d\d; set tokenizer\.vocab=2"
    ):
        BPE(4096).train(lambda: ["a little text, a little text"])
    for kind in ("bpe", "bytes"):
        with pytest.raises(UserError, match=r"lone surrogate U\+D83D after 'half a '"):
            tokenizer(kind).encode("half a \ud83d face")


def test_a_torn_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(UserError, match=r"tokenizer\.json: cannot be read"):
        Tokenizer.load(path)
    path.write_text('{"version"')
    with pytest.raises(UserError, match=r"tokenizer\.json: no tokenizer"):
        Tokenizer.load(path)
