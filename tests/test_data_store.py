"""A store holds the documents exactly, is built once and whole, and with little memory."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tiny_corpus import Listed, packed, quiet
from tokenizers import models, pre_tokenizers

from tinylm.data import pack as pack_module
from tinylm.data.alphabet import LETTERS
from tinylm.data.corpus.files import Files
from tinylm.data.corpus.stdlib import Stdlib
from tinylm.data.prepare import prepare
from tinylm.data.split import SPLITS
from tinylm.data.store import MARK, TokenStore
from tinylm.data.tokenizer.bpe import BPE
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.data.tokens import BOS, EOS, Texts, Tokenizer, Trainer
from tinylm.errors import UserError

IDENTITY = {"data": {"content": "0"}, "tokenizer": {"vocab": 400}}


def test_a_store_holds_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "BATCH_BYTES", 50_000)
    corpus = Stdlib(limit_bytes=1_000_000)
    prepared = prepare(corpus, BPE(400), IDENTITY, tmp_path, quiet)
    store, tokenizer = prepared.store, prepared.tokenizer
    at = dict.fromkeys(SPLITS, 0)
    for name, document in corpus.splits():
        ids = store.document(name, at[name])
        split = store.split(name)
        assert (ids[0], ids[-1]) == (store.bos, store.eos)
        assert tokenizer.decode(ids.tolist()) == document.text
        assert split.bytes_N[at[name]] == len(document.text.encode()) == store.bytes_V[ids].sum()
        assert split.domain_N is not None
        assert store.domains[split.domain_N[at[name]]] == document.domain
        at[name] += 1
    made = prepared.provenance["prepared"]
    assert made["bytes"] == sum(store.split(name).bytes for name in SPLITS)
    assert made["tokens"] == sum(len(store.split(name).ids) for name in SPLITS)
    assert min(made["tokenizer_seconds"], made["store_seconds"]) > 0
    assert prepare(corpus, BPE(400), IDENTITY, tmp_path, quiet).provenance["prepared"] == made, (
        "who made it does not matter"
    )
    for name in SPLITS:
        split = store.split(name)
        assert split.documents == at[name] > 0
        assert split.tokens == split.start_N1[-1] == len(split.ids)
        assert split.bytes == split.bytes_N.sum() == store.bytes_V[split.ids].sum()
        before = np.concatenate([[0], np.cumsum(store.bytes_V[split.ids])])
        assert split.marks_M.tolist() == before[:-1:MARK].tolist()
        assert split.text_N1.tolist() == before[split.start_N1].tolist()
    assert prepared.provenance["store"] == store.hash
    assert prepared.provenance["tokenizer"] == store.tokenizer == tokenizer.hash


def test_the_tokenizer_sees_the_train_split_alone(tmp_path: Path) -> None:
    seen: list[str] = []

    class Seeing(Trainer):
        def train(self, texts: Texts) -> Tokenizer:
            seen.extend(texts())
            return Bytes().train(list)

    corpus = Listed(["a " * 900, "b " * 900])
    prepare(corpus, Seeing(), IDENTITY, tmp_path, quiet)
    assert seen == ["a " * 900, "b " * 900]


def test_equal_documents_make_equal_stores(tmp_path: Path) -> None:
    tokenizer = Bytes().train(list)
    first, second, other = (
        packed(texts, tokenizer, tmp_path / name)
        for name, texts in {"1": ["x" * 1024], "2": ["x" * 1024], "3": ["x" * 1023 + "y"]}.items()
    )
    assert first.hash == second.hash != other.hash
    assert first.split("train").domain_N is None


def test_wide_ids_where_the_vocabulary_needs_them(tmp_path: Path) -> None:
    pieces = [*LETTERS, *(f"x{number}" for number in range(70_000))]
    backend = tokenizers.Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens([BOS, EOS])
    wide = Tokenizer(backend)
    assert packed(["é" * 1024], wide, tmp_path / "wide").split("train").ids.dtype == np.uint32
    assert packed(["é" * 1024], Bytes().train(list), tmp_path / "thin").split("train").ids.dtype == np.uint16


def test_a_store_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []
    begun = threading.Event()

    class Slow(Trainer):
        def train(self, texts: Texts) -> Tokenizer:
            made.append(threading.get_ident())
            begun.set()
            time.sleep(0.3)
            return Bytes().train(texts)

    said: list[str] = []
    results: list[str] = []

    def work() -> None:
        prepared = prepare(Listed(["x" * 2000]), Slow(), IDENTITY, tmp_path, lambda text, _: said.append(text))
        results.append(prepared.store.hash)

    threads = [threading.Thread(target=work) for _ in range(4)]
    threads[0].start()
    begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 1
    assert len(results) == 4
    assert len(set(results)) == 1
    assert any("waiting for another process" in text for text in said)
    work()
    assert len(made) == 1
    other = {**IDENTITY, "tokenizer": {"vocab": 401}}
    prepare(Listed(["x" * 2000]), Slow(), other, tmp_path, quiet)
    assert len(made) == 2


def left_behind(cache: Path) -> list[str]:
    return [str(path.relative_to(cache)) for path in cache.rglob("*") if path.suffix != ".lock" and path.is_file()]


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    (text / "a.txt").write_bytes(b"".join(b"good line %d\n" % i for i in range(5000)) + b"b\xffd\n")
    cache = tmp_path / "cache"
    corpus = Files([str(text / "*")], document="line")
    for trainer in (BPE(300), Bytes()):  # the fault meets the tokenizer first, or the store
        with pytest.raises(UserError, match=r"a\.txt:5001: not UTF-8"):
            prepare(corpus, trainer, IDENTITY, cache, quiet)
        assert all(name.startswith("tokenizers/") and type(trainer) is Bytes for name in left_behind(cache))
    assert not (list((cache / "stores").glob("*[!.]*/")) if (cache / "stores").exists() else [])


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    prepared = prepare(Listed(["x" * 2000]), Bytes(), IDENTITY, tmp_path, quiet)
    folder = prepared.store.folder
    (folder / "store.json").unlink()  # as if the disk had lost it
    torn = folder.parent / f".{folder.name}.99999"
    torn.mkdir()
    (torn / "train.ids").write_bytes(b"half")
    again = prepare(Listed(["x" * 2000]), Bytes(), IDENTITY, tmp_path, quiet)
    assert again.store.hash == prepared.store.hash
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


@pytest.mark.parametrize(
    ("corpus", "says"),
    [
        (
            Listed(["x" * 2000], tune=" "),
            r"the tune split is too small to measure: 1 documents, 1 bytes of .*data\.tune",
        ),
        (Listed(["x"]), r"the train split is too small .* give more text"),
        (Listed(["fine", "a \ud800 b"]), r"list:1 and list:2: the lone surrogate U\+D800"),
    ],
)
def test_a_corpus_too_small_or_broken_is_said(tmp_path: Path, corpus: Listed, says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepare(corpus, Bytes(), IDENTITY, tmp_path, quiet)
    assert not [name for name in left_behind(tmp_path) if name.startswith("stores")]


def test_an_empty_corpus_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(" \n\n")
    corpus = Files([str(tmp_path / "a.txt")])
    with pytest.raises(UserError, match=r"data\.paths: .*a\.txt holds no text"):
        prepare(corpus, Bytes(), IDENTITY, tmp_path / "cache", quiet)
    monkeypatch.setattr(Files, "documents", lambda self: iter(()))  # as a hub's dataset may be
    with pytest.raises(UserError, match="the corpus is empty"):
        prepare(corpus, Bytes(), IDENTITY, tmp_path / "cache", quiet)


def test_a_folder_that_is_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no token store"):
        TokenStore.open(tmp_path)
    store = packed(["x" * 2000], Bytes().train(list), tmp_path / "store")
    about = store.folder / "store.json"
    about.write_text(about.read_text().replace('"format": ', '"format": 9'))
    with pytest.raises(UserError, match="a store of format 9"):
        TokenStore.open(store.folder)


MEMORY = """
import resource, sys
from pathlib import Path
from tiny_corpus import Listed, quiet, stretch_in
from tinylm.data.document import Document
from tinylm.data.pack import pack
from tinylm.data.tokenizer.bytes import Bytes

class Long(Listed):
    def documents(self):
        yield from super().documents()
        train = stretch_in("train")
        for row in range(int(sys.argv[2])):
            yield Document(f"{row} " + "words of a line " * 250, str(row), stretch=train)

pack(Long([]), Bytes().train(list), Path(sys.argv[1]), quiet)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Seven times the text, 12 MB more of it, and less than 4 MB more memory."""
    peaks: list[int] = []
    house = Path(__file__).parents[1]
    for documents in (500, 3500):
        folder = tmp_path / str(documents)
        folder.mkdir()
        shown = subprocess.run(
            [sys.executable, "-c", MEMORY, str(folder), str(documents)],
            env={"PYTHONPATH": f"{house}:{house / 'tests'}"},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(shown.stdout))
    assert TokenStore.open(tmp_path / "3500").split("train").bytes > 13_000_000
    assert peaks[1] - peaks[0] < 4
