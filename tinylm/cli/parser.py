"""The argument parser of every command: its help keeps the examples' layout, its errors are one line."""

from __future__ import annotations

import argparse
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
        raise UserError(f"{message}; see {self.prog} --help")
