"""A model of another house with its own tokenizer, to be sampled from and scored like one of ours."""

from __future__ import annotations

import copy

import tokenizers

from tinylm.data.tokenizer.file import File
from tinylm.data.tokens import Tokenizer
from tinylm.errors import UserError
from tinylm.exchange.checkpoint import folder_of, read
from tinylm.model.lm import LanguageModel

MARKS = 2  # ids that a tokenizer may be given beside its own: one that opens a document and one that closes it


def subject(path: str) -> tuple[LanguageModel, Tokenizer]:
    """The model in a folder, or of that name on the hub, and its tokenizer.

    The model keeps every row of its table, padding too: its logits are those of its own house. Where the tokenizer has
    no token of its own that opens (or closes) a document, the one that the config names does: GPT-2 opens and closes by
    the same.

    Raises:
        UserError: there is no such folder, its model cannot be read, or its tokenizer is none of it or not exact.
    """
    folder = folder_of(path)
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise UserError(f"{folder}: there is no tokenizer.json; save the fast tokenizer of the model beside it")
    checkpoint = read(folder)
    tokenizer = copy.copy(File(str(file)).tokenizer)
    rows = checkpoint.model.shape.vocab
    if tokenizer.vocab_size > rows + MARKS:
        raise UserError(f"{folder}: its tokenizer has {tokenizer.vocab_size} ids and its model {rows} rows")
    own = tokenizers.Tokenizer.from_file(str(file)).get_vocab(with_added_tokens=True)
    if tokenizer.backend.id_to_token(tokenizer.bos) not in own:
        tokenizer.bos = checkpoint.start
    if tokenizer.backend.id_to_token(tokenizer.eos) not in own:
        tokenizer.eos = checkpoint.stop
    return checkpoint.model, tokenizer
