"""Text of one's own: files of txt, jsonl, csv, tsv or parquet, plain or compressed."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from tinylm.data.content import file_hash, text_hash
from tinylm.data.document import Corpus, Document, check_fractions, limited
from tinylm.data.rows import file_format, read_rows
from tinylm.data.segment import WIKITEXT, Kind, Segmenter
from tinylm.errors import UserError


class Files(Corpus):
    """Documents from files, in the order of the files' names.

    Args:
        paths: files or globs (``**`` crosses folders) of .txt, .md, .jsonl, .csv, .tsv, .parquet, also .gz and .zst.
        held_out: files or globs that are the whole test split; the hash then draws only the tune split.
        document: what a document is; see ``Segmenter``.
        heading: regular expression of the line that opens a document, where ``document`` is ``heading``.
            The default fits the articles of WikiText.
        passage_bytes: size of a passage in bytes, where ``document`` is ``passage``.
        text_field: field of a row that holds the text.
        domain_field: field of a row that names its domain, or None.
        tune: fraction of documents in the tune split.
        test: fraction of documents in the test split, unless ``held_out`` is given.
        limit_bytes: read whole documents up to this many bytes of text, held-out ones aside; None reads all.
    """

    def __init__(
        self,
        paths: list[str],
        held_out: list[str] | None = None,
        document: Kind = "row",
        heading: str = WIKITEXT,
        passage_bytes: int = 2048,
        text_field: str = "text",
        domain_field: str | None = None,
        tune: float = 0.05,
        test: float = 0.05,
        limit_bytes: int | None = None,
    ) -> None:
        check_fractions(tune, test)
        self.paths = paths
        self.held_out_paths = held_out
        self.text_field, self.domain_field = text_field, domain_field
        self.tune = tune
        self.test = 0.0 if held_out else test
        self.limit_bytes = limit_bytes
        self.segmenter = Segmenter(document, heading, passage_bytes, self.tune, self.test)

    def documents(self) -> Iterator[Document]:
        return limited(self._read("data.paths", self.paths), self.limit_bytes)

    def held_out(self) -> Iterator[Document] | None:
        return self._read("data.held_out", self.held_out_paths) if self.held_out_paths else None

    def content(self) -> dict[str, str | None]:
        held_out = _content("data.held_out", self.held_out_paths) if self.held_out_paths else None
        return {"paths": _content("data.paths", self.paths), "held_out": held_out}

    def _read(self, option: str, patterns: list[str]) -> Iterator[Document]:
        empty = True
        paths = _found(option, patterns)
        for path in paths:
            running = file_format(path) == "text"
            rows = read_rows(path, self.text_field, self.domain_field)
            for document in self.segmenter.documents(rows, str(path), running):
                empty = False
                yield document
        if empty:
            more = f", nor do the {len(paths) - 1} others" if len(paths) > 1 else ""
            raise UserError(f"{option}: {paths[0]} holds no text{more}; name a file that does")


def _content(option: str, patterns: list[str]) -> str:
    """Hash of formats and bytes in reading order; the names count through the order alone."""
    return text_hash(f"{file_format(path)} {file_hash(path)}" for path in _found(option, patterns))


def _found(option: str, patterns: list[str]) -> list[Path]:
    """Every file once, sorted by its place below the folder that all share: where that folder lies is no matter."""
    if not patterns:
        raise UserError(f"{option} names no file; give a list such as '{option}=[text/*.txt]'")
    found: set[str] = set()
    for pattern in patterns:
        full = os.path.abspath(os.path.expanduser(pattern))
        matches = [full] if os.path.isfile(full) else glob.glob(full, recursive=True)
        files = [match for match in matches if os.path.isfile(match)]
        if not files:
            looked = "" if os.path.isabs(os.path.expanduser(pattern)) else f" (looked in {os.getcwd()})"
            raise UserError(f"{option}: no file is {pattern!r}{looked}; give a file or a glob")
        found.update(files)
    folder = os.path.commonpath([os.path.dirname(name) for name in found])
    return sorted((Path(name) for name in found), key=lambda path: path.relative_to(folder).parts)
