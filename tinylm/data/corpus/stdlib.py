"""Real text on every machine: the running interpreter's standard library."""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tinylm.data.content import file_hash, text_hash
from tinylm.data.document import Corpus, Document, check_fractions, limited
from tinylm.data.passages import cut, stretches
from tinylm.errors import UserError

# Packages that are installed beside it, tests that some systems leave out, and tables that are hardly text.
SKIPPED = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "encodings", "__phello__"}
TOPICS = Path("pydoc_data", "topics.py")  # the language reference that ``help()`` shows, as one dict of strings


class Stdlib(Corpus):
    """Source text and documentation of the standard library, as passages.

    A document is a passage of a module: of its source text without the docstrings (domain ``code``), or of its
    docstrings laid end to end (domain ``prose``). No text is in both. The order of modules is that of a hash of their
    names, so that ``limit_bytes`` takes a fair sample of the library.

    Args:
        passage_bytes: size of a passage in bytes; see ``passages.cut``.
        tune, test: fractions of documents in these splits.
        limit_bytes: read whole documents up to this many bytes of text; None reads all (about 9 MB).
        only: one of the two domains; None reads both.
    """

    def __init__(
        self,
        passage_bytes: int = 2048,
        tune: float = 0.05,
        test: float = 0.05,
        limit_bytes: int | None = None,
        only: Literal["code", "prose"] | None = None,
    ) -> None:
        check_fractions(tune, test)
        if passage_bytes < 64:
            raise UserError(f"data.passage_bytes={passage_bytes} is too small; give at least 64")
        self.passage_bytes = passage_bytes
        self.tune, self.test = tune, test
        self.limit_bytes = limit_bytes
        self.only = only

    def documents(self) -> Iterator[Document]:
        return limited(self._read(), self.limit_bytes)

    def held_out(self) -> Iterator[Document] | None:
        return None

    def content(self) -> dict[str, str | None]:
        root, modules = _modules()
        return {"text": text_hash(f"{module.as_posix()} {file_hash(root / module)}" for module in modules)}

    def _read(self) -> Iterator[Document]:
        root, modules = _modules()
        for module in modules:
            try:
                texts = _code_and_prose((root / module).read_text(encoding="utf-8"), module == TOPICS)
            except (SyntaxError, ValueError):  # some modules are there to show just that
                continue
            for domain, text in zip(("code", "prose"), texts, strict=True):
                if self.only not in (None, domain):
                    continue
                passages = (Document(part, module.as_posix(), domain) for part in cut([text], self.passage_bytes))
                for document in stretches(passages, self.tune, self.test):
                    if document.text.strip():
                        yield document


def _modules() -> tuple[Path, list[Path]]:
    """The library's folder and its modules' places in it."""
    root = Path(sysconfig.get_path("stdlib"))
    modules: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]
        place = Path(folder).relative_to(root)
        modules += [place / name for name in names if name.endswith(".py") and not name.startswith("_sysconfigdata")]
    if not modules:
        raise UserError(f"{root}: the standard library has no source text here; read text of your own with data=files")
    return root, sorted(modules, key=lambda module: hashlib.blake2b(module.as_posix().encode()).digest())


def _code_and_prose(source: str, topics: bool) -> tuple[str, str]:
    """A module's text without docstrings, and its docstrings with a blank line between."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in strings
        tree = ast.parse(source)
    if topics:
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and "\n" in str(node.value)]
        return "", "\n".join(map(str, texts))
    lines = [line + "\n" for line in source.split("\n")]  # as the parser counts them: a form feed ends no line
    prose: dict[int, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is None or len(node.body) == 1:  # a body of a docstring alone has to keep it
                continue
            place = node.body[0]
            first, last = place.lineno - 1, place.end_lineno or place.lineno
            if lines[first][: place.col_offset].strip() or lines[last - 1].encode()[place.end_col_offset :].strip():
                continue  # other code shares its lines
            lines[first:last] = [""] * (last - first)
            prose[first] = inspect.cleandoc(text) + "\n"
    return "".join(lines)[:-1], "\n".join(prose[line] for line in sorted(prose))
