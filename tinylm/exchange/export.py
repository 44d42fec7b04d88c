"""A model of ours as a folder that transformers loads, proved by letting it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tinylm.batch import IGNORE, Batch
from tinylm.data.tokens import Tokenizer
from tinylm.errors import UserError
from tinylm.exchange import tokenizer as words
from tinylm.exchange.families import FAMILIES
from tinylm.exchange.family import Family, written
from tinylm.files import write_text
from tinylm.model.lm import LanguageModel

TOLERANCE = 1e-4  # of the largest logit: two orders of the same products in fp32 stay well below it
ROWS, LONGEST = 2, 256  # of random ids that the logits are compared on
TEXTS = ("The history of", "  two  blanks\n\tand a tab", "naïve café, 中文, 🙂 and a\u0300")


@dataclass(frozen=True)
class Proof:
    """What was found when transformers loaded an export.

    Fields:
        architecture: its class there.
        difference: the largest between its logits and ours, on random ids.
        largest: logit of ours there.
        version: of transformers.
    """

    architecture: str
    difference: float
    largest: float
    version: str


def counterpart(model: LanguageModel) -> tuple[str, Family]:
    """The family that a model can be written as, and its ``model_type``.

    Raises:
        UserError: there is none; of the nearest it names every option that is in the way.
    """
    reasons = {kind: list(family.strange(model)) for kind, family in FAMILIES.items() if family.strange is not None}
    # The nearest: of the same parts first, of the same options then.
    kind = min(reasons, key=lambda name: (sum(said.startswith("model/") for said in reasons[name]), len(reasons[name])))
    if reasons[kind]:
        raise UserError(f"there is nothing in transformers to export this model as: {'; '.join(reasons[kind])}")
    return kind, FAMILIES[kind]


def export(model: LanguageModel, tokenizer: Tokenizer, folder: Path, card: Callable[[Proof], str]) -> Proof:
    """Write a model and its tokenizer, let transformers load them, and compare; the folder is there whole or not.

    It holds config.json, generation_config.json, model.safetensors (fp32), tokenizer.json, tokenizer_config.json and
    README.md.

    Args:
        model: in evaluation mode, on the CPU.
        card: writes README.md.

    Raises:
        UserError: the model has no counterpart, the folder holds something, or transformers is not installed or reads
            another model or other ids than ours.
    """
    kind, family = counterpart(model)
    transformers = _transformers()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: there is something already; name a folder that is empty or not there")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.parent / f".{folder.name}.{os.getpid()}"
    unfinished.mkdir()
    try:
        texts = {
            "config.json": _config(kind, family, model, tokenizer),
            "generation_config.json": _generation(model, tokenizer),
            **words.files(tokenizer, model.shape.context),
        }
        for name, content in texts.items():
            write_text(unfinished / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        save_file(written(model, family), unfinished / "model.safetensors", metadata={"format": "pt"})
        (unfinished / "model.safetensors").chmod(0o644)  # the library's files are for their owner alone
        with _quiet(transformers):
            difference, largest = _compared(transformers, unfinished, model, tokenizer)
        proof = Proof(family.architecture, difference, largest, transformers.__version__)
        write_text(unfinished / "README.md", card(proof))
        if folder.is_dir():
            folder.rmdir()  # empty
        os.replace(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return proof


def _config(kind: str, family: Family, model: LanguageModel, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "architectures": [family.architecture],
        "model_type": kind,
        **family.told(model),
        "bos_token_id": tokenizer.bos,
        "eos_token_id": tokenizer.eos,
        "dtype": "float32",
        "use_cache": True,
    }


def _generation(model: LanguageModel, tokenizer: Tokenizer) -> dict[str, Any]:
    """Greedy unless asked otherwise; the id that opens a document is never drawn, as in ours."""
    return {
        "bos_token_id": tokenizer.bos,
        "eos_token_id": tokenizer.eos,
        "pad_token_id": tokenizer.eos,
        "suppress_tokens": [tokenizer.bos],
        "max_length": model.shape.context,
    }


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            "an export is proved by loading it with transformers, which is not installed: pip install 'tinylm[hf]'"
        ) from error
    return transformers


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No bars and no advice while an export is checked."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _compared(transformers: Any, folder: Path, model: LanguageModel, tokenizer: Tokenizer) -> tuple[float, float]:
    """The largest difference of logits on random ids, and the largest logit.

    Raises:
        UserError: it is no rounding, or texts get other ids.
    """
    options = {"local_files_only": True, "trust_remote_code": False}
    theirs = transformers.AutoTokenizer.from_pretrained(folder, **options)
    name = theirs.bos_token
    spelled = [f"{name} is text"] if tokenizer.alone(name) != [tokenizer.bos] else []  # else no file can say so
    for text in (*TEXTS, *spelled):
        ids, expected = theirs(text)["input_ids"], [tokenizer.bos, *tokenizer.encode(text)]
        if ids != expected:
            raise UserError(
                f"nothing is written: transformers {transformers.__version__} makes {ids} of {text!r}, ours {expected}"
            )
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()
    T = min(model.shape.context, LONGEST)
    ids_BT = torch.randint(0, model.shape.vocab, (ROWS, T), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours_BTV = model.head(model(Batch(ids_BT, torch.full_like(ids_BT, IGNORE))).hidden_BTD)
        difference = (loaded(input_ids=ids_BT, use_cache=False).logits - ours_BTV).abs().max().item()
    largest = ours_BTV.abs().max().item()
    if not difference <= TOLERANCE * max(1.0, largest):
        raise UserError(
            f"nothing is written: transformers {transformers.__version__} gives other logits, by up to {difference:.2g}"
        )
    return difference, largest
