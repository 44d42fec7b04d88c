"""The grammar of a world: what may follow what, and how probable it is.

A symbol is rewritten by one choice, which says a word and the symbols that come after it. The words of a choice are
distinct and none begins another, so a text has one derivation, and whoever has read it up to some place knows which
choice comes next. A document::

    document  = [domain] [language] [clean | garbled] [name] sentence+ "end"
    sentence  = phrase auxiliary verb [phrase] "."          a statement
              | "of" entity [relation] value "."            a fact
              | "still" name verb "."                       what the document is about, again
              | "say" noun noun "."                         a word and its translation
    phrase    = determiner noun ["that" phrase auxiliary verb]

A determiner says the number of its noun and whether a clause follows; the auxiliary agrees with it across whatever
stands between. A header word that has no alternative is left out. In a garbled document every word but those of kind
``syntax`` is with some probability replaced by any word of the same choice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from tinylm.data.world.facts import Facts
from tinylm.data.world.knobs import LANGUAGES, SENTENCES, Knobs
from tinylm.data.world.law import Certain, Law, Noisy, Table, Uniform
from tinylm.data.world.words import Coiner, Listed, Names, Words

Kind = Literal["syntax", "lexical", "agreement", "fact", "copy", "translation"]
MARKS = ("clean", "garbled")
# Function words of both languages: determiners (singular, plural; the same with a clause to come), openers, the end.
OPENERS = (
    ("one", "many", "any", "all", "of", "still", "say", "end"),
    ("un", "les", "quel", "tous", "de", "encore", "dire", "fin"),
)
THAT = ("that", "que")
AUXILIARIES = (("is", "are"), ("est", "sont"))


class Scene(NamedTuple):
    """What the header of a document has said: everything that its later choices depend on."""

    domain: int = 0
    language: int = 0
    garbled: bool = False
    name: int | None = None


class Symbol(NamedTuple):
    """What is still to be said; ``a`` and ``b`` are numbers that it depends on beside the scene."""

    sort: str
    scene: Scene
    a: int = 0
    b: int = 0


class Rule(NamedTuple):
    """One choice.

    kind: of the word.  words, law: between what, and how probable.  then: outcome -> what comes after it.
    mention: of a fact's value, the probability that a mention is of this fact.
    alike: whatever the outcome, the word is as long, and what comes after it as long and as probable.
    """

    kind: Kind
    words: Words
    law: Law
    then: Callable[[int], tuple[Symbol, ...]]
    mention: float | None = None
    alike: bool = False


def _nothing(index: int) -> tuple[Symbol, ...]:
    return ()


class Grammar:
    """The rules of a world.

    Args:
        knobs: what it is told.
        random: draws its words, its facts and what each domain speaks of.
    """

    def __init__(self, knobs: Knobs, random: np.random.Generator) -> None:
        self.knobs = knobs
        coiner = Coiner(random)
        self.domains = coiner.coin(knobs.domains)
        self.nouns = [Listed(coiner.coin(knobs.nouns)) for _ in range(knobs.languages)]
        self.verbs = [Listed(coiner.coin(knobs.verbs)) for _ in range(knobs.languages)]
        self.relations = [Listed(coiner.coin(knobs.relations)) for _ in range(knobs.languages)]
        self.facts = Facts(coiner, random, knobs.entities, knobs.relations, knobs.values, knobs.fact_zipf)
        # Every domain has its own order of the words, from frequent to rare; a word's translation shares its rank.
        self._noun = [Table.zipf(random.permutation(knobs.nouns).tolist(), knobs.zipf) for _ in self.domains]
        self._verb = [Table.zipf(random.permutation(knobs.verbs).tolist(), knobs.zipf) for _ in self.domains]
        self._names = Names(knobs.name) if knobs.name else None
        self._openers = [Listed(words) for words in OPENERS]
        self._determiner_words = [Listed(words[:4]) for words in OPENERS]
        self._that = [Listed([word]) for word in THAT]
        self._auxiliaries = [Listed(words) for words in AUXILIARIES]
        self._closers = [Listed([".", *words[:4]]) for words in OPENERS]
        self._stop = Listed(["."])
        self._domain_words, self._language_words = Listed(self.domains), Listed(LANGUAGES[: knobs.languages])
        self._marks = Listed(MARKS)
        self._first, self._later = Table(self._sentences(0.0)), Table(self._sentences(1 / knobs.sentences))
        shares = self._determiners(0)
        self._close = Table([1 - knobs.object, *(knobs.object * share for share in shares)])
        self._inner = [Table(self._determiners(level)) for level in range(knobs.depth + 1)]
        self._rules: dict[str, Callable[[Symbol], Rule]] = {
            "domain": self._domain,
            "language": self._language,
            "mark": self._mark,
            "name": self._name,
            "sentence": self._sentence,
            "noun": self._nouns,
            "that": self._clause,
            "inner": self._phrase,
            "auxiliary": self._auxiliary,
            "verb": self._verbs,
            "close": self._closing,
            "stop": self._full_stop,
            "entity": self._entity,
            "relation": self._relation,
            "value": self._value,
            "again": self._again,
            "gloss": self._gloss,
            "translation": self._translation,
        }

    def start(self) -> tuple[Symbol, ...]:
        """What a document is before its first word."""
        return (Symbol("domain", Scene()),) if len(self.domains) > 1 else self._after_domain(Scene())

    def rule(self, symbol: Symbol) -> Rule:
        """The choice that rewrites a symbol."""
        return self._rules[symbol.sort](symbol)

    def _sentences(self, end: float) -> list[float]:
        """Weights of a sentence's first words, the last of which ends the document."""
        total = sum(self.knobs.weights.values())
        statement, *others = (self.knobs.weights.get(sort, 0.0) / total for sort in SENTENCES)
        shares = [statement * share for share in self._determiners(0)] + others
        return [(1 - end) * share for share in shares] + [end]

    def _determiners(self, level: int) -> list[float]:
        """Shares of the determiners of a phrase with so many phrases around it."""
        clause = self.knobs.clause if level < self.knobs.depth else 0.0
        return [(1 - clause) / 2, (1 - clause) / 2, clause / 2, clause / 2]

    def _saying(self, symbol: Symbol, kind: Kind, words: Words, law: Law, **more: Any) -> Rule:
        """A choice between coined words, its law made noisy where the document is garbled."""
        if symbol.scene.garbled and kind != "syntax":
            law = Noisy(law, self.knobs.noise)
        return Rule(kind, words, law, **{"then": _nothing, "alike": True, **more})

    # The header

    def _domain(self, symbol: Symbol) -> Rule:
        def then(index: int) -> tuple[Symbol, ...]:
            return self._after_domain(symbol.scene._replace(domain=index))

        return Rule("syntax", self._domain_words, Uniform(len(self.domains)), then)

    def _after_domain(self, scene: Scene) -> tuple[Symbol, ...]:
        return (Symbol("language", scene),) if self.knobs.languages > 1 else self._after_language(scene)

    def _language(self, symbol: Symbol) -> Rule:
        def then(index: int) -> tuple[Symbol, ...]:
            return self._after_language(symbol.scene._replace(language=index))

        return Rule("syntax", self._language_words, Uniform(self.knobs.languages), then)

    def _after_language(self, scene: Scene) -> tuple[Symbol, ...]:
        return (Symbol("mark", scene),) if self.knobs.garbled else self._after_mark(scene)

    def _mark(self, symbol: Symbol) -> Rule:
        def then(index: int) -> tuple[Symbol, ...]:
            return self._after_mark(symbol.scene._replace(garbled=bool(index)))

        return Rule("syntax", self._marks, Table([1 - self.knobs.garbled, self.knobs.garbled]), then)

    def _after_mark(self, scene: Scene) -> tuple[Symbol, ...]:
        return (Symbol("name", scene),) if self._names else (Symbol("sentence", scene),)

    def _name(self, symbol: Symbol) -> Rule:
        def then(index: int) -> tuple[Symbol, ...]:
            return (Symbol("sentence", symbol.scene._replace(name=index)),)

        assert self._names is not None
        return Rule("lexical", self._names, Uniform(self._names.size), then, alike=True)

    # Sentences. ``a`` of a sentence is 1 from the second one on.

    def _sentence(self, symbol: Symbol) -> Rule:
        scene = symbol.scene
        onwards = Symbol("sentence", scene, 1)
        stop = Symbol("stop", scene)

        def then(index: int) -> tuple[Symbol, ...]:
            if index < 4:
                return (
                    *self._after_determiner(scene, index, 0),
                    Symbol("auxiliary", scene, index % 2),
                    Symbol("verb", scene),
                    Symbol("close", scene),
                    onwards,
                )
            if index == 4:
                return (Symbol("entity", scene), stop, onwards)
            if index == 5:
                return (Symbol("again", scene), Symbol("verb", scene), stop, onwards)
            return (Symbol("gloss", scene), stop, onwards) if index == 6 else ()

        return Rule("syntax", self._openers[scene.language], self._later if symbol.a else self._first, then)

    def _after_determiner(self, scene: Scene, determiner: int, level: int) -> tuple[Symbol, ...]:
        noun = Symbol("noun", scene)
        return (noun, Symbol("that", scene, level)) if determiner >= 2 else (noun,)

    def _clause(self, symbol: Symbol) -> Rule:
        def then(index: int) -> tuple[Symbol, ...]:
            return (Symbol("inner", symbol.scene, symbol.a + 1),)

        return Rule("syntax", self._that[symbol.scene.language], Uniform(1), then)

    def _phrase(self, symbol: Symbol) -> Rule:
        scene, level = symbol.scene, symbol.a

        def then(index: int) -> tuple[Symbol, ...]:
            inside = self._after_determiner(scene, index, level)
            return (*inside, Symbol("auxiliary", scene, index % 2), Symbol("verb", scene))

        return Rule("syntax", self._determiner_words[scene.language], self._inner[level], then)

    def _closing(self, symbol: Symbol) -> Rule:
        scene = symbol.scene

        def then(index: int) -> tuple[Symbol, ...]:
            return (*self._after_determiner(scene, index - 1, 0), Symbol("stop", scene)) if index else ()

        return Rule("syntax", self._closers[scene.language], self._close, then)

    def _full_stop(self, symbol: Symbol) -> Rule:
        return Rule("syntax", self._stop, Uniform(1), _nothing)

    # Words

    def _nouns(self, symbol: Symbol) -> Rule:
        return self._saying(symbol, "lexical", self.nouns[symbol.scene.language], self._noun[symbol.scene.domain])

    def _verbs(self, symbol: Symbol) -> Rule:
        return self._saying(symbol, "lexical", self.verbs[symbol.scene.language], self._verb[symbol.scene.domain])

    def _auxiliary(self, symbol: Symbol) -> Rule:
        return self._saying(
            symbol, "agreement", self._auxiliaries[symbol.scene.language], Certain(2, symbol.a), alike=False
        )

    def _again(self, symbol: Symbol) -> Rule:
        assert self._names is not None
        assert symbol.scene.name is not None
        return self._saying(symbol, "copy", self._names, Certain(self._names.size, symbol.scene.name))

    def _gloss(self, symbol: Symbol) -> Rule:
        def then(index: int) -> tuple[Symbol, ...]:
            return (Symbol("translation", symbol.scene, index),)

        return self._nouns(symbol)._replace(then=then)

    def _translation(self, symbol: Symbol) -> Rule:
        law = Certain(self.knobs.nouns, symbol.a)
        return self._saying(symbol, "translation", self.nouns[1 - symbol.scene.language], law)

    def _entity(self, symbol: Symbol) -> Rule:
        sort = "relation" if self.knobs.relations > 1 else "value"

        def then(index: int) -> tuple[Symbol, ...]:
            return (Symbol(sort, symbol.scene, index),)

        return self._saying(symbol, "lexical", self.facts.entity_words, self.facts.entity, then=then)

    def _relation(self, symbol: Symbol) -> Rule:
        def then(index: int) -> tuple[Symbol, ...]:
            return (Symbol("value", symbol.scene, symbol.a, index),)

        words = self.relations[symbol.scene.language]
        return self._saying(symbol, "lexical", words, self.facts.relation, then=then)

    def _value(self, symbol: Symbol) -> Rule:
        facts = self.facts
        law = Certain(facts.any_value.size, facts.value(symbol.a, symbol.b))
        mention = None if symbol.scene.garbled else facts.share(symbol.a, symbol.b)
        return self._saying(symbol, "fact", facts.value_words, law, mention=mention)
