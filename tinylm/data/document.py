"""A document, and the class of all corpora."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from tinylm.data.shares import Shares
from tinylm.data.split import SplitName, split_of
from tinylm.errors import UserError


@dataclass(frozen=True)
class Document:
    """One text that is scored as a whole.

    text: never empty.
    source: ``file:row`` where it begins, for messages.
    domain: name of the kind of text, or None where the corpus knows none: then no document of it has one.
    stretch: names the contiguous stretch of a long source that it was cut from, or None. Documents of one stretch
        share a split, so that a test passage has no neighbour in train.
    """

    text: str
    source: str
    domain: str | None = None
    stretch: str | None = None

    @property
    def key(self) -> str:
        """What the split is drawn from."""
        return self.text if self.stretch is None else self.stretch


class Span(NamedTuple):
    """A stretch of a text whose probability is known, given all that stands before it.

    kind: what is chosen there, such as ``syntax``; it follows from what stands before.
    start, stop: bytes of the text's UTF-8.
    bits: -log2 of the probability of what stands there.
    mention, unknown: where it is known by heart alone, the share of such mentions that are of this very thing, and the
        bits that it is worth to whoever never learned it.
    """

    kind: str
    start: int
    stop: int
    bits: float
    mention: float | None = None
    unknown: float | None = None


class Corpus(ABC):
    """A source of documents. Constructors are cheap: nothing is read before ``documents`` or ``content``.

    tune: fraction of the documents in the tune split.
    test: fraction in the test split; 0 where held-out text serves as the test split.
    domains: names of its domains, as far as they are known before it is read.
    shares: how much of each domain a run reads; None: all text is one stream.
    reading: options that say how the text is read, not what it is; documents and ids do not depend on them.
    """

    tune: float
    test: float
    domains: tuple[str, ...] = ()
    shares: Shares | None = None
    reading: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """All documents but the held-out ones, streaming, in an order that depends on the content alone.

        Raises:
            UserError: the text cannot be read; the message names file and row.
        """

    @abstractmethod
    def held_out(self) -> Iterator[Document] | None:
        """The documents of the test split where they were given, else None: then the hash draws them."""

    @abstractmethod
    def content(self) -> dict[str, str | None]:
        """Option name -> hash of what the option resolves to (None where it resolves to nothing).

        These take the options' place in a run's key, so that moving a folder leaves the key and editing a byte
        changes it. A name that is no option is added to the key.
        """

    def trains(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Of its options, as a key holds them, those that the text depends on which a tokenizer is trained on.

        Of the text that is held out only whether there is any counts: then the hash draws no test split.
        """
        kept = {name: value for name, value in options.items() if name not in (*self.reading, "domain_field")}
        return {**kept, "held_out": "held_out" in kept}

    def law(self) -> Callable[[str], list[Span]] | None:
        """What gives the bits of one of its texts under the law that it was drawn from, in spans that tile it; None
        where the law is not known. It raises a ``UserError`` on a text that is none of its."""
        return None

    def seen(self, text_bytes: float) -> dict[str, float]:
        """What reading so many bytes of it amounts to, by name, beside bytes: for the record's cost."""
        return {}

    def splits(self) -> Iterator[tuple[SplitName, Document]]:
        """Every document with its split, the held-out ones last."""
        for document in self.documents():
            yield split_of(document.key, self.tune, self.test), document
        for document in self.held_out() or ():
            yield "test", document


def check_fractions(tune: float, test: float) -> None:
    """Raise a UserError unless both splits are drawn and leave the larger part to train."""
    for name, value in (("tune", tune), ("test", test)):
        if not 0 < value < 1:
            raise UserError(f"data.{name}={value} is no fraction of the documents; give one such as 0.05")
    if tune + test > 0.5:
        raise UserError(f"data.tune={tune} and data.test={test} leave less than half to train; give less to them")


def limited(documents: Iterable[Document], limit_bytes: int | None) -> Iterator[Document]:
    """Whole documents up to ``limit_bytes`` bytes of UTF-8 in all; all of them where it is None."""
    if limit_bytes is not None and limit_bytes < 1:
        raise UserError(f"data.limit_bytes is {limit_bytes}; give a number of bytes, or null for all text")
    left = limit_bytes
    for document in documents:
        if left is not None:
            left -= len(document.text.encode())
            if left < 0:
                return
        yield document
