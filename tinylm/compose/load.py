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
from tinylm.exchange.subject import subject
from tinylm.model.lm import LanguageModel
from tinylm.model.shape import Shape
from tinylm.record import WEIGHTS, RunRecord

ELSEWHERE = "hf:"  # what a folder, or a name on the hub, of another house stands after


def load(key: str, root: str | Path | Sequence[str | Path] = "runs") -> tuple[LanguageModel, Tokenizer]:
    """The model (in evaluation mode, on the CPU, fp32) and tokenizer of a finished run, or of another house.

    Args:
        key: the run's key or its beginning; or ``hf:`` and the folder of a checkpoint, or its name on the hub.
        root: where runs lie, one folder or several.

    Raises:
        UserError: no such run, or its weights were not kept; or a checkpoint that is not ours to read.

    Example:
        >>> model, tokenizer = tinylm.load("3f2a")
    """
    if key.startswith(ELSEWHERE):
        return subject(key.removeprefix(ELSEWHERE))
    folder = locate(key, [Path(root)] if isinstance(root, str | Path) else [Path(one) for one in root])
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{folder}: the weights were not kept; train it again with keep=weights")
    record = RunRecord.read(folder)
    config = {"model": schema.check(record.config["model"], "model")}
    model = model_factory(config)(Shape.told(record.accounting["shape"]))
    load_model(model, weights)
    return model.eval(), Tokenizer.load(folder / "tokenizer.json")
