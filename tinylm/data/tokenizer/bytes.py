"""No vocabulary at all: a token is a byte."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from tinylm.data.alphabet import LETTERS
from tinylm.data.tokens import BOS, EOS, Texts, Tokenizer, Trainer


class Bytes(Trainer):
    """The bytes of UTF-8: id b is byte b, 256 and 257 are the special tokens. The text that it is given is not read."""

    vocab = 256 + 2
    reads = False

    def train(self, texts: Texts) -> Tokenizer:
        vocabulary = {letter: byte for byte, letter in enumerate(LETTERS)}
        backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens([BOS, EOS])
        return Tokenizer(backend)
