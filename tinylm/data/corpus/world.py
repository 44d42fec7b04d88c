"""Text whose entropy is known: documents drawn from a grammar, each with its exact probability."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cached_property
from itertools import islice
from random import Random

import numpy as np

from tinylm.data.content import text_hash
from tinylm.data.document import Corpus, Document, Span, check_fractions
from tinylm.data.world import derivation
from tinylm.data.world.derivation import Amount
from tinylm.data.world.grammar import MARKS, Grammar
from tinylm.data.world.knobs import Knobs
from tinylm.errors import UserError

HASHED = 64  # documents whose text says whether a world is the same


class World(Corpus):
    """Documents of `tinylm.data.world.grammar`, independent and alike. Our construction.

    The law of a document is that of the generator, whatever its split: the hash that draws the splits knows nothing of
    the law. As a text is in one split alone, none of the test split is read in training. A text that is so short that
    it is drawn twice is twice in its split; who has learned train's by heart expects it there, which can only
    raise what the test split costs.

    Args:
        seed: of words, facts, topics and documents.
        documents: how many.
        sentences: of a document, on average; the number is geometric.
        weights: kind of sentence (statement, fact, mention, gloss) -> how many there are, in any scale.
        nouns, verbs: words of each language.
        zipf: the n-th word of a domain is as frequent as n^-zipf.
        depth: clauses within clauses, at most.
        clause: probability of a clause after a noun that may have one.
        object: probability that a statement has an object.
        domains: each with an order of its own of words, from frequent to rare.
        languages: 1 or 2, of one grammar; a word's number is its translation's.
        entities, relations, values: of the table of facts: entities x relations facts, each one of the values.
        fact_zipf: the n-th entity is mentioned as often as n^-fact_zipf; 0: all alike.
        name: syllables of the name that a document opens with and that its mentions repeat; 0: none.
        garbled: share of the documents that are corrupted; they say so, and are a domain of their own.
        noise: probability that a word of such a document is replaced.
        tune, test: fractions of documents in these splits.

    Raises:
        UserError: an option out of its range, or two that contradict each other.
    """

    def __init__(
        self,
        seed: int = 0,
        documents: int = 10_000,
        sentences: float = 8.0,
        weights: dict[str, float] | None = None,
        nouns: int = 400,
        verbs: int = 200,
        zipf: float = 1.0,
        depth: int = 2,
        clause: float = 0.25,
        object: float = 0.5,
        domains: int = 3,
        languages: int = 2,
        entities: int = 200,
        relations: int = 4,
        values: int = 64,
        fact_zipf: float = 0.5,
        name: int = 3,
        garbled: float = 0.1,
        noise: float = 0.2,
        tune: float = 0.05,
        test: float = 0.05,
    ) -> None:
        check_fractions(tune, test)
        if documents < 1:
            raise UserError(f"data.documents={documents}: give at least 1")
        self.seed, self.number = seed, documents
        self.tune, self.test = tune, test
        given = locals()
        weights = weights or {"statement": 5.0, "fact": 3.0, "mention": 1.0, "gloss": 1.0}
        self.knobs = Knobs(**{**{field.name: given[field.name] for field in fields(Knobs)}, "weights": weights})

    @cached_property
    def grammar(self) -> Grammar:
        """Its words, facts and rules."""
        return Grammar(self.knobs, np.random.Generator(np.random.PCG64([self.seed, 0])))

    @cached_property
    def entropy(self) -> Amount:
        """Bits and bytes of a document by kind, on average, in closed form."""
        return derivation.entropy(self.grammar)

    def documents(self) -> Iterator[Document]:
        random = Random(int.from_bytes(hashlib.blake2b(f"world {self.seed}".encode(), digest_size=8).digest(), "big"))
        labels = [*self.grammar.domains, MARKS[1]]
        told = len(labels) > 2 or self.knobs.garbled > 0
        for number in range(1, self.number + 1):
            text, scene = derivation.write(self.grammar, random)
            label = labels[-1 if scene.garbled else scene.domain]
            yield Document(text, f"world:{number}", label if told else None)

    def held_out(self) -> Iterator[Document] | None:
        return None

    def content(self) -> dict[str, str | None]:
        return {"text": text_hash(document.text for document in islice(self.documents(), HASHED))}

    def law(self) -> Callable[[str], list[Span]]:
        return self.floor

    def floor(self, text: str) -> list[Span]:
        """The bits of one of its texts, in spans that tile it.

        Raises:
            UserError: this is none of its texts.
        """
        return derivation.score(self.grammar, text)

    def seen(self, text_bytes: float) -> dict[str, float]:
        """``exposures``: how often a fact is mentioned, the mean over the table."""
        mentions = self.knobs.sentences * self.knobs.weights.get("fact", 0.0) / sum(self.knobs.weights.values())
        return {"exposures": text_bytes / sum(self.entropy.bytes.values()) * mentions / self.grammar.facts.size}
