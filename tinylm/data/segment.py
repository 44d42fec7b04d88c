"""What a document is: a row, a line, a block of lines, a file, a headed part or a passage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Literal

from tinylm.data.document import Document
from tinylm.data.passages import cut, stretches
from tinylm.data.rows import Row, whole_lines
from tinylm.errors import UserError

WIKITEXT = r" = [^=].* = ?$"  # the title line of an article of WikiText

Kind = Literal["row", "line", "block", "file", "heading", "passage"]


class Segmenter:
    """Cuts the rows of one file into documents.

    Args:
        document: ``row`` (a row's text as it is; of a text file, as ``line``), ``line`` (a line without its end),
            ``block`` (lines up to a blank one), ``file`` (all rows, one a line), ``heading`` (from a line
            that matches ``heading`` to before the next; what precedes the first is a document too), ``passage``
            (at most ``passage_bytes`` bytes; see ``passages.cut``).
            Lines, blocks and passages stay within a row of jsonl, csv and parquet; headings are looked for in all
            rows laid end to end.
        heading: regular expression, matched at the start of a line.
        passage_bytes: size of a passage in bytes of UTF-8.
        tune, test: fractions of the splits, which decide where a gap lies between blocks of passages.

    Documents of blanks only are left out.
    """

    def __init__(self, document: Kind, heading: str, passage_bytes: int, tune: float, test: float) -> None:
        if passage_bytes < 64:
            raise UserError(f"data.passage_bytes={passage_bytes} is too small; give at least 64")
        try:
            self.heading = re.compile(heading)
        except re.error as error:
            raise UserError(f"data.heading={heading!r} is no regular expression ({error})") from error
        self.kind: Kind = document
        self.passage_bytes = passage_bytes
        self.tune, self.test = tune, test

    def documents(self, rows: Iterable[Row], name: str, running: bool) -> Iterator[Document]:
        """The documents of one file.

        Args:
            rows: the file's rows.
            name: the file, for ``Document.source``.
            running: the rows are the lines of one running text; else each row is a text of its own.
        """
        if self.kind in ("file", "heading"):
            parts = self._gathered(whole_lines(rows) if running else _lines_of(rows), name)
        elif self.kind == "passage":
            parts = self._running_passages(rows, name) if running else self._row_passages(rows, name)
        elif self.kind == "block":
            parts = self._blocks(whole_lines(rows), name) if running else self._row_blocks(rows, name)
        elif self.kind == "line" or running:
            parts = self._lines(whole_lines(rows) if running else _lines_of(rows), name)
        else:
            parts = (Document(row.text, f"{name}:{row.number}", row.domain) for row in rows)
        return (part for part in parts if part.text.strip())

    def _lines(self, lines: Iterable[Row], name: str) -> Iterator[Document]:
        for line in lines:
            yield Document(line.text.removesuffix("\n").removesuffix("\r"), f"{name}:{line.number}", line.domain)

    def _running_passages(self, rows: Iterable[Row], name: str) -> Iterator[Document]:
        def numbered() -> Iterator[Document]:
            line = 1
            for text in cut((row.text for row in rows), self.passage_bytes):
                yield Document(text, f"{name}:{line}")
                line += text.count("\n")

        return stretches(numbered(), self.tune, self.test)

    def _row_passages(self, rows: Iterable[Row], name: str) -> Iterator[Document]:
        for row in rows:
            source = f"{name}:{row.number}"
            passages = (Document(text, source, row.domain) for text in cut([row.text], self.passage_bytes))
            yield from stretches(passages, self.tune, self.test)

    def _row_blocks(self, rows: Iterable[Row], name: str) -> Iterator[Document]:
        for row in rows:
            yield from self._blocks(_lines_of([row]), name)

    def _blocks(self, lines: Iterable[Row], name: str) -> Iterator[Document]:
        for blank, group in groupby(lines, key=lambda line: not line.text.strip()):
            if not blank:
                yield _joined(list(group), name)

    def _gathered(self, lines: Iterable[Row], name: str) -> Iterator[Document]:
        gathered: list[Row] = []
        for line in lines:
            if gathered and self.kind == "heading" and self.heading.match(line.text):
                yield _joined(gathered, name)
                gathered = []
            gathered.append(line)
        if gathered:
            yield _joined(gathered, name)


def _joined(lines: list[Row], name: str) -> Document:
    return Document("".join(line.text for line in lines), f"{name}:{lines[0].number}", lines[0].domain)


def _lines_of(rows: Iterable[Row]) -> Iterator[Row]:
    """The lines of each row, all with an end; only LF ends a line."""
    for row in rows:
        for line in row.text.removesuffix("\n").split("\n"):
            yield Row(row.number, line + "\n", row.domain)
