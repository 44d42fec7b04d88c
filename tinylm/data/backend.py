"""Reading the ``tokenizers`` library's JSON."""

from __future__ import annotations

import tokenizers


def parsed(text: str) -> tokenizers.Tokenizer:
    """The tokenizer that ``text`` describes.

    Raises:
        ValueError: it describes none; the message is one line of the library's.
    """
    try:
        return tokenizers.Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what the library raises is plain, and a panic of its Rust no Exception at all
        raise ValueError(str(error).partition("\n")[0]) from error
