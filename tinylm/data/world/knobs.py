"""What a world can be told, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinylm.errors import UserError

LANGUAGES = ("north", "south")
SENTENCES = ("statement", "fact", "mention", "gloss")


@dataclass(frozen=True)
class Knobs:
    """What a world can be told; see `tinylm.data.corpus.world.World`."""

    sentences: float
    weights: Mapping[str, float]
    nouns: int
    verbs: int
    zipf: float
    depth: int
    clause: float
    object: float
    domains: int
    languages: int
    entities: int
    relations: int
    values: int
    fact_zipf: float
    name: int
    garbled: float
    noise: float

    def __post_init__(self) -> None:
        for field in ("sentences", "nouns", "verbs", "domains", "entities", "relations", "values"):
            if getattr(self, field) < 1:
                raise UserError(f"data.{field}={getattr(self, field)}: a world has at least 1")
        for field in ("clause", "object", "garbled", "noise"):
            if not 0 <= getattr(self, field) <= 1:
                raise UserError(f"data.{field}={getattr(self, field)} is no probability; give one from 0 to 1")
        for field in ("zipf", "fact_zipf", "depth", "name"):
            if getattr(self, field) < 0:
                raise UserError(f"data.{field}={getattr(self, field)}; give 0 or more")
        if self.name > 5:
            raise UserError(f"data.name={self.name}: names have at most 5 syllables")
        if not 1 <= self.languages <= len(LANGUAGES):
            raise UserError(f"data.languages={self.languages}: there are {len(LANGUAGES)}; give 1 or {len(LANGUAGES)}")
        for kind in self.weights:
            if kind not in SENTENCES:
                raise UserError(f"data.weights.{kind}: sentences are {', '.join(SENTENCES)}")
        if min(self.weights.values(), default=0) < 0 or not sum(self.weights.values()) > 0:
            raise UserError("data.weights: give at least one kind of sentence a weight above 0, and none below")
        if self.weights.get("mention") and not self.name:
            raise UserError("data.weights.mention: there are no names to repeat; give data.name=3, or the weight 0")
        if self.weights.get("gloss") and self.languages < 2:
            raise UserError("data.weights.gloss: one language has no translations; give data.languages=2, or 0")
