"""Any text dataset of the Hugging Face hub, through ``datasets``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from tinylm.data.document import Corpus, Document, check_fractions, limited
from tinylm.data.rows import Row, pick
from tinylm.data.segment import WIKITEXT, Kind, Segmenter
from tinylm.errors import UserError

COMMIT = re.compile(r"[0-9a-f]{40}")
WAY_OUT = "connect, or download the text once and read it with data=files 'data.paths=[...]'"


class Hub(Corpus):
    """Documents of a dataset. Code that a dataset brings along is never run.

    Args:
        name: the dataset, as ``owner/name``.
        config: its configuration (subset), or None for the only one.
        split: which of its splits is read.
        held_out: a split of it that is the whole test split, or None; then the hash draws the test split.
        document, heading, passage_bytes: what a document is; see ``Segmenter``.
        text_field: field of a row that holds the text.
        domain_field: field of a row that names its domain, or None.
        streaming: read over the network as needed, rather than download everything first.
        revision: branch, tag or commit; a full commit needs no network to be named.
        tune, test: fractions of documents in these splits.
        limit_bytes: read whole documents up to this many bytes of text; None reads all.
    """

    def __init__(
        self,
        name: str,
        config: str | None = None,
        split: str = "train",
        held_out: str | None = None,
        document: Kind = "row",
        heading: str = WIKITEXT,
        passage_bytes: int = 2048,
        text_field: str = "text",
        domain_field: str | None = None,
        streaming: bool = True,
        revision: str = "main",
        tune: float = 0.05,
        test: float = 0.05,
        limit_bytes: int | None = None,
    ) -> None:
        check_fractions(tune, test)
        self.name, self.config, self.split = name, config, split
        self.held_out_split = held_out
        self.text_field, self.domain_field = text_field, domain_field
        self.streaming = streaming
        self.revision = revision
        self.tune = tune
        self.test = 0.0 if held_out else test
        self.limit_bytes = limit_bytes
        self.segmenter = Segmenter(document, heading, passage_bytes, self.tune, self.test)

    def documents(self) -> Iterator[Document]:
        return limited(self._read(self.split), self.limit_bytes)

    def held_out(self) -> Iterator[Document] | None:
        return self._read(self.held_out_split) if self.held_out_split else None

    def content(self) -> dict[str, str | None]:
        return {"revision": self._commit}

    @cached_property
    def _commit(self) -> str:
        """The commit that ``revision`` names now.

        Raises:
            UserError: the hub cannot be asked, or knows no such dataset.
        """
        if COMMIT.fullmatch(self.revision):
            return self.revision
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        try:
            sha = HfApi().dataset_info(self.name, revision=self.revision, timeout=20).sha
        except (HfHubHTTPError, HFValidationError) as error:
            raise UserError(f"data.name={self.name}: {_first_line(error)}; see data.name and data.revision") from error
        except Exception as error:  # no network: the kinds of error are those of the library beneath
            raise UserError(
                f"data.name={self.name}: the hub cannot be reached ({_first_line(error)}); {WAY_OUT},"
                " or give data.revision as a full commit of a dataset that was downloaded before"
            ) from error
        if sha is None:
            raise UserError(f"data.name={self.name}: the hub names no commit of {self.revision!r}; see data.revision")
        return sha

    def _read(self, split: str) -> Iterator[Document]:
        where = f"{self.name}[{split}]"
        yield from self.segmenter.documents(self._rows(split, where), where, running=False)

    def _rows(self, split: str, where: str) -> Iterator[Row]:
        import datasets  # a second to import

        datasets.disable_progress_bars()
        number = 0
        try:
            records = datasets.load_dataset(
                self.name, self.config, split=split, streaming=self.streaming, revision=self._commit
            )
            for record in records:
                number += 1
                yield pick(record, self.text_field, self.domain_field, where, number)
        except (ValueError, RuntimeError, OSError) as error:  # of datasets, its readers and the network
            raise UserError(f"{where}:{number + 1}: cannot be read ({_first_line(error)}); {WAY_OUT}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
