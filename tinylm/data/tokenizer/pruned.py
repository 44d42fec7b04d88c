"""Another tokenizer, without the pieces that the corpus hardly uses."""

from __future__ import annotations

from dataclasses import replace

from tinylm.data.prune import bytes_per_token, count, prune
from tinylm.data.tokens import Derived, Texts, Tokenizer, Trainer
from tinylm.errors import UserError


class Pruned(Derived):
    """Tokenizer compression (Tang et al. 2024, PanGu-pi Pro, arXiv:2402.02791): see ``tinylm.data.prune``.

    Ids are counted on the train split, with the original.

    Args:
        of: makes the original.
        vocab: ids to keep in all, special tokens and bytes included; closed under merges and met exactly.
        coverage: or the part of the train split's tokens that the kept ids are at least, in (0, 1]. The number of ids
            is then known once the text has been counted, and ``vocab`` is the original's, which it never exceeds.
    """

    def __init__(self, of: Trainer, vocab: int | None = None, coverage: float | None = None) -> None:
        if (vocab is None) == (coverage is None):
            given = "neither is given" if vocab is None else f"both are given ({vocab} and {coverage:g})"
            raise UserError(
                f"tokenizer.vocab or tokenizer.coverage says how much of a tokenizer is kept, and {given};"
                " set one of them, and the other null"
            )
        if coverage is not None and not 0 < coverage <= 1:
            raise UserError(f"tokenizer.coverage={coverage:g} is no part of the tokens above 0 and up to 1")
        if vocab is not None and vocab < of.smallest:
            raise UserError(
                f"tokenizer.vocab={vocab} is below {of.smallest} (256 bytes, special tokens and what encoding rests"
                " on), of which nothing is pruned"
            )
        if vocab is not None and vocab > of.vocab:
            raise UserError(
                f"tokenizer.vocab={vocab} is above the {of.vocab} ids of the tokenizer that is pruned;"
                " lower it, or raise tokenizer.of.vocab"
            )
        self.of = of
        self.target, self.coverage = vocab, coverage
        self.vocab = of.vocab if vocab is None else vocab
        self.smallest = of.smallest
        self.exact = vocab is not None

    def derive(self, original: Tokenizer, texts: Texts) -> Tokenizer:
        """``original``, pruned; its report holds ``bytes_per_token`` of the same texts beside the original's.

        Raises:
            UserError: the original turns out to have fewer ids than are to be kept.
        """
        counts_V = count(original, texts())
        pruned = prune(original, counts_V, vocab=self.target, coverage=self.coverage)
        assert pruned.origin is not None  # prune
        after = bytes_per_token(pruned, count(pruned, texts()))
        pruned.origin = replace(pruned.origin, report={**pruned.origin.report, "bytes_per_token": after})
        return pruned
