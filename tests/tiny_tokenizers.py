"""Tokenizers of every kind that can be pruned, small, as their files would come from elsewhere."""

from __future__ import annotations

import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from tinylm.data import document, tokens
from tinylm.data.alphabet import FALLBACK
from tinylm.data.tokenizer.bpe import BPE
from tinylm.data.tokenizer.file import File

TEXTS = [inspect.getsource(module) for module in (tokens, document)] + ["naïve 中文 café 🙂 中文 naïve café"] * 3
SPECIALS = ["<unk>", "<s>", "</s>"]


def saved(form: dict[str, Any], folder: Path) -> str:
    """The path of a ``tokenizer.json``."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(form), encoding="utf-8")
    return str(path)


@cache
def form(kind: str) -> str:
    """A ``tokenizer.json``: ``letters`` (as ours), ``llama`` (BPE) or ``unigram``, both with byte fallback."""
    if kind == "letters":
        return BPE(600).train(lambda: TEXTS).backend.to_str()
    if kind == "llama":
        backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        words = (word for text in TEXTS for word in text.replace(" ", " \0").split("\0"))
        trainer: Any = trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIALS, show_progress=False)
        backend.train_from_iterator(words, trainer)
    else:
        backend = tokenizers.Tokenizer(models.Unigram())
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
        trainer = trainers.UnigramTrainer(
            vocab_size=400, special_tokens=SPECIALS, unk_token="<unk>", show_progress=False
        )
        backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    made = json.loads(backend.to_str())
    made["model"]["byte_fallback"] = True  # the bytes' own pieces come last: what is pruned shifts them
    if kind == "llama":
        vocabulary = made["model"]["vocab"]
        vocabulary |= {name: len(vocabulary) + byte for byte, name in enumerate(FALLBACK)}
    else:
        made["model"]["vocab"] += [[name, -30.0] for name in FALLBACK]
    return json.dumps(made)


def tokenizer(kind: str, folder: Path) -> tokens.Tokenizer:
    return File(saved(json.loads(form(kind)), folder)).train(list)
