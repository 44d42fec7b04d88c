"""The documents of a split, as evaluators read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from tinylm.data.prepare import Prepared
from tinylm.data.split import SplitName
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
