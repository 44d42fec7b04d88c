"""The world whose law is known: its probabilities are those of its texts, and no honest model beats them."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest

from tinylm.data.corpus.world import World
from tinylm.data.world import derivation
from tinylm.errors import UserError

# A world so small that all its texts can be listed, with everything in it.
TOY: dict[str, Any] = {
    "nouns": 2,
    "verbs": 1,
    "depth": 1,
    "entities": 2,
    "relations": 1,
    "values": 2,
    "domains": 2,
    "name": 0,
    "sentences": 2.0,
    "garbled": 0.3,
    "weights": {"statement": 1.0, "fact": 1.0, "gloss": 1.0},
}


def test_probabilities_of_all_texts_sum_to_one_and_each_text_is_derived_once() -> None:
    world = World(**TOY)
    found = list(derivation.derivations(world.grammar, sentences=1))
    assert len({text for text, _ in found}) == len(found) > 1000
    assert sum(p for _, p in found) == pytest.approx(1 / 2, abs=1e-12)  # one sentence, with mean 2: the half
    for text, p in found[::97]:
        spans = world.floor(text)
        assert sum(span.bits for span in spans) == pytest.approx(-math.log2(p))
        assert "".join(text[span.start : span.stop] for span in spans) == text
    with_name = World(**{**TOY, "name": 1, "domains": 1, "garbled": 0.0, "weights": {"mention": 1.0}})
    mentions = list(derivation.derivations(with_name.grammar, sentences=2))
    assert sum(p for _, p in mentions) == pytest.approx(3 / 4)


def test_drawn_texts_are_as_frequent_as_their_probability_says() -> None:
    world, random, draws = World(**{**TOY, "sentences": 1.0, "weights": {"fact": 1.0, "gloss": 2.0}}), Random(1), 20_000
    drawn = Counter(derivation.write(world.grammar, random)[0] for _ in range(draws))
    listed = dict(derivation.derivations(world.grammar, sentences=1))
    assert set(drawn) <= set(listed)
    expected = np.array([draws * p for p in listed.values()])
    surprise = ((np.array([drawn[text] for text in listed]) - expected) ** 2 / expected).sum()
    assert abs(surprise - len(listed)) < 5 * math.sqrt(2 * len(listed))  # chi squared: its mean, its deviation


def test_the_closed_form_is_what_documents_are_worth() -> None:
    world = World(documents=600, garbled=0.3)
    whole = world.entropy
    rows: dict[str, list[tuple[float, int]]] = {kind: [] for kind in whole.bits}
    for document in world.documents():
        spans = world.floor(document.text)
        assert spans[0].start == 0
        assert [span.stop for span in spans] == [span.start for span in spans[1:]] + [len(document.text)]
        for kind, told in rows.items():
            own = [span for span in spans if span.kind == kind]
            told.append((sum(span.bits for span in own), sum(span.stop - span.start for span in own)))
    for kind, told in rows.items():
        (bits, size), error = np.mean(told, axis=0), np.std(told, axis=0) / math.sqrt(len(told))
        assert abs(bits - whole.bits[kind]) < 4 * error[0], kind
        assert abs(size - whole.bytes[kind]) < 4 * error[1], kind
    assert 0 < whole.bits["fact"] < 0.1 * whole.bits["lexical"]  # who knows the table is surprised by noise alone


def test_no_word_of_a_choice_begins_another() -> None:
    """So that bits of a span are bits of its own bytes, for a reader of bytes too."""
    world, seen = World(**{**TOY, "languages": 2, "name": 1, "nouns": 30, "relations": 3}), set()

    def choose(rule: Any) -> int:
        pieces = sorted(rule.words.piece(index) for index in range(rule.law.size) if rule.law.p(index))
        assert not any(later.startswith(earlier) for earlier, later in pairwise(pieces))
        assert [rule.words.index(piece) for piece in pieces].count(None) == 0
        seen.add(rule.kind)
        return rule.law.draw(random)

    random = Random(0)
    for _ in range(40):
        derivation.unfold(world.grammar, choose)
    assert seen == {"syntax", "lexical", "agreement", "fact", "translation"}


def test_agreement_reaches_across_clauses_and_facts_are_those_of_the_table() -> None:
    world = World(
        documents=300, clause=0.5, garbled=0.2, domains=1, languages=1, weights={"statement": 1.0, "fact": 1.0}
    )
    across = 0
    for document in world.documents():
        spans = world.floor(document.text)
        if document.domain == "garbled":
            continue
        pieces = [document.text[span.start : span.stop].strip() for span in spans]
        open_numbers: list[int] = []
        for piece, span in zip(pieces, spans, strict=True):
            if span.kind == "agreement":
                across += len(open_numbers) > 1
                assert piece == ("is", "are")[open_numbers.pop()]
                assert span.bits == 0
            elif span.kind == "syntax" and piece in ("one", "any", "many", "all"):
                open_numbers.append(int(piece in ("many", "all")))
            elif piece == ".":
                open_numbers.clear()  # an object agrees with nothing
        assert all(span.bits == 0 and span.unknown == 6 for span in spans if span.kind == "fact")
    assert across > 50


def test_texts_that_it_does_not_write_are_refused() -> None:
    world = World(domains=1, languages=1, garbled=0.0, name=0, weights={"statement": 1.0})
    text = next(document.text for document in world.documents() if " is " in document.text)
    for wrong in (text + " end", text[:-4], text.replace(" is ", " are ", 1), "", f" {text}"):
        with pytest.raises(UserError, match="this world"):
            world.floor(wrong)


def test_no_text_is_in_two_splits_even_where_texts_are_drawn_again_and_again() -> None:
    world = World(**{**TOY, "documents": 2000, "weights": {"fact": 1.0}, "tune": 0.2, "test": 0.2})
    texts: dict[str, set[str]] = {}
    for split, document in world.splits():
        texts.setdefault(document.text, set()).add(split)
    assert len(texts) < 1000
    assert all(len(splits) == 1 for splits in texts.values())
    assert {split for splits in texts.values() for split in splits} == {"train", "tune", "test"}


def test_the_same_seed_is_the_same_world_and_another_is_another() -> None:
    first, again, other = World(documents=20), World(documents=20), World(documents=20, seed=1)
    assert [document.text for document in first.documents()] == [document.text for document in again.documents()]
    assert first.content() == again.content() != other.content()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"languages": 3}, r"data\.languages=3"),
        ({"clause": 1.5}, r"data\.clause=1\.5"),
        ({"nouns": 0}, r"data\.nouns=0"),
        ({"weights": {"facts": 1.0}}, r"data\.weights\.facts: sentences are statement, fact"),
        ({"name": 0}, r"data\.weights\.mention"),
        ({"languages": 1}, r"data\.weights\.gloss"),
    ],
)
def test_worlds_that_cannot_be(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        World(**options)
