"""Tokenizer and store of a corpus: made once, found again by what they derive from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tinylm.data.document import Corpus
from tinylm.data.pack import Progress, pack
from tinylm.data.prune import measured
from tinylm.data.split import SPLITS, SplitName
from tinylm.data.store import FORMAT, TokenStore
from tinylm.data.tokens import Derived, Tokenizer, Trainer
from tinylm.files import write_json

TOOK = "took.json"  # beside what was made: the seconds that it took


@dataclass(frozen=True)
class Prepared:
    """What a run reads.

    provenance: ``corpus`` (hash of its content and options), ``tokenizer``, ``store`` (hashes of what they hold); where
    the tokenizer was made from another one ``tokenizer_pruning``: the hash of that as ``original``, and what it cost.
    ``prepared``: ``bytes`` of the text's three splits and ``tokens`` in them, and the seconds that making them took.
    """

    tokenizer: Tokenizer
    store: TokenStore
    provenance: dict[str, Any]


def prepare(corpus: Corpus, trainer: Trainer, identity: dict[str, Any], cache: Path, progress: Progress) -> Prepared:
    """The tokenizer, trained on the train split alone, and the store of a corpus.

    They lie in ``cache/tokenizers/<hash>/`` and ``cache/stores/<hash>/``. What is not there is made, by one process
    while others wait, and put there whole. Nothing is read of the corpus where both are there.

    Args:
        corpus: the documents.
        trainer: makes the tokenizer.
        identity: ``{"data": {...}, "tokenizer": {...}}`` with every path replaced by its content's hash: what the
            two derive from.
        cache: a folder that processes share.
        progress: called with what is being done and its fraction, or None where that is unknown.

    Raises:
        UserError: the corpus cannot be read, is too small to measure, or too small for the vocabulary.
    """
    key = _address(identity)
    read = 0  # bytes of text, where the tokenizer had to be trained

    def texts(wanted: SplitName) -> Iterator[str]:
        nonlocal read
        read = told = 0
        for split, document in corpus.splits():
            read += len(document.text.encode(errors="surrogatepass"))
            if read - told > 1 << 20:
                progress(f"training the tokenizer: {read / 1e6:.0f} MB of text", None)
                told = read
            if split == wanted:
                yield document.text

    def make_store(folder: Path) -> None:
        pack(corpus, tokenizer, folder, progress, read or None)

    tokenizer = _tokenizer(trainer, texts, identity, cache, progress)
    _once(cache / "stores" / key, "store.json", make_store, progress)
    store = TokenStore.open(cache / "stores" / key)
    data = hashlib.sha256(json.dumps(identity["data"], sort_keys=True).encode()).hexdigest()
    provenance: dict[str, Any] = {"corpus": data, "tokenizer": tokenizer.hash, "store": store.hash}
    splits = [store.split(name) for name in SPLITS]
    provenance["prepared"] = {
        "bytes": sum(split.bytes for split in splits),
        "tokens": sum(len(split.ids) for split in splits),
        "tokenizer_seconds": _took(cache / "tokenizers" / key),
        "store_seconds": _took(cache / "stores" / key),
    }
    if tokenizer.origin is not None:
        provenance["tokenizer_pruning"] = {"original": tokenizer.origin.hash, **tokenizer.origin.report}
    return Prepared(tokenizer, store, provenance)


def _address(identity: dict[str, Any]) -> str:
    hashed = json.dumps({"format": FORMAT, **identity}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(hashed.encode()).hexdigest()[:20]


def _tokenizer(
    trainer: Trainer,
    texts: Callable[[SplitName], Iterator[str]],
    identity: dict[str, Any],
    cache: Path,
    progress: Progress,
) -> Tokenizer:
    """The tokenizer in the cache; the one that it derives from lies there too, as if it had been asked for itself."""

    def make(folder: Path) -> None:
        if isinstance(trainer, Derived):
            inner = {**identity, "tokenizer": identity["tokenizer"]["of"]}
            original = _tokenizer(trainer.of, texts, inner, cache, progress)
            made = trainer.derive(original, partial(texts, "train"))
            assert made.origin is not None  # Derived
            made.origin.report["tune"] = measured(made, original, partial(texts, "tune"))
        else:
            made = trainer.train(partial(texts, "train"))
        made.save(folder / "tokenizer.json")

    folder = cache / "tokenizers" / _address(identity)
    _once(folder, "tokenizer.json", make, progress)
    return Tokenizer.load(folder / "tokenizer.json")


def _took(folder: Path) -> float | None:
    """Seconds that it took to make a folder of the cache, whichever run made it; None for one of an older version."""
    path = folder / TOOK
    return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.is_file() else None


def _once(folder: Path, sign: str, make: Callable[[Path], None], progress: Progress) -> None:
    """Have ``folder`` made by one process, whole or not at all; ``sign`` is the file that tells it is there."""
    if (folder / sign).exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"waiting for another process to make {folder.parent.name}/{folder.name}", None)
        lock.acquire()
    try:
        if (folder / sign).exists():
            return
        unfinished = f".{folder.name}."
        for old in [folder, *folder.parent.glob(f"{unfinished}*")]:  # of a process that was killed
            shutil.rmtree(old, ignore_errors=True)
        new = folder.parent / f"{unfinished}{os.getpid()}"
        new.mkdir()
        began = time.perf_counter()
        try:
            make(new)
            write_json(new / TOOK, {"seconds": time.perf_counter() - began})
            os.replace(new, folder)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
    finally:
        lock.release()
