"""A model's weights as a file."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import save_model
from torch import nn


def save_weights(model: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Replace ``path`` by the model's tensors, atomically, readable by whoever may read its folder."""
    unfinished = path.with_name(f".{path.name}")
    save_model(model, str(unfinished), metadata=metadata)
    unfinished.chmod(0o644)  # the library's files are for their owner alone
    os.replace(unfinished, path)
