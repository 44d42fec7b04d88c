"""Packs documents into a token store, streaming: memory holds a megabyte of text, whatever the corpus."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np

from tinylm.data.document import Corpus, Document
from tinylm.data.split import SPLITS, SplitName
from tinylm.data.store import FORMAT, MARK
from tinylm.data.tokens import Tokenizer
from tinylm.errors import UserError

Progress = Callable[[str, float | None], None]

BATCH_BYTES = 1 << 20  # text encoded at once
SMALLEST = 1024  # bytes of text below which a split measures nothing
MOST_DOMAINS = 1 << 16


class _Arrays:
    """The growing files of one split."""

    def __init__(self, folder: Path, name: str, tokenizer: Tokenizer, dtype: type, files: ExitStack) -> None:
        def create(part: str) -> Callable[[np.ndarray], None]:
            file = files.enter_context((folder / f"{name}.{part}").open("wb"))

            def write(array: np.ndarray) -> None:
                data = np.ascontiguousarray(array).data
                file.write(data)
                digest.update(data)

            digest = self.digests[part] = hashlib.sha256()
            return write

        self.digests: dict[str, hashlib._Hash] = {}
        self.ids, self.start, self.text = create("ids"), create("start"), create("text")
        self.domain, self.marks = create("domain"), create("marks")
        self.dtype = dtype
        self.tokenizer = tokenizer
        self.documents = self.tokens = self.bytes = 0
        self.start(np.zeros(1, np.int64))
        self.text(np.zeros(1, np.int64))

    def add(self, documents: list[Document], domains: dict[str, int]) -> None:
        """Append documents.

        Raises:
            UserError: a text is no UTF-8; names the document.
            RuntimeError: the ids do not stand for the text's bytes: a fault of the tokenizer.
        """
        try:
            lists = self.tokenizer.encode_batch([document.text for document in documents])
            bytes_N = np.array([len(document.text.encode()) for document in documents], np.int64)
        except UserError as error:
            raise UserError(f"between {documents[0].source} and {documents[-1].source}: {error}") from error
        bos, eos = [self.tokenizer.bos], [self.tokenizer.eos]
        length_N = np.array([len(ids) + 2 for ids in lists], np.int64)
        end_N = np.cumsum(length_N)
        ids = np.fromiter(chain.from_iterable(chain(bos, part, eos) for part in lists), np.int64, int(end_N[-1]))
        size = self.tokenizer.bytes_V[ids]
        wrong = np.flatnonzero(np.add.reduceat(size, end_N - length_N) != bytes_N)
        if len(wrong):
            raise RuntimeError(f"{documents[wrong[0]].source}: the tokenizer loses bytes of this document")

        before = self.bytes + np.cumsum(size) - size
        self.marks(before[-self.tokens % MARK :: MARK])
        self.ids(ids.astype(self.dtype))
        self.start(self.tokens + end_N)
        self.text(self.bytes + np.cumsum(bytes_N))
        if domains:
            self.domain(np.array([domains[str(document.domain)] for document in documents], np.uint16))
        self.documents += len(documents)
        self.tokens += int(end_N[-1])
        self.bytes += int(bytes_N.sum())


def pack(corpus: Corpus, tokenizer: Tokenizer, folder: Path, progress: Progress, expected: int | None = None) -> None:
    """Write the store of ``corpus`` into ``folder``, which exists and is empty.

    Args:
        corpus: the documents.
        tokenizer: makes their ids.
        folder: half-written if this raises; the caller makes it whole or removes it.
        progress: called with what is done and the fraction of it, or None where that is unknown.
        expected: bytes of text that are about to come, where they are known.

    Raises:
        UserError: the corpus cannot be read, or a split is too small to measure.
    """
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    domains: dict[str, int] = {}
    with ExitStack() as files:
        arrays: dict[SplitName, _Arrays] = {name: _Arrays(folder, name, tokenizer, dtype, files) for name in SPLITS}
        waiting: dict[SplitName, list[Document]] = {name: [] for name in SPLITS}
        letters = dict.fromkeys(SPLITS, 0)
        for split, document in corpus.splits():
            if document.domain is not None:  # of all documents or of none
                domains.setdefault(document.domain, len(domains))
                if len(domains) > MOST_DOMAINS:
                    raise UserError(f"{document.source}: more than {MOST_DOMAINS} domains; see data.domain_field")
            waiting[split].append(document)
            letters[split] += len(document.text)
            if letters[split] >= BATCH_BYTES:
                arrays[split].add(waiting[split], domains)
                waiting[split], letters[split] = [], 0
                done = sum(part.bytes for part in arrays.values())
                progress(f"packing ids: {done / 1e6:.0f} MB of text", min(1.0, done / expected) if expected else None)
        for split in SPLITS:
            if waiting[split]:
                arrays[split].add(waiting[split], domains)
    _check_sizes(corpus, arrays)
    about = {
        "format": FORMAT,
        "dtype": np.dtype(dtype).name,
        "tokenizer": tokenizer.hash,
        "bos": tokenizer.bos,
        "eos": tokenizer.eos,
        "domains": list(domains),
        "splits": {
            name: {"documents": part.documents, "tokens": part.tokens, "bytes": part.bytes}
            for name, part in arrays.items()
        },
        "arrays": {f"{name}.{k}": d.hexdigest() for name, part in arrays.items() for k, d in part.digests.items()},
        "bytes_V": tokenizer.bytes_V.tolist(),
    }
    about["hash"] = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    (folder / "store.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _check_sizes(corpus: Corpus, arrays: dict[SplitName, _Arrays]) -> None:
    total = sum(part.bytes for part in arrays.values())
    if not total:
        raise UserError(
            "the corpus is empty: no document holds any text; see data.paths, data.document, data.limit_bytes"
        )
    for name, part in arrays.items():
        if part.bytes < SMALLEST:
            way_out = "see data.held_out" if name == "test" and not corpus.test else f"raise data.{name}"
            raise UserError(
                f"the {name} split is too small to measure: {part.documents} documents, {part.bytes} bytes of"
                f" {total} (at least {SMALLEST}); {'give' if name == 'train' else way_out + ', give'} more text,"
                " or cut it into smaller documents (data.document, data.passage_bytes)"
            )
