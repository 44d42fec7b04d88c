"""Rows of files: txt, jsonl, csv, tsv and parquet, plain or compressed by gzip or zstandard.

The text formats are read here, since a fault has to be told by file, row and byte; parquet goes through ``datasets``.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import zstandard

from tinylm.errors import UserError, nearest

PIECE = 1 << 20  # bytes: a text file may be one endless line, memory shall not hold it whole
LONGEST_FIELD = 1 << 30  # characters of a csv field; the reader's own limit is 128 kB

SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class Row:
    """A row's text. ``number`` counts from 1: the line of a text format, the record of a parquet file.

    A row of a text file is a line with its end, or a piece of at most ``PIECE`` bytes of a longer one.
    """

    number: int
    text: str
    domain: str | None = None


def file_format(path: Path) -> str:
    """``text``, ``jsonl``, ``csv``, ``tsv`` or ``parquet``, by the file's name without its compression.

    Raises:
        UserError: the name tells no format.
    """
    suffix = (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix.lower()
    if suffix not in SUFFIXES:
        hint = nearest(suffix, SUFFIXES)
        raise UserError(f"{path}: no format is known for {suffix or 'a name without suffix'!r}{hint}")
    return SUFFIXES[suffix]


def read_rows(path: Path, text_field: str, domain_field: str | None) -> Iterator[Row]:
    """Stream a file's rows.

    Args:
        path: a file.
        text_field: which field of a row holds the text; a text file has no fields.
        domain_field: which field names the domain, or None.

    Raises:
        UserError: it cannot be read, is not UTF-8, or a row lacks a field; names file, row and byte.
    """
    readers: dict[str, Callable[[], Iterator[Row]]] = {
        "text": lambda: _lines(path),
        "jsonl": lambda: _jsonl(path, text_field, domain_field),
        "csv": lambda: _csv(path, text_field, domain_field, csv.excel),
        "tsv": lambda: _csv(path, text_field, domain_field, csv.excel_tab),
        "parquet": lambda: _parquet(path, text_field, domain_field),
    }
    return readers[file_format(path)]()


def pick(record: Any, text_field: str, domain_field: str | None, path: Path | str, number: int) -> Row:
    """The row of a record, which has to be a mapping with the text field.

    Raises:
        UserError: a field is missing, is not text, or cannot be UTF-8; names file and row.
    """
    where = f"{path}:{number}"
    if not isinstance(record, dict):
        raise UserError(f"{where}: a row has to be an object with the field {text_field!r}")
    values: list[str] = []
    for option, name in (("data.text_field", text_field), ("data.domain_field", domain_field)):
        if name is None:
            continue
        if name not in record:
            raise UserError(f"{where}: the row has no field {name!r} ({option}){nearest(name, map(str, record))}")
        value = record[name]
        if not isinstance(value, str):
            raise UserError(f"{where}: the field {name!r} ({option}) holds {value!r:.40}, no text")
        if value and not value.isascii():
            _refuse_surrogates(value, where)
        values.append(value)
    return Row(number, values[0], values[1] if domain_field is not None else None)


def _refuse_surrogates(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise UserError(
            f"{where}: the lone surrogate U+{code:04X} at character {error.start + 1} is no text; remove it"
        ) from error


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with contextlib.ExitStack() as stack:
        try:
            file: IO[bytes] = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({error.strerror}); see data.paths") from error
        if path.suffix == ".gz":
            file = stack.enter_context(cast("IO[bytes]", gzip.GzipFile(fileobj=file)))
        elif path.suffix == ".zst":
            stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            file = stack.enter_context(io.BufferedReader(stream))
        yield file


def _torn(path: Path, number: int, error: Exception) -> NoReturn:
    raise UserError(f"{path}:{number}: cannot be read on from here ({error}); fetch the file again") from error


def _lines(path: Path) -> Iterator[Row]:
    """Lines with their ends, decoded; long ones in pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, byte = 1, 0  # of the row; within the row
    with _open(path) as file:
        while True:
            try:
                raw = file.readline(PIECE)
            except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
                _torn(path, number, error)
            if number == 1 and byte == 0:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            waiting = len(decoder.getstate()[0])
            try:
                text = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                at = byte - waiting + error.start
                value = error.object[error.start]
                raise UserError(
                    f"{path}:{number}: not UTF-8 (byte 0x{value:02x} at byte {at + 1} of the row);"
                    " convert the file, for instance with iconv -f latin1 -t utf-8"
                ) from error
            if text:
                yield Row(number, text)
            if not raw:
                return
            if raw.endswith(b"\n"):
                number, byte = number + 1, 0
            else:
                byte += len(raw)


def whole_lines(rows: Iterable[Row]) -> Iterator[Row]:
    """Join the pieces of long lines of a text file."""
    gathered: list[str] = []
    number = 1
    for row in rows:
        gathered.append(row.text)
        number = row.number
        if row.text.endswith("\n"):
            yield Row(number, "".join(gathered))
            gathered = []
    if gathered:
        yield Row(number, "".join(gathered))


def _jsonl(path: Path, text_field: str, domain_field: str | None) -> Iterator[Row]:
    for line in whole_lines(_lines(path)):
        if not line.text.strip():
            continue
        try:
            record = json.loads(line.text)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{line.number}: no JSON ({error.msg} at character {error.pos + 1}); a jsonl row is one object"
            ) from error
        yield pick(record, text_field, domain_field, path, line.number)


def _csv(path: Path, text_field: str, domain_field: str | None, dialect: type[csv.Dialect]) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader((line.text for line in whole_lines(_lines(path))), dialect, strict=True)
    try:
        header = next(reader, [])
        for values in reader:
            if values:
                record = dict(zip(header, values, strict=False))
                yield pick(record, text_field, domain_field, path, reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: no {dialect.__name__} csv ({error}); mend the row") from error


def _parquet(path: Path, text_field: str, domain_field: str | None) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        plain = path
        if path.suffix in COMPRESSED:  # parquet is read from its end: it has to lie on disk
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            plain = folder / "rows.parquet"
            with _open(path) as source, plain.open("wb") as target:
                try:
                    shutil.copyfileobj(source, target)
                except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
                    _torn(path, 1, error)
        with _open(plain) as file:
            if file.read(4) != b"PAR1":
                raise UserError(f"{path}: no parquet file (its first bytes are not PAR1); see data.paths")

        import datasets  # a second to import, and only parquet needs it

        datasets.disable_progress_bars()
        number = 0
        try:
            for record in datasets.load_dataset("parquet", data_files=str(plain), split="train", streaming=True):
                number += 1
                yield pick(record, text_field, domain_field, path, number)
        except (ValueError, OSError, KeyError) as error:  # pyarrow's own errors are of these kinds
            _torn(path, number + 1, error)
