"""A dataclass as a schema: a mapping checked against its annotations, every complaint one line that names the key."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tinylm.errors import UserError, nearest


def build(cls: Any, block: Any, where: str) -> Any:
    """An instance of a dataclass from a mapping, checked against its annotations.

    Args:
        where: how messages call the mapping.

    Raises:
        UserError: an unknown or missing key, or a value of another type.
    """
    if not isinstance(block, Mapping):
        raise UserError(f"{where}: expected keys with values, got {block!r}")
    hints = get_type_hints(cls)
    for key in block:
        if key not in hints:
            raise UserError(f"{where}: unknown key {key!r}{nearest(str(key), hints)}")
    for item in dataclasses.fields(cls):
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and item.name not in block:
            raise UserError(f"{where}: the key {item.name!r} is missing; every claim declares it")
    return cls(**{key: _value(hints[key], value, f"{where}.{key}") for key, value in block.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the annotation asks for it; the branches are the kinds of annotation that the schema uses."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return None if value is None else _value(inner, value, where)
    if origin is Literal:
        if value not in get_args(hint):
            raise UserError(f"{where}: {value!r} is not valid{nearest(str(value), map(str, get_args(hint)))}")
        return value
    if origin is list:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: expected a list, got {value!r}")
        return [_value(get_args(hint)[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected keys with values, got {value!r}")
        return {str(key): _value(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if hasattr(hint, "parse"):  # a part that knows its own kinds
        return hint.parse(value, where)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UserError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
