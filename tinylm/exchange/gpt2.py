"""The GPT-2 family."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from tinylm.errors import UserError
from tinylm.exchange.family import Cell, Cells, Family, lacking, only
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.relu import ReLU
from tinylm.model.ffn.relu2 import ReLU2
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.layer import Layer
from tinylm.model.placement.pre import Pre
from tinylm.model.position.learned import Learned
from tinylm.model.shape import Shape

HOUSE = "GPT2LMHeadModel"
UNITS: dict[str, Literal["tanh"] | None] = {"gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu": None}
PROJECTIONS = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def _made(config: Mapping[str, Any]) -> LanguageModel:
    """Radford et al. 2019 (GPT-2)."""
    only(config, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    unit = config.get("activation_function", "gelu_new")
    if unit not in UNITS:
        raise UserError(f"activation_function={unit} is not known; valid: {', '.join(UNITS)}")
    heads, width = config["n_head"], config["n_embd"]
    shape = Shape(
        depth=config["n_layer"],
        width=width,
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        hidden=config.get("n_inner") or 4 * width,
        vocab=config["vocab_size"],
        context=config["n_positions"],
        tied=config.get("tie_word_embeddings", True),
    )
    return LanguageModel(
        shape,
        attention=partial(MultiHead, bias="all"),
        ffn=partial(GELU, bias=True, unit=UNITS[unit]),
        norm=partial(Layer, epsilon=config.get("layer_norm_epsilon", 1e-5)),
        position=Learned,
    )


def _cells(model: LanguageModel, names: Collection[str]) -> Cells:
    """Where each parameter lies: its matrices transposed, queries, keys and values in one; old files leave out the
    first word of the names."""
    start = "" if "wte.weight" in names else "transformer."
    modules = {"embedding": "wte", "position.table": "wpe", "norm": "ln_f"}
    for layer in range(model.shape.depth):
        ours, theirs = f"blocks.{layer}", f"h.{layer}"
        modules |= {f"{ours}.attention_norm": f"{theirs}.ln_1", f"{ours}.ffn_norm": f"{theirs}.ln_2"}
        modules |= {f"{ours}.attention.{part}": f"{theirs}.attn.c_attn" for part in "qkv"}
        modules |= {f"{ours}.attention.o": f"{theirs}.attn.c_proj"}
        modules |= {f"{ours}.ffn.up": f"{theirs}.mlp.c_fc", f"{ours}.ffn.down": f"{theirs}.mlp.c_proj"}
    cells: Cells = {}
    for name, _ in model.named_parameters():
        module, _, kind = name.rpartition(".")
        if module == "unembedding":
            cells[name] = Cell(("lm_head.weight",))
            continue
        part = module.rpartition(".")[2]
        turned = kind == "weight" and part in ("q", "k", "v", "o", "up", "down")
        third = "qkv".index(part) if part in ("q", "k", "v") else None
        cells[name] = Cell((f"{start}{modules[module]}.{kind}",), turned, third)
    return cells


def _strange(model: LanguageModel) -> Iterator[str]:
    shape = model.shape
    wanted: dict[str, tuple[type, ...]] = {
        "attention": (MultiHead,),
        "ffn": (GELU, ReLU, ReLU2),
        "norm": (Layer,),
        "position": (Learned,),
        "placement": (Pre,),
    }
    yield from lacking(model, HOUSE, wanted)
    if shape.kv_heads != shape.heads:
        yield f"shape.kv_heads={shape.kv_heads}, where {HOUSE} has as many as heads ({shape.heads})"
    if shape.heads * shape.head_dim != shape.width:
        yield (
            f"shape.heads={shape.heads} of {shape.head_dim} numbers, where {HOUSE} has as many numbers in its heads as "
            f"in its width ({shape.width})"
        )


def _told(model: LanguageModel) -> dict[str, Any]:
    shape, ffn = model.shape, model.layers()[0].ffn
    assert isinstance(model.norm, Layer)
    if isinstance(ffn, GELU):
        unit = next(name for name, ours in UNITS.items() if (ours or "none") == ffn.unit)
    else:
        unit = "relu" if isinstance(ffn, ReLU) else "relu2"
    return {
        "vocab_size": shape.vocab,
        "n_positions": shape.context,
        "n_embd": shape.width,
        "n_layer": shape.depth,
        "n_head": shape.heads,
        "n_inner": shape.hidden,
        "activation_function": unit,
        "layer_norm_epsilon": model.norm.epsilon,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "tie_word_embeddings": shape.tied,
    }


def _filled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A bias that ours does not have is one of zeros."""
    zeros = {
        f"{name.removesuffix('weight')}bias": torch.zeros(tensor.shape[-1])
        for name, tensor in tensors.items()
        if name.endswith(PROJECTIONS)
    }
    return {**zeros, **tensors}


FAMILY = Family(HOUSE, _made, _cells, _strange, _told, _filled)
