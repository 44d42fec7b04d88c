"""Several corpora read together, each a domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import ClassVar

from tinylm.data.document import Corpus, Document
from tinylm.data.shares import Shares
from tinylm.data.split import SplitName
from tinylm.errors import UserError


class Mixture(Corpus):
    """Corpora as domains, each cut into splits by its own options.

    A batch's rows are each of one domain, in the proportion of its weight, exactly; bits per byte are scored over all
    and for each domain. Changing weights or temperature packs nothing anew.

    Args:
        parts: domain -> its corpus. Domains of the parts' own are replaced.
        weights: domain -> how much of it is read, in any scale; None: as large as its text is.
        temperature: see ``Shares``; 1 leaves the weights as they are.
    """

    reading: ClassVar[tuple[str, ...]] = ("weights", "temperature")

    def __init__(
        self, parts: dict[str, Corpus], weights: dict[str, float] | None = None, temperature: float = 1.0
    ) -> None:
        if not parts:
            raise UserError(
                "data.parts is empty; name a domain and its text, such as "
                "+data@data.parts.books=files 'data.parts.books.paths=[books/*.txt]'"
            )
        self.parts = dict(sorted(parts.items()))  # by name: a config's order is no part of a run's identity
        self.domains = tuple(self.parts)
        self.shares = Shares(weights, temperature)
        self.shares.suits(self.domains)
        self.tune = max(part.tune for part in parts.values())
        self.test = max(part.test for part in parts.values())

    def documents(self) -> Iterator[Document]:
        return chain.from_iterable(self._named(name, part.documents()) for name, part in self.parts.items())

    def held_out(self) -> Iterator[Document] | None:
        given = {name: part.held_out() for name, part in self.parts.items()}
        named = [self._named(name, documents) for name, documents in given.items() if documents is not None]
        return chain.from_iterable(named) if named else None

    def content(self) -> dict[str, str | None]:
        return {}  # that of the parts, which are addressed one by one

    def splits(self) -> Iterator[tuple[SplitName, Document]]:
        for name, part in self.parts.items():
            for split, document in part.splits():
                yield split, replace(document, domain=name)

    def _named(self, name: str, documents: Iterator[Document]) -> Iterator[Document]:
        return (replace(document, domain=name) for document in documents)
