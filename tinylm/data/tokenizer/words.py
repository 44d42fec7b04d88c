"""Whole words: for text of a small closed vocabulary, such as that of probes."""

from __future__ import annotations

import re
from collections import Counter

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from tinylm.data.alphabet import LETTERS
from tinylm.data.tokens import BOS, EOS, Texts, Tokenizer, Trainer
from tinylm.errors import UserError

SMALLEST = len(LETTERS) + 2
WORD = r" ?[^ \n]+|[ \n]"  # the splitter's engine reads it as Python does


class Words(Trainer):
    """The commonest words of the train split are tokens, each with the blank before it; other words are bytes.

    A word ends at a blank or a line's end. Nothing is merged: a word is a token or a byte each, and any text is exact.

    Args:
        vocab: ids at most: 256 bytes, 2 special tokens (the last two ids) and words.
    """

    exact = False

    def __init__(self, vocab: int = 1024) -> None:
        if vocab < SMALLEST:
            raise UserError(
                f"tokenizer.vocab={vocab} is below {SMALLEST} (256 bytes and 2 special tokens); use tokenizer=bytes"
                " for no words at all"
            )
        self.vocab = vocab

    def train(self, texts: Texts) -> Tokenizer:
        """The tokenizer of ``texts``: of words that are alike frequent, the first by their letters."""
        counts: Counter[str] = Counter()
        for text in texts():
            counts.update(re.findall(WORD, text))
        words = ("".join(LETTERS[byte] for byte in word.encode(errors="replace")) for word, _ in _ranked(counts))
        kept = [word for word in words if len(word) > 1][: self.vocab - SMALLEST]
        vocabulary = {piece: index for index, piece in enumerate([*LETTERS, *kept])}
        # A word that is in the vocabulary is taken whole; without merges, any other stays in bytes.
        backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex(WORD), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens([BOS, EOS])
        return Tokenizer(backend)


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda counted: (-counted[1], counted[0]))
