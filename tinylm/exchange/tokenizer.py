"""A tokenizer of ours as the files that transformers reads."""

from __future__ import annotations

import json
from typing import Any

import tokenizers
from tokenizers import processors

from tinylm.data.tokens import Tokenizer


def files(tokenizer: Tokenizer, context: int) -> dict[str, dict[str, Any]]:
    """File name -> content: ``tokenizer.json`` and ``tokenizer_config.json``.

    A text gets the id that opens a document before it, as every text has that we score, and none after it. The name of
    a special token within a text is text. What ours spells in bytes beside that, for no file can say it: in tokenizers
    with byte fallback the letter that stands for a blank and the names of bytes, in Unigram ones those of special
    tokens too.
    """
    bos, eos = (str(tokenizer.backend.id_to_token(index)) for index in (tokenizer.bos, tokenizer.eos))
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tokenizer.bos)]
    )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "pad_token": eos,  # for batches of several lengths; what it stands at is masked
        "model_max_length": context,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
    }
    return {"tokenizer.json": json.loads(backend.to_str()), "tokenizer_config.json": config}
