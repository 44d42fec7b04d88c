"""Byte-level byte-pair encoding."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from tinylm.data.alphabet import LETTERS
from tinylm.data.tokens import BOS, EOS, Texts, Tokenizer, Trainer
from tinylm.errors import UserError

SMALLEST = len(LETTERS) + 2


class BPE(Trainer):
    """Byte-level BPE (Sennrich et al. 2016, 1508.07909; over bytes and words as in GPT-2, Radford et al. 2019).

    Args:
        vocab: ids in all: 256 bytes, 2 special tokens (the last two ids), and merges.
    """

    def __init__(self, vocab: int = 4096) -> None:
        if vocab < SMALLEST:
            raise UserError(
                f"tokenizer.vocab={vocab} is below {SMALLEST} (256 bytes and 2 special tokens); use tokenizer=bytes"
                " for no merges at all"
            )
        self.vocab = vocab

    def train(self, texts: Texts) -> Tokenizer:
        """The tokenizer of ``texts``.

        Raises:
            UserError: the texts have too few repeated pairs for the vocabulary.
        """
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab - 2,
            min_frequency=2,  # a pair seen once says nothing of the language
            initial_alphabet=LETTERS,
            show_progress=False,
        )
        backend.train_from_iterator(iter(texts()), trainer)
        backend.add_special_tokens([BOS, EOS])
        reached = backend.get_vocab_size()
        if reached < self.vocab:
            raise UserError(
                f"tokenizer.vocab={self.vocab} cannot be reached: the train split's repeated pairs give {reached};"
                f" set tokenizer.vocab={reached} or less, or give more text"
            )
        return Tokenizer(backend)
