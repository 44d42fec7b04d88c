"""A constructor's signature is the schema of its config node: names and types are checked before anything runs."""

from __future__ import annotations

import importlib
import inspect
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from tinylm.errors import UserError, nearest

MARKS = ("_target_", "_partial_", "_convert_", "_recursive_")


def allowed_packages() -> tuple[str, ...]:
    """Packages whose classes a config may name: tinylm, and those the user allows by TINYLM_ALLOW=mine,theirs."""
    extra = os.environ.get("TINYLM_ALLOW", "")
    return ("tinylm", *(name.strip() for name in extra.split(",") if name.strip()))


def target(path: str, where: str) -> Any:
    """The class or function that a config node names.

    Raises:
        UserError: the package is not allowed, or there is no such thing.
    """
    package = path.split(".", 1)[0]
    if package not in allowed_packages():
        raise UserError(
            f"{where}._target_: {path!r} is outside the allowed packages ({', '.join(allowed_packages())}); "
            f"to allow it, set the environment variable TINYLM_ALLOW={package}"
        )
    module, _, name = path.rpartition(".")
    try:
        return vars(importlib.import_module(module))[name]
    except ModuleNotFoundError as error:
        raise UserError(f"{where}._target_: there is no module {error.name!r} (named by {path!r})") from error
    except KeyError:
        raise UserError(f"{where}._target_: module {module!r} has no {name!r}") from None


def check(node: Any, where: str = "") -> Any:
    """``node`` with every value of the type that its constructor asks for (1 becomes 1.0 where a float is asked for).

    Nodes without ``_target_`` are walked through. Arguments that the constructor needs and ``run`` hands in need not
    be there when the node is partial.

    Raises:
        UserError: an unknown option, a missing one or a wrong type; one line that names the key.
    """
    if isinstance(node, Mapping):
        if "_target_" in node:
            return _check_call(node, where)
        return {name: check(value, f"{where}.{name}" if where else str(name)) for name, value in node.items()}
    if isinstance(node, list):
        return [check(value, f"{where}[{index}]") for index, value in enumerate(node)]
    return node


def make(node: Any) -> Any:
    """What a checked node names, made.

    Raises:
        UserError: its constructor refuses an option; Hydra's wrapping of that is taken off.
    """
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def fields(node: Mapping[str, Any], constructor: Any, where: str, partial: bool = False) -> dict[str, Any]:
    """``node``'s options, checked against ``constructor``'s signature; ``where`` is the node's key, "" for the top."""
    at = f"{where}." if where else ""
    hints = typing.get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
    parameters = {name: p for name, p in inspect.signature(constructor).parameters.items() if name != "self"}
    result: dict[str, Any] = {}
    for name, value in node.items():
        if name not in parameters:
            raise UserError(f"{at}{name}: {constructor.__name__} has no such option{nearest(name, parameters)}")
        result[name] = _coerce(value, hints.get(name, Any), f"{at}{name}")
    if not partial:
        for name, parameter in parameters.items():
            if parameter.default is inspect.Parameter.empty and name not in node:
                raise UserError(f"{at}{name}: {constructor.__name__} needs a value for it")
    return result


def _check_call(node: Mapping[str, Any], where: str) -> dict[str, Any]:
    constructor = target(str(node["_target_"]), where)
    if "_args_" in node:  # Hydra would make what stands in it, of any package, unseen by the checks here
        raise UserError(f"{where}._args_: options are named, never told by their place; write {where}.NAME=...")
    options = {name: check(value, f"{where}.{name}") for name, value in node.items() if name not in MARKS}
    checked = fields(options, constructor, where, partial=bool(node.get("_partial_", False)))
    return {**{name: node[name] for name in MARKS if name in node}, **checked}


def _coerce(value: Any, hint: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return value
    if origin in (typing.Union, types.UnionType):
        return _coerce_union(value, args, where, hint)
    if origin is typing.Literal:
        if value not in args or isinstance(value, bool) != any(isinstance(a, bool) and a == value for a in args):
            choices = [str(a) for a in args]
            raise UserError(f"{where}: {value!r} is not one of {', '.join(choices)}{_hint(str(value), choices)}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is int and isinstance(value, str):
        return _number(value, where)
    if hint in (int, float, str, bool):
        if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
            raise UserError(f"{where}: {value!r} is not {_article(hint)}")
        return value
    if origin in (dict, Mapping) and args:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {value!r} is not a mapping of names; write {{name: ...}}")
        return {name: _coerce(item, args[1], f"{where}.{name}") for name, item in value.items()}
    if origin in (list, tuple) and args:
        if not isinstance(value, list):
            raise UserError(f"{where}: {value!r} is not a list")
        return [_coerce(item, args[0], f"{where}[{index}]") for index, item in enumerate(value)]
    return value


def _coerce_union(value: Any, args: tuple[Any, ...], where: str, hint: Any) -> Any:
    if value is None and type(None) in args:
        return None
    options = [arg for arg in args if arg is not type(None)]
    if isinstance(value, Mapping):  # of a mapping that is wrong, the entry is told
        options = [arg for arg in options if typing.get_origin(arg) in (dict, Mapping)] or options
    exact = [arg for arg in options if arg in (int, float, str, bool) and type(value) is arg]
    if exact:
        return value
    errors = []
    for option in options:
        try:
            return _coerce(value, option, where)
        except UserError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise UserError(f"{where}: {value!r} is not {str(hint).replace('typing.', '')}")


def _number(value: str, where: str) -> int:
    """An int written as 1e6 comes from Hydra as a float, one written as 1_000_000 as a string."""
    try:
        return int(value)
    except ValueError:
        raise UserError(f"{where}: {value!r} is not an int") from None


def _hint(word: str, choices: list[str]) -> str:
    text = nearest(word, choices)
    return text if "did you mean" in text else ""


def _article(kind: type) -> str:
    return {"int": "an int", "float": "a float", "str": "text", "bool": "true or false"}[kind.__name__]
