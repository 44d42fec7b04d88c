"""A tokenizer that is there already."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import tokenizers

from tinylm.data.backend import parsed
from tinylm.data.content import file_hash
from tinylm.data.prune import basis
from tinylm.data.tokens import BOS, CLOSING, EOS, OPENING, Texts, Tokenizer, Trainer
from tinylm.errors import UserError


class File(Trainer):
    """A ``tokenizer.json`` of the ``tokenizers`` library, such as a Hugging Face model has; no text is read.

    It has to be exact: BPE or Unigram, byte-level or with byte fallback, and no normaliser that changes text. It is
    changed in these points: no blank is put before a text, for it would stand for no byte; letters and accents are not
    composed (NFC, as in Qwen2's); texts are neither cut nor padded; where it has no special token that opens or closes
    a document, ``<|bos|>`` or ``<|eos|>`` is added as its last id. (Where one token does both, as in GPT-2, it closes.)

    Args:
        path: the file.

    Raises:
        UserError: there is no such file, or it is not exact; the message says in what.
    """

    reads = False

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        try:
            digest = file_hash(self.path)
        except OSError as error:
            raise UserError(f"tokenizer.path={path}: cannot be read ({error.strerror})") from error
        self.tokenizer = _adopted(self.path, digest)
        self.vocab = self.tokenizer.vocab_size
        self.smallest = len(basis(self.tokenizer))

    def train(self, texts: Texts) -> Tokenizer:
        return self.tokenizer

    def content(self) -> dict[str, str | None]:
        """What takes the path's place in a run's key."""
        return {"path": file_hash(self.path)}


@lru_cache(maxsize=4)
def _adopted(path: Path, digest: str) -> Tokenizer:
    """The tokenizer at ``path``, whose content has the hash ``digest``; the jobs of a sweep mostly share one."""
    try:
        backend = parsed(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"tokenizer.path={path}: no tokenizer.json ({error})") from error
    form = json.loads(backend.to_str())
    form |= {"truncation": None, "padding": None, "normalizer": _as_written(form["normalizer"])}
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        form[part] = _without_prefix(form[part])
    backend = tokenizers.Tokenizer.from_str(json.dumps(form))
    special = {token["content"] for token in form["added_tokens"] if token["special"]}
    backend.add_special_tokens([own for own, names in ((BOS, OPENING), (EOS, CLOSING)) if not special & {*names}])
    try:
        return Tokenizer(backend)
    except UserError as error:
        raise UserError(f"tokenizer.path={path}: {error}") from error


def _as_written(node: Any) -> Any:
    """A normaliser that does not compose letters and accents: a text would not come back as it was written."""
    if node is None or node["type"] == "NFC":
        return None
    if "normalizers" not in node:
        return node
    steps = [step for step in map(_as_written, node["normalizers"]) if step is not None]
    return {**node, "normalizers": steps} if steps else None


def _without_prefix(node: Any) -> Any:
    """A normaliser, splitter or decoder that neither puts a blank before a text nor takes one away."""
    if node is None:
        return None
    for inner in ("normalizers", "pretokenizers", "decoders"):
        if inner in node:
            steps = [step for step in map(_without_prefix, node[inner]) if step is not None]
            return {**node, inner: steps} if steps else None
    if node["type"] in ("Prepend", "Strip"):
        return None if node["type"] == "Prepend" or "content" in node else node
    changes = {"add_prefix_space": False, "prepend_scheme": "never"}
    return {**node, **{name: value for name, value in changes.items() if name in node}}
