"""Errors of Hydra and OmegaConf as one readable line that names the nearest valid choice."""

from __future__ import annotations

import re

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from tinylm.errors import nearest


def readable(error: BaseException, keys: list[str] | None = None) -> str:
    """One line for what went wrong in composing a config.

    Args:
        error: what Hydra or OmegaConf raised; of a chain, the cause that names the culprit counts.
        keys: dotted keys that the config has, to find the nearest in.
    """
    cause: BaseException = error
    while cause.__cause__ is not None and isinstance(cause.__cause__, OmegaConfBaseException):
        cause = cause.__cause__
    text = " ".join(str(error).split())
    if isinstance(error, MissingConfigException) and error.options is not None:
        name = str(error.missing_cfg_file or "")
        group, _, option = name.rpartition("/")
        return f"{group}={option}: there is no such option{nearest(option, error.options)}"
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: needs a value; write {cause.full_key}=..."
    if isinstance(error, OverrideParseException):
        reason = str(error).split("\n")[0].split(" See https")[0]
        return f"{error.override!r} cannot be read ({reason}); lists and texts with spaces want quotes: 'key=[a,b]'"
    group_match = re.search(r"Could not override '([^']+)'\. ?No match in the defaults list", text)
    if group_match:
        return f"{group_match[1]}: there is no such group{nearest(group_match[1].split('@')[0], keys or [])}"
    key_match = re.search(r"Could not override '([^']+)'", text)
    if key_match:
        key = key_match[1]
        return f"{key}: there is no such key{_nearest_key(key, keys or [])}"
    return str(cause).strip().split("\n")[0] if isinstance(cause, OmegaConfBaseException) else text


def not_yaml(error: YAMLError) -> str:
    """One line for a config file that is no YAML: the file, the place, the complaint."""
    return "a config is no valid YAML: " + " ".join(str(error).split())


def _nearest_key(key: str, keys: list[str]) -> str:
    """The nearest key with the same parent, where there is one; else the nearest of all."""
    parent = key.rpartition(".")[0]
    # The default config may have the very key where this one took it out; _target_ and its like are nobody's to set.
    keys = [name for name in keys if name != key and not name.rpartition(".")[2].startswith("_")]
    siblings = [name for name in keys if name.rpartition(".")[0] == parent]
    hint = nearest(key, siblings)
    if "did you mean" in hint or (siblings and parent):
        return hint
    close = nearest(key, keys)
    return close if "did you mean" in close else "; `tinylm run --cfg job` shows them all"
