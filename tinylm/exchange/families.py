"""The families of models that are read and written, in one table."""

from __future__ import annotations

from typing import Any

from tinylm.exchange import gpt2, llama
from tinylm.exchange.family import Family

# ``model_type`` of a config.json -> its family. A model is written as the first that has all its parts.
FAMILIES: dict[Any, Family] = {
    "llama": llama.family("llama"),
    "qwen2": llama.family("qwen2"),
    "mistral": llama.family("mistral"),
    "mixtral": llama.family("mixtral"),
    "gpt2": gpt2.FAMILY,
}
