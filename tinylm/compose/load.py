"""A trained model and its tokenizer, by key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_model

from tinylm.compose import schema
from tinylm.compose.ledger import locate
from tinylm.compose.parts import model_factory
from tinylm.data.tokens import Tokenizer
from tinylm.errors import UserError
from tinylm.model.lm import LanguageModel
from tinylm.model.shape import Shape
from tinylm.record import WEIGHTS, RunRecord


def load(key: str, root: str | Path | Sequence[str | Path] = "runs") -> tuple[LanguageModel, Tokenizer]:
    """The model (in evaluation mode, on the CPU, fp32) and tokenizer of a finished run.

    Args:
        key: the run's key or its beginning.
        root: where runs lie, one folder or several.

    Raises:
        UserError: no such run, or its weights were not kept.

    Example:
        >>> model, tokenizer = tinylm.load("3f2a")
    """
    folder = locate(key, [Path(root)] if isinstance(root, str | Path) else [Path(one) for one in root])
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{folder}: the weights were not kept; train it again with keep=weights")
    record = RunRecord.read(folder)
    config = {"model": schema.check(record.config["model"], "model")}
    model = model_factory(config)(Shape.told(record.accounting["shape"]))
    load_model(model, weights)
    return model.eval(), Tokenizer.load(folder / "tokenizer.json")
