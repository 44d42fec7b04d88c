"""Documents of every corpus: the same text from every format, faults told by file and row, splits that do not leak."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import datasets
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.corpus.files import Files
from tinylm.data.corpus.hub import Hub
from tinylm.data.corpus.stdlib import Stdlib
from tinylm.data.document import Document
from tinylm.data.passages import STRETCH, cut, stretches
from tinylm.data.split import split_of
from tinylm.errors import UserError

TEXTS = ["NA", "a line", 'two\nlines, "quoted"', " leading é 中文 🙂", "tab\tand NUL-free", "null", "ends in blank "]


def compress(raw: bytes, suffix: str) -> bytes:
    return {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix](raw)


def encoded(texts: list[str], kind: str) -> bytes:
    if kind == "txt":
        return "\n".join(texts).encode()
    if kind == "jsonl":
        return "".join(json.dumps({"n": i, "text": text}) + "\n" for i, text in enumerate(texts)).encode()
    if kind == "parquet":
        buffer = io.BytesIO()
        datasets.Dataset.from_dict({"n": list(range(len(texts))), "text": texts}).to_parquet(buffer)
        return buffer.getvalue()
    table = io.StringIO()
    writer = csv.writer(table, csv.excel_tab if kind == "tsv" else csv.excel)
    writer.writerows([["n", "text"], *([i, text] for i, text in enumerate(texts))])
    return table.getvalue().encode()


def texts_of(folder: Path, **options: Any) -> list[str]:
    return [document.text for document in Files([str(folder / "**")], **options).documents()]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
def test_a_row_is_the_same_text_in_every_format(tmp_path: Path, kind: str, suffix: str) -> None:
    (tmp_path / f"rows.{kind}{suffix}").write_bytes(compress(encoded(TEXTS, kind), suffix))
    assert texts_of(tmp_path) == TEXTS


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_text_file_is_its_bytes(tmp_path: Path, suffix: str) -> None:
    raw = "first\r\n\n\u2028 no line end here \x0c\n" + "x" * 3_000_000 + "é"
    (tmp_path / f"a.txt{suffix}").write_bytes(compress(raw.encode(), suffix))
    assert texts_of(tmp_path, document="file") == [raw]
    assert "".join(texts_of(tmp_path, document="passage", passage_bytes=4096, tune=0.01, test=1e-9)) in raw
    assert texts_of(tmp_path, document="line") == ["first", "\u2028 no line end here \x0c", raw.split("\n")[-1]]


WIKI = " \n = One = \n \n text\n = = Part = = \n more\n\n = Two = \n end"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("line", [" = One = ", " text", " = = Part = = ", " more", " = Two = ", " end"]),
        ("block", [" = One = \n", " text\n = = Part = = \n more\n", " = Two = \n end"]),
        ("heading", [" = One = \n \n text\n = = Part = = \n more\n\n", " = Two = \n end"]),
        ("file", [WIKI]),
    ],
)
def test_what_a_document_is(tmp_path: Path, document: Any, expected: list[str]) -> None:
    (tmp_path / "wiki.txt").write_text(WIKI)
    assert texts_of(tmp_path, document=document) == expected
    # The same text as rows, one a line, as datasets ship it: headings and files run across rows.
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "wiki.jsonl").write_bytes(encoded(WIKI.split("\n"), "jsonl"))
    if document in ("line", "heading"):
        assert [text.rstrip("\n") for text in texts_of(rows, document=document)] == [
            text.rstrip("\n") for text in expected
        ]


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("a.txt", b"good\nb\xffd\n", r"a\.txt:2: not UTF-8 \(byte 0xff at byte 2 of the row\)"),
        ("a.txt", b"x" * (1 << 20) + b"\xc3", r"a\.txt:1: not UTF-8 \(byte 0xc3 at byte 1048577 of the row\)"),
        (
            "a.jsonl",
            b'{"text": "a"}\n\n{"test": "b"}\n',
            r"a\.jsonl:3: the row has no field 'text'.*did you mean 'test'",
        ),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"a\.jsonl:2: no JSON"),
        ("a.jsonl", b'{"text": 7}\n', r"a\.jsonl:1: the field 'text' .* holds 7, no text"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl:1: a row has to be an object"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', r"a\.jsonl:1: the lone surrogate U\+D800"),
        ("a.csv", b"n,text\n1,a\n2\n", r"a\.csv:3: the row has no field 'text'"),
        ("a.csv", b'n,text\n1,"a\n', r"a\.csv:2: no excel csv"),
        ("a.parquet", b"PAR0", r"a\.parquet: no parquet file"),
        ("a.txt.gz", gzip.compress(b"text\n" * 9999, mtime=0)[:40], r"a\.txt\.gz:\d+: cannot be read on"),
        ("a.txt.zst", b"nothing of the kind", r"a\.txt\.zst:1: cannot be read on"),
        ("a.docx", b"", r"a\.docx: no format is known for '\.docx'"),
        ("a", b"", r"no format is known for 'a name without suffix'"),
    ],
)
def test_bad_input_is_named_by_file_and_row(tmp_path: Path, name: str, raw: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=says) as caught:
        texts_of(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_parquet_row_without_text_is_named(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a", None]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet:2: the field 'text' .* holds None"):
        texts_of(tmp_path)
    with pytest.raises(UserError, match=r"a\.parquet:1: the row has no field 'body'"):
        texts_of(tmp_path, text_field="body")


def test_options_that_cannot_be(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.txt"
    nothing.touch()
    (tmp_path / "some.txt").write_text("some")
    assert texts_of(tmp_path) == ["some"], "an empty file among others is none to complain of"
    for say, make in {
        r"data\.paths: no file is '.*gone.*'": lambda: list(Files([str(tmp_path / "gone*")]).documents()),
        r"data\.paths: .*nothing\.txt holds no text; name": lambda: list(Files([str(nothing)]).documents()),
        r"data\.paths names no file": lambda: list(Files([]).documents()),
        r"data\.heading=": lambda: Files(["x"], heading="("),
        r"data\.passage_bytes=3": lambda: Files(["x"], passage_bytes=3),
        r"data\.tune=0": lambda: Files(["x"], tune=0.0),
        r"data\.tune=0.4 and": lambda: Stdlib(tune=0.4, test=0.4),
    }.items():
        with pytest.raises(UserError, match=say):
            make()


def test_domains_come_from_their_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a b", "kind": "x"}\n{"text": "c", "kind": "y"}\n')
    documents = Files([str(tmp_path / "*")], domain_field="kind", document="line").documents()
    assert [(d.text, d.domain) for d in documents] == [("a b", "x"), ("c", "y")]


def test_limit_bytes_takes_whole_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("éé\nabc\nlong line\n")
    assert texts_of(tmp_path, document="line", limit_bytes=7) == ["éé", "abc"]
    with pytest.raises(UserError, match=r"data\.limit_bytes is -1"):
        texts_of(tmp_path, document="line", limit_bytes=-1)


def test_content_follows_bytes_and_not_places(tmp_path: Path) -> None:
    def key(folder: Path) -> dict[str, str | None]:
        return Files([f"{folder}/**/*.txt"], held_out=[f"{folder}/test.jsonl"]).content()

    first = tmp_path / "first"
    (first / "deep").mkdir(parents=True)
    (first / "deep" / "b.txt").write_text("b")
    (first / "a.txt").write_text("a")
    (first / "test.jsonl").write_text('{"text": "t"}')
    before = key(first)
    moved = first.rename(tmp_path / "elsewhere")
    assert key(moved) == before
    assert set(before) == {"paths", "held_out"}
    (moved / "a.txt").write_text("A")
    assert key(moved)["paths"] != before["paths"]
    assert key(moved)["held_out"] == before["held_out"]
    (moved / "a.txt").write_text("a")
    assert key(moved) == before
    (moved / "a.txt").rename(moved / "z.txt")  # now read after deep/b.txt
    assert key(moved)["paths"] != before["paths"]


def test_held_out_text_is_the_whole_test_split(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"line {i}" for i in range(400)))
    (tmp_path / "held.txt").write_text("one\ntwo\n")
    corpus = Files([str(tmp_path / "a.txt")], held_out=[str(tmp_path / "held.txt")], document="line", test=0.3)
    pairs = list(corpus.splits())
    assert [document.text for split, document in pairs if split == "test"] == ["one", "two"]
    assert {split for split, _ in pairs} == {"train", "tune", "test"}


@given(st.text(), st.floats(0.01, 0.2), st.floats(0.01, 0.2))
def test_more_tune_takes_from_train_alone(text: str, tune: float, test: float) -> None:
    before, after = split_of(text, tune, test), split_of(text, tune + 0.2, test)
    assert after == before or (before, after) == ("train", "tune")


def test_split_fractions_come_out() -> None:
    splits = [split_of(str(i), 0.1, 0.2) for i in range(20_000)]
    assert abs(splits.count("tune") / 20_000 - 0.1) < 0.01
    assert abs(splits.count("test") / 20_000 - 0.2) < 0.01


@given(st.lists(st.text(st.sampled_from("a é\n中🙂"), max_size=300), max_size=8), st.integers(64, 200))
def test_passages_concatenate_to_the_text(pieces: list[str], size: int) -> None:
    passages = list(cut(pieces, size))
    assert "".join(passages) == "".join(pieces)
    assert all(0 < len(passage.encode()) <= size for passage in passages)
    assert all(len(passage.encode()) >= size // 2 - 3 for passage in passages[:-1])


def test_passages_of_different_splits_are_never_neighbours() -> None:
    passages = [Document(f"passage {i}", str(i)) for i in range(3000)]
    kept = list(stretches(passages, 0.2, 0.2))
    split = {int(document.source): split_of(document.key, 0.2, 0.2) for document in kept}
    pairs = [(i, i + 1) for i in split if i + 1 in split]
    assert all(split[i] == split[j] for i, j in pairs)
    assert set(split.values()) == {"train", "tune", "test"}
    assert len(kept) > 3000 * (1 - 1 / STRETCH)
    rows = [document.text for document in stretches(passages, 0.2, 0.2)]
    assert rows == [document.text for document in kept]


def test_stdlib_is_text_of_both_kinds_in_one_order() -> None:
    corpus = Stdlib(limit_bytes=400_000)
    documents = list(corpus.documents())
    assert documents == list(Stdlib(limit_bytes=400_000).documents())
    assert {document.domain for document in documents} == {"code", "prose"}
    assert 390_000 < sum(len(document.text.encode()) for document in documents) <= 400_000
    assert max(len(document.text.encode()) for document in documents) <= 2048
    code = "".join(document.text for document in documents if document.domain == "code")
    assert "def " in code
    assert not [d for d in documents if d.domain == "prose" and len(d.text) > 200 and d.text in code]
    assert corpus.content() == Stdlib(tune=0.1).content()


def test_the_hub_offline_says_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(HfApi, "dataset_info", unreachable)
    for read in (lambda: Hub("a/b").content(), lambda: list(Hub("a/b").documents())):
        with pytest.raises(UserError, match=r"data\.name=a/b: the hub cannot be reached .*data=files"):
            read()


def test_the_hub_reads_the_pinned_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    asked: list[dict[str, Any]] = []

    def load(name: str, config: str | None, **options: Any) -> list[dict[str, str]]:
        asked.append(options)
        return [{"body": line} for line in WIKI.split("\n")] + ([{}] if options["split"] == "bad" else [])

    monkeypatch.setattr(datasets, "load_dataset", load)
    hub = Hub("a/b", held_out="validation", text_field="body", document="heading", revision=commit)
    assert hub.content() == {"revision": commit}
    assert [re.findall(r"\w+", document.text)[0] for document in hub.documents()] == ["One", "Two"]
    assert len(list(hub.held_out() or [])) == 2
    assert [(ask["split"], ask["revision"], ask["streaming"]) for ask in asked] == [
        ("train", commit, True),
        ("validation", commit, True),
    ]
    assert "trust_remote_code" not in asked[0]
    with pytest.raises(UserError, match=r"a/b\[bad\]:10: the row has no field 'body'"):
        list(Hub("a/b", split="bad", text_field="body", revision=commit).documents())
