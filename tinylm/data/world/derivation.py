"""What can be done with a grammar: write a text, score one, list all, and say what one is worth on average."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from tinylm.data.document import Span
from tinylm.data.world.grammar import Grammar, Rule, Scene, Symbol
from tinylm.data.world.words import PIECE
from tinylm.errors import UserError


def unfold(grammar: Grammar, choose: Callable[[Rule], int]) -> Scene:
    """Rewrite from the start, leftmost first, as ``choose`` says, until nothing is left; what the header said."""
    left = list(reversed(grammar.start()))
    scene = left[-1].scene
    while left:
        symbol = left.pop()
        scene = symbol.scene
        rule = grammar.rule(symbol)
        left += reversed(rule.then(choose(rule)))
    return scene


def write(grammar: Grammar, random: Random) -> tuple[str, Scene]:
    """A text drawn from the grammar's law, and what its header says."""
    pieces: list[str] = []

    def choose(rule: Rule) -> int:
        index = rule.law.draw(random)
        pieces.append(rule.words.piece(index))
        return index

    scene = unfold(grammar, choose)
    return "".join(pieces)[1:], scene  # no blank before the first word


def score(grammar: Grammar, text: str) -> list[Span]:
    """The choices of a text, each with its bits under the grammar's law; they tile its bytes.

    Raises:
        UserError: the grammar never writes this text.
    """
    spans: list[Span] = []
    whole, at = f" {text}", 0

    def choose(rule: Rule) -> int:
        nonlocal at
        found = PIECE.match(whole, at)
        index = rule.words.index(found[0]) if found else None
        p = 0.0 if index is None else rule.law.p(index)
        if found is None or index is None or not p:
            raise UserError(f"this world never writes {whole[at : at + 20]!r} after {whole[max(0, at - 40) : at]!r}")
        unknown = None if rule.mention is None else grammar.facts.ignorance
        spans.append(Span(rule.kind, max(0, at - 1), found.end() - 1, math.log2(1 / p), rule.mention, unknown))
        at = found.end()
        return index

    unfold(grammar, choose)
    if at != len(whole):
        raise UserError(f"this world's document ends before {whole[at : at + 20]!r}")
    return spans


def derivations(grammar: Grammar, sentences: int) -> Iterator[tuple[str, float]]:
    """Every derivation with at most so many sentences: its text and its probability. For grammars of a few words."""
    unfinished: list[tuple[str, float, tuple[Symbol, ...]]] = [("", 1.0, grammar.start())]
    while unfinished:
        text, p, (first, *rest) = unfinished.pop()
        rule = grammar.rule(first)
        for index in range(rule.law.size):
            here = p * rule.law.p(index)
            said, left = text + rule.words.piece(index), (*rule.then(index), *rest)
            if here and not left:
                yield said[1:], here
            elif here and not (first.sort == "sentence" and text.count(".") == sentences):
                unfinished.append((said, here, left))


@dataclass
class Amount:
    """Bits and bytes of each kind."""

    bits: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, float] = field(default_factory=dict)

    def add(self, other: Amount, times: float = 1.0) -> None:
        """Add ``times`` as much as the other."""
        for mine, theirs in ((self.bits, other.bits), (self.bytes, other.bytes)):
            for kind, value in theirs.items():
                mine[kind] = mine.get(kind, 0.0) + times * value

    @property
    def rate(self) -> float:
        """Bits a byte."""
        return sum(self.bits.values()) / sum(self.bytes.values())


def entropy(grammar: Grammar) -> Amount:
    """What a document is worth on average, by kind: the exact expectation over the grammar's law.

    A symbol's expectation is that of its choice and of what comes after each outcome. Sentences alone come back to
    themselves, once an outcome at most: E = own + again E, so E = own / (1 - again).
    """
    known: dict[Symbol, Amount] = {}

    def of(symbol: Symbol) -> Amount:
        key = _nameless(symbol)
        if key not in known:
            rule = grammar.rule(symbol)
            bits = sum(-count * p * math.log2(p) for p, count in rule.law.groups() if p)
            own, again = Amount({rule.kind: bits}, {}), 0.0
            for index in (0,) if rule.alike else range(rule.law.size):
                p = 1.0 if rule.alike else rule.law.p(index)
                if not p:
                    continue
                own.add(Amount({}, {rule.kind: len(rule.words.piece(index))}), p)
                for next_one in rule.then(index):
                    if _nameless(next_one) == key:
                        again += p
                    else:
                        own.add(of(next_one), p)
            known[key] = Amount()
            known[key].add(own, 1 / (1 - again))
        return known[key]

    whole = Amount()
    for symbol in grammar.start():
        whole.add(of(symbol))
    whole.add(Amount({}, {"syntax": -1.0}))  # no blank before the first word
    return whole


def _nameless(symbol: Symbol) -> Symbol:
    """The symbol without the document's name, on which no length and no probability depends."""
    return symbol._replace(scene=symbol.scene._replace(name=None))
