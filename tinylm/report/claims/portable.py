"""What a page or an archive may tell to others: files by their names, not by the folders of one machine."""

from __future__ import annotations

import re
from typing import Any

# Folders at the front of a path that is absolute, starts at home, or climbs out of the project; not a closing tag.
_FOLDERS = re.compile(r"(?<![\w.:/<])(?:~|\.{1,2})?/(?:[^\s,;'\"\[\]{}()/]+/)*(?=[\w.])")


# Where results lie is no part of what was run, and a folder cut to its last part would name another place.
_PLACES = re.compile(r"""\s(?:(["'])(?:root|cache|archives)=.*?\1|(?:root|cache|archives)=\S+|--root[ =]\S+)""")


def command(line: str) -> str:
    """A command as others may run it: without the folders of its files, and without where its results lie.

    Example: ``command("tinylm sweep x data.paths=[/a/b.txt] root=/c/runs") == "tinylm sweep x data.paths=[b.txt]"``
    """
    return str(portable(_PLACES.sub("", line)))


def portable(value: Any) -> Any:
    """The value with the folders of its paths left out, in texts, lists and mappings alike.

    Paths inside the project (``runs/cache``), option names (``model/ffn``) and addresses stay as they are.

    Example: ``portable("data.paths=[../data/a.txt.gz]") == "data.paths=[a.txt.gz]"``
    """
    if isinstance(value, str):
        return _FOLDERS.sub("", value)
    if isinstance(value, dict):
        return {key: portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    return value
