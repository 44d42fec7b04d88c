"""What a config may not have Hydra make: it builds callbacks and loggers before anybody has looked at their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf

from tinylm.errors import UserError

_LOGGING = ("job_logging", "hydra_logging")
_MAKES = "()"  # the key by which Python's logging config names any callable


@contextmanager
def guarded() -> Iterator[None]:
    """Within it Hydra hands out no config that would make anything of its own accord.

    Hydra has no place to look at a config before it acts on it, so its loader is wrapped.

    Raises:
        UserError: the config names callbacks, or a logger of another house.
    """
    load = ConfigLoaderImpl.load_configuration

    def load_configuration(self: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:
        config = load(self, *args, **kwargs)
        check(config)
        return config

    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


def check(config: DictConfig) -> None:
    """Refuse a composed config in which Hydra would make a callback, or logging something else than its own parts.

    Raises:
        UserError: as above.
    """
    if OmegaConf.select(config, "hydra.callbacks"):
        raise UserError("hydra.callbacks: tinylm has none, and makes no class that a config names there; leave it out")
    for name in _LOGGING:
        node = OmegaConf.select(config, f"hydra.{name}")
        if node is not None and (culprit := _foreign(OmegaConf.to_container(node, resolve=False))):
            raise UserError(f"hydra.{name}: {culprit!r} is not of Python's own logging; leave it out")


def _foreign(node: Any) -> str | None:
    """The first name in a logging config that is none of Python's own handlers, filters or formatters."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == _MAKES or (key == "class" and not str(value).startswith("logging.")):
                return str(value)
            if (found := _foreign(value)) is not None:
                return found
    if isinstance(node, list):
        return next((found for item in node if (found := _foreign(item)) is not None), None)
    return None
