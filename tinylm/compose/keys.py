"""Jobs: a resolved config, what of it makes the numbers, and the key that both give.

Everything derived is addressed by the hash of what it derives from. Paths, globs and hub names are replaced by the
content hash of what they resolve to; where and by how many workers a run goes is left out; an axis at its neutral
option (null or empty) is dropped, so that a new axis leaves old keys alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from tinylm.compose import ledger, parents, schema
from tinylm.errors import UserError, nearest
from tinylm.record import RunRecord
from tinylm.runs.failure import childless
from tinylm.runs.settings import Batching, Settings

# Top-level nodes that say where, how and why a run goes, but change none of its numbers.
OUTSIDE = ("hydra", "machine", "root", "cache", "archives", "keep", "checkpoint_seconds", "logger", "claim", "sweeps")
# What a run is made of, beside its settings.
PARTS = (
    *("data", "tokenizer", "model", "shape", "init", "optim", "schedule"),
    *("objective", "update", "rounds", "budget", "evaluate", "machine"),
)
WIRING = ("_partial_", "_convert_")  # how a class is called, not what it is


@dataclass(frozen=True)
class Job:
    """One run to be: plain data, so that it crosses processes as JSON.

    key: 16 hex digits.  config: resolved, validated, with paths.  choices: config group -> option.
    identity: what was hashed.  parent: the run whose weights it begins from.  folder: where the run lives.
    """

    key: str
    config: dict[str, Any]
    choices: dict[str, str]
    identity: dict[str, Any]
    overrides: list[str]
    parent: Job | None = None

    @property
    def folder(self) -> Path:
        return Path(self.config["root"]) / self.key

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        parent = data["parent"]
        return cls(**{**data, "parent": None if parent is None else cls.from_json(parent)})

    def missing(self, ended: Callable[[Job], bool]) -> list[Job]:
        """The ancestors that have to run first, the eldest first: up to the nearest that has ended."""
        if self.parent is None or ended(self.parent):
            return []
        return [*self.parent.missing(ended), self.parent]

    def ancestors(self) -> list[Job]:
        """Its parent and the parent's parents, the eldest first: the order in which they run."""
        return [] if self.parent is None else [*self.parent.ancestors(), self.parent]


def job(composed: DictConfig, hydra: Any = None) -> Job:
    """The job that a composed config describes.

    Args:
        composed: the config; ``hydra``: Hydra's own node, where ``composed`` does not hold it.

    Raises:
        UserError: a value is missing, unknown or of the wrong type; a path does not resolve.
    """
    node = composed.hydra if hydra is None else hydra
    choices = {
        group: str(option)
        for group, option in node.runtime.choices.items()
        if not group.startswith("hydra/") and group != "sweeps" and option is not None
    }
    overrides = list(node.overrides.task)
    config = plain(composed)
    parent = _parent(config, overrides)
    identity = identify(config, parent)
    return Job(digest(identity), config, choices, identity, overrides, parent)


def _parent(config: Mapping[str, Any], overrides: list[str]) -> Job | None:
    """The run that a config begins from."""
    named = parents.reference(config)
    if named is None:
        return None
    if named.run is None:
        if config.get("freeze") is not None:  # of the child alone; a parent is frozen where it says so itself
            named = replace(named, overrides=["freeze=null", *(named.overrides or [])])
        return job(parents.composed(named, overrides))
    folder = ledger.locate(named.run, ledger.roots(config))
    record = RunRecord.read(folder)
    wrong = childless(record, folder)
    if wrong is not None:
        raise UserError(f"init.parent.run: {folder} {wrong}")
    there = {**record.config, "root": str(folder.parent), "cache": config["cache"], "machine": config["machine"]}
    return Job(record.key, there, record.choices, identify(there, None), [])


def plain(composed: DictConfig) -> dict[str, Any]:
    """The composed config without Hydra's own node, resolved and validated, as plain data."""
    config = composed.copy()
    OmegaConf.set_readonly(config, False)
    with open_dict(config):
        config.pop("hydra", None)
        config.pop("sweeps", None)
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    checked = {str(name): value for name, value in container.items()}
    claim = checked.pop("claim", None)
    for name in ("batch", *PARTS):
        if not isinstance(checked.get(name), dict):
            raise UserError(f"{name}: a run cannot do without it")
    settings = {name: checked.pop(name) for name in list(checked) if name in Settings.__dataclass_fields__}
    for name, node in checked.items():
        if name not in PARTS and node:  # an axis of the future at its neutral option is nothing
            raise UserError(f"{name}: there is no such key{nearest(name, (*PARTS, *Settings.__dataclass_fields__))}")
    batch = settings["batch"]
    settings = schema.fields(settings, Settings, "")
    settings["batch"] = schema.fields(batch, Batching, "batch")
    for name in ("root", "cache"):
        if not settings[name].strip():
            raise UserError(f"{name}: an empty path is no folder; write {name}=runs, or leave it out")
    return {**settings, **schema.check(checked), "claim": claim}


def identify(config: Mapping[str, Any], parent: Job | None) -> dict[str, Any]:
    """What enters the key: ``config`` without the nodes that change no number, paths replaced by content hashes, the
    words that name a parent by the parent's key."""
    kept = {name: value for name, value in config.items() if name not in OUTSIDE}
    kept |= {name: _addressed(kept[name]) for name in ("data", "tokenizer", "init", "evaluate")}
    if parent is not None:
        kept["init"] = {**kept["init"], "parent": parent.key}
    return _without_neutral(kept)


def digest(identity: Mapping[str, Any]) -> str:
    """16 hex digits of the sha256 of ``identity`` as canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _addressed(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node with its paths replaced by content hashes, and so those within it."""
    inner = {name: _addressed(value) if isinstance(value, Mapping) else value for name, value in node.items()}
    if "_target_" in node and hasattr(schema.target(node["_target_"], ""), "content"):
        inner |= _content(json.dumps(node, sort_keys=True))
    return inner


@lru_cache(maxsize=64)
def _content(node: str) -> dict[str, str | None]:
    """Content hashes of a corpus, a tokenizer, a checkpoint or benchmarks.

    Cached for the process: the jobs of a sweep mostly share them.
    """
    return dict(schema.make(json.loads(node)).content())


def _without_neutral(node: Any) -> Any:
    if isinstance(node, Mapping):
        kept = {name: _without_neutral(value) for name, value in node.items()}
        return {name: value for name, value in kept.items() if value is not None and value != {} and name not in WIRING}
    if isinstance(node, list):
        return [_without_neutral(value) for value in node]
    return node
