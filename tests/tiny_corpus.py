"""A corpus held in a list, for tests of what follows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from tinylm.data.document import Corpus, Document
from tinylm.data.pack import pack
from tinylm.data.split import SplitName, split_of
from tinylm.data.store import TokenStore
from tinylm.data.tokens import Tokenizer

TUNE, TEST = 0.2, 0.2


def stretch_in(split: SplitName) -> str:
    """A stretch's name that the hash puts into ``split``."""
    return next(name for name in map(str, count()) if split_of(name, TUNE, TEST) == split)


class Listed(Corpus):
    """Texts of the train split, and a text each for the others."""

    def __init__(self, train: Iterable[str], tune: str = "tune " * 400, test: str = "test " * 400) -> None:
        self.tune, self.test = TUNE, TEST
        self.texts: list[tuple[SplitName, str]] = [*(("train", text) for text in train), ("tune", tune), ("test", test)]

    def documents(self) -> Iterator[Document]:
        for row, (split, text) in enumerate(self.texts, start=1):
            yield Document(text, f"list:{row}", stretch=stretch_in(split))

    def held_out(self) -> Iterator[Document] | None:
        return None

    def content(self) -> dict[str, str | None]:
        return {"texts": repr(self.texts)}


def quiet(message: str, fraction: float | None) -> None:
    """Progress that nobody watches."""
    assert message
    assert fraction is None or 0 <= fraction <= 1


def packed(train: Iterable[str], tokenizer: Tokenizer, folder: Path) -> TokenStore:
    """The store of texts, in ``folder``."""
    folder.mkdir(parents=True)
    pack(Listed(train), tokenizer, folder, quiet)
    return TokenStore.open(folder)
