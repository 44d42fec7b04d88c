"""Parents: runs whose weights another run begins from, named in its config by overrides or by key.

A parent named by overrides is composed like its child: the child's own overrides without its initialisation, then the
parent's. So it reads the same text with the same seed and budget, unless its overrides say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hydra import compose
from omegaconf import DictConfig

from tinylm.compose import schema
from tinylm.compose.root import config_root
from tinylm.errors import UserError

ORIGIN = "init=scratch"  # of a parent whose overrides name no other initialisation
NEEDED = "keep=needed"  # a child begins from its weights: a record alone does not do


@dataclass(frozen=True)
class Reference:
    """How a config names a parent, in ``init.parent``; exactly one of ``overrides`` and ``run`` is given.

    Fields:
        overrides: in what the parent differs from the child; it is trained where it is missing.
        seed: of a parent that all seeds share; None: the child's own seed.
        run: the key of an ended run, or its beginning.
    """

    overrides: list[str] | None = None
    seed: int | None = None
    run: str | None = None


def reference(config: Mapping[str, Any]) -> Reference | None:
    """The parent that a resolved config names, or None where its initialisation has none.

    Raises:
        UserError: none or both ways are given, or an option that there is not.
    """
    node = config["init"].get("parent")
    if node is None:
        return None
    found = Reference(**schema.fields(node, Reference, "init.parent"))
    if (found.overrides is None) == (found.run is None):
        raise UserError(
            "init.parent: name the parent once, by 'init.parent.overrides=[\"shape.depth=8\"]' (trained where it is "
            "missing) or by init.parent.run=KEY (`tinylm list runs` names them)"
        )
    if found.run is not None and found.seed is not None:
        raise UserError("init.parent.seed: a parent that is named by its key has its seed already; leave one of them")
    return found


def composed(named: Reference, child: Sequence[str]) -> DictConfig:
    """The config of a parent that is named by overrides, with Hydra's node.

    Args:
        child: the overrides that compose the child.
    """
    assert named.overrides is not None
    own = [*named.overrides, *([] if named.seed is None else [f"seed={named.seed}"]), NEEDED]
    if not any(key(word) == "init" for word in own):
        own = [ORIGIN, *own]
    return _compose(tuple(inherited(child, own)))


def inherited(child: Sequence[str], own: Sequence[str]) -> list[str]:
    """The child's overrides that a parent keeps, then its own: an option chosen anew takes no settings of the old."""
    named = {key(word) for word in own}
    groups = {name for name in named if (config_root() / name).is_dir()} | {"init"}
    below = tuple(
        f"{start}{sign}" for group in groups for start, sign in ((dotted(group), "."), (group, "/"), (group, "@"))
    )
    kept = [word for word in child if key(word) not in {*named, *groups} and not key(word).startswith(below)]
    return [*kept, *own]


def key(override: str) -> str:
    """What an override sets: ``model/ffn`` of ``model/ffn=gelu``, ``shape.depth`` of ``+shape.depth=3``."""
    return override.split("=", 1)[0].lstrip("+~")


def dotted(group: str) -> str:
    return group.replace("/", ".")


def forget() -> None:
    """Compose anew from now on: config files may have changed since an invocation before."""
    _compose.cache_clear()


@lru_cache(maxsize=64)
def _compose(overrides: tuple[str, ...]) -> DictConfig:
    """Cached for an invocation: the children of one parent ask for the same."""
    return compose("config", list(overrides), return_hydra_config=True)
