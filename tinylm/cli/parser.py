"""The argument parser of every command: its help keeps the examples' layout, its errors are one line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import NoReturn

from tinylm.errors import UserError


class Parser(argparse.ArgumentParser):
    """``Parser("tinylm show", SHOW)``: the description may hold examples, line by line."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print with its usage.

        Raises:
            UserError: always.
        """
        stray = message.rpartition(" ")[2] if "unrecognized" in message else ""
        hint = _as_option(stray, self._option_string_actions)
        raise UserError(f"{message}{hint}; see {self.prog} --help")


def _as_option(word: str, options: Iterable[str]) -> str:
    """``root=runs`` is how `tinylm run` and `sweep` are told; what only reads results has options."""
    name, given, value = word.partition("=")
    return f"; did you mean --{name} {value}" if given and f"--{name}" in options else ""
