"""The documents of a split, as evaluators read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np

from tinylm.data.document import Corpus, Document
from tinylm.data.prepare import Prepared
from tinylm.data.split import SplitName
from tinylm.data.tokens import Tokenizer
from tinylm.evaluate.domain import Domains
from tinylm.evaluate.evaluator import Text


class Documents(Sequence[Text]):
    """One split of a prepared corpus, read from the memory map as it is asked for.

    Args:
        prepared: tokenizer and store.
        split: train, tune or test.
    """

    def __init__(self, prepared: Prepared, split: SplitName) -> None:
        self.store, self.name = prepared.store, split
        self.split = prepared.store.split(split)

    def __len__(self) -> int:
        return self.split.documents

    @overload
    def __getitem__(self, index: int) -> Text: ...
    @overload
    def __getitem__(self, index: slice) -> list[Text]: ...
    def __getitem__(self, index: int | slice) -> Text | list[Text]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        domain = None if self.split.domain_N is None else int(self.split.domain_N[index])
        return Text(self.store.document(self.name, index), int(self.split.bytes_N[index]), domain)


ALL = "all"  # every document, whatever its split


class Encoded:
    """Any corpus in the ids of any tokenizer, without a store: what is scored is held in memory, the rest passes by.

    Args:
        corpus: read once for each split that is asked for.
        tokenizer: makes the ids.
        progress: called with the characters of text read so far.
        domains: their numbers, as the model knows them that reads.
    """

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, progress: Callable[[int], None], domains: Domains) -> None:
        self.corpus, self.tokenizer, self.progress, self.domains = corpus, tokenizer, progress, domains
        self._known: dict[str, list[Text]] = {}

    def __call__(self, split: str) -> list[Text]:
        """The documents of a split, or of ``ALL``, in the order of the corpus.

        Raises:
            UserError: the text cannot be read, or has a domain that the model does not know.
        """
        if split not in self._known:
            self._known[split] = list(self._read(split))
        return self._known[split]

    def _read(self, wanted: str) -> Iterator[Text]:
        read = 0
        for split, document in self.corpus.splits():
            read += len(document.text)
            self.progress(read)
            if wanted in (split, ALL):
                yield self._text(document)

    def _text(self, document: Document) -> Text:
        ids = [self.tokenizer.bos, *self.tokenizer.encode(document.text), self.tokenizer.eos]
        domain = self.domains.number(document.domain)
        return Text(np.array(ids, dtype=np.int64), len(document.text.encode()), domain)
