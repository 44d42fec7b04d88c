"""Checkpoints of other houses: a folder of config.json and safetensors, read into our model."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from tinylm.errors import UserError
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.layer import Layer
from tinylm.model.norm.rms import RMS
from tinylm.model.position.learned import Learned
from tinylm.model.position.rotary import Rotary
from tinylm.model.shape import Shape

INDEX = "model.safetensors.index.json"
IDLE = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")  # buffers that old files hold, no weights


@dataclass(frozen=True)
class Checkpoint:
    """A model that was trained elsewhere.

    Fields:
        model: in evaluation mode, fp32, on the CPU.
        start: the id that opens a document, or else closes one.
    """

    model: LanguageModel
    start: int


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint.

    Raises:
        UserError: there are none; pickled weights are never loaded.
    """
    index = folder / INDEX
    if index.is_file():
        try:
            names = sorted(set(_json(index)["weight_map"].values()))
        except (KeyError, AttributeError) as error:
            raise UserError(f"init.path={folder}: {INDEX} names no files under weight_map") from error
        files = [folder / Path(name).name for name in names]
    else:
        files = sorted(folder.glob("*.safetensors"))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise UserError(f"init.path={folder}: {INDEX} names {missing[0]}, which is not there")
    if files:
        return files
    pickled = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern))
    if pickled:
        raise UserError(
            f"init.path={folder}: {pickled[0]} is pickled, and what is pickled is never loaded: save the model as "
            "safetensors"
        )
    raise UserError(f"init.path={folder}: there is no .safetensors file")


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"init.path={path.parent}: {path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(read, dict):
        raise UserError(f"init.path={path.parent}: {path.name} holds no object")
    return read


def outline(folder: Path) -> LanguageModel:
    """The model in a folder as ``read`` would give it, on the meta device: its config and what its files hold.

    Raises:
        UserError: as ``read``, but for the sizes of tensors.
    """
    names: set[str] = set()
    for file in weight_files(folder):
        with _whole(file), safe_open(file, framework="pt") as opened:
            names |= set(opened.keys())
    return _made(folder, names)[0]


def read(folder: Path) -> Checkpoint:
    """The model in a folder: of the Llama, the Qwen2 or the GPT-2 family, its weights in safetensors.

    Raises:
        UserError: it is of another family, uses what our parts lack, its config lacks a size, a file is torn, or its
            tensors are not those of its config.
    """
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        with _whole(file):
            tensors |= load_file(file)
    model, cells = _made(folder, tensors.keys())
    _fill(model, tensors, cells, folder)
    config = _json(folder / "config.json")
    start = next((config[name] for name in ("bos_token_id", "eos_token_id") if isinstance(config.get(name), int)), 0)
    return Checkpoint(model.eval(), start)


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"init.path={file.parent}: {file.name} is torn ({said}); fetch or save it again") from error


def _made(folder: Path, names: Collection[str]) -> tuple[LanguageModel, dict[str, Cell]]:
    """The model on the meta device, and for each of its parameters where it lies; ``names`` are the tensors'."""
    config = _json(folder / "config.json")
    family = FAMILIES.get(config.get("model_type"))
    if family is None:
        raise UserError(
            f"init.path={folder}: a model of type {config.get('model_type')!r} is not known; valid: "
            f"{', '.join(FAMILIES)}"
        )
    try:
        model, cells = family(config, folder, names)
    except KeyError as error:
        raise UserError(f"init.path={folder}: config.json does not say {error.args[0]}") from error
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"init.path={folder}: config.json makes no model ({said})") from error
    wanted = {cell.name for cell in cells.values()}
    strange = sorted(name for name in set(names) - wanted if not name.endswith(IDLE) and name != "lm_head.weight")
    if strange:
        raise UserError(f"init.path={folder}: it holds {strange[0]}, for which our model of its family has no place")
    for ours, _ in model.named_parameters():
        if cells[ours].name not in names:
            raise UserError(f"init.path={folder}: it lacks {cells[ours].name}")
    return model, cells


@dataclass(frozen=True)
class Cell:
    """Where a tensor of ours lies: its name there, whether it lies transposed, and which third of it is ours."""

    name: str
    transposed: bool = False
    third: int | None = None


def _fill(model: LanguageModel, tensors: Mapping[str, Tensor], cells: Mapping[str, Cell], folder: Path) -> None:
    model.to_empty(device="cpu")
    with torch.no_grad():
        for ours, parameter in model.named_parameters():
            cell = cells[ours]
            tensor = tensors[cell.name].float()
            tensor = tensor if cell.third is None else tensor.chunk(3, dim=-1)[cell.third]
            tensor = tensor.T if cell.transposed else tensor
            if tensor.shape != parameter.shape:
                raise UserError(
                    f"init.path={folder}: {cell.name} gives {list(tensor.shape)} and its config asks for "
                    f"{list(parameter.shape)}"
                )
            parameter.copy_(tensor)


def _llama(config: Mapping[str, Any], folder: Path, _: Collection[str]) -> tuple[LanguageModel, dict[str, Cell]]:
    """Touvron et al. 2023 (arXiv 2302.13971); Qwen2 (Yang et al. 2024, arXiv 2407.10671) adds biases to q, k and v."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    _only(config, folder, hidden_act="silu", mlp_bias=False, use_sliding_window=False, pretraining_tp=1)
    _only(rope, folder, rope_type="default", type="default", partial_rotary_factor=1.0)
    heads, width = config["num_attention_heads"], config["hidden_size"]
    shape = Shape(
        depth=config["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or width // heads,
        hidden=config["intermediate_size"],
        vocab=config["vocab_size"],
        context=config["max_position_embeddings"],
        tied=config.get("tie_word_embeddings", False),
    )
    bias: Literal["qkv", "all"] | None = "all" if config.get("attention_bias") else None
    if config["model_type"] == "qwen2":
        bias = "qkv"
    base = rope.get("rope_theta") or config.get("rope_theta") or 10000.0
    with torch.device("meta"):
        model = LanguageModel(
            shape,
            attention=partial(MultiHead, bias=bias),
            ffn=SwiGLU,
            norm=partial(RMS, epsilon=config.get("rms_norm_eps", 1e-6)),
            position=partial(Rotary, base=float(base)),
        )
    names = {"embedding": "model.embed_tokens", "norm": "model.norm", "unembedding": "lm_head"}
    for layer in range(shape.depth):
        ours, theirs = f"blocks.{layer}", f"model.layers.{layer}"
        names[f"{ours}.attention_norm"] = f"{theirs}.input_layernorm"
        names[f"{ours}.ffn_norm"] = f"{theirs}.post_attention_layernorm"
        names |= {f"{ours}.attention.{part}": f"{theirs}.self_attn.{part}_proj" for part in "qkvo"}
        names |= {f"{ours}.ffn.{part}": f"{theirs}.mlp.{part}_proj" for part in ("gate", "up", "down")}
    cells = {}
    for name in dict(model.named_parameters()):
        module, _, kind = name.rpartition(".")
        cells[name] = Cell(f"{names[module]}.{kind}")
    return model, cells


def _gpt2(config: Mapping[str, Any], folder: Path, names: Collection[str]) -> tuple[LanguageModel, dict[str, Cell]]:
    """Radford et al. 2019 (GPT-2). Its matrices lie transposed, queries, keys and values in one."""
    _only(config, folder, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    units: dict[str, Literal["tanh"] | None] = {"gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu": None}
    unit = config.get("activation_function", "gelu_new")
    if unit not in units:
        raise UserError(f"init.path={folder}: activation_function={unit} is not known; valid: {', '.join(units)}")
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
    with torch.device("meta"):
        model = LanguageModel(
            shape,
            attention=partial(MultiHead, bias="all"),
            ffn=partial(GELU, bias=True, unit=units[unit]),
            norm=partial(Layer, epsilon=config.get("layer_norm_epsilon", 1e-5)),
            position=Learned,
        )
    start = "transformer." if "transformer.wte.weight" in names else ""
    modules = {"embedding": "wte", "position.table": "wpe", "norm": "ln_f"}
    for layer in range(shape.depth):
        ours, theirs = f"blocks.{layer}", f"h.{layer}"
        modules |= {f"{ours}.attention_norm": f"{theirs}.ln_1", f"{ours}.ffn_norm": f"{theirs}.ln_2"}
        modules |= {f"{ours}.attention.{part}": f"{theirs}.attn.c_attn" for part in "qkv"}
        modules |= {f"{ours}.attention.o": f"{theirs}.attn.c_proj"}
        modules |= {f"{ours}.ffn.up": f"{theirs}.mlp.c_fc", f"{ours}.ffn.down": f"{theirs}.mlp.c_proj"}
    cells = {"unembedding.weight": Cell("lm_head.weight")}
    for name, _ in model.named_parameters():
        module, _, kind = name.rpartition(".")
        if module != "unembedding":
            part = module.rpartition(".")[2]
            turned = kind == "weight" and part in ("q", "k", "v", "o", "up", "down")
            third = "qkv".index(part) if part in ("q", "k", "v") else None
            cells[name] = Cell(f"{start}{modules[module]}.{kind}", turned, third)
    return model, cells


Family = Callable[[Mapping[str, Any], Path, Collection[str]], tuple[LanguageModel, dict[str, Cell]]]
FAMILIES: dict[Any, Family] = {"llama": _llama, "qwen2": _llama, "gpt2": _gpt2}


def _only(config: Mapping[str, Any], folder: Path, **supported: Any) -> None:
    """Refuse an option that our parts lack; an option that is absent or null is at its default."""
    for name, value in supported.items():
        if config.get(name) not in (None, value):
            raise UserError(f"init.path={folder}: {name}={config[name]} is not supported, only {value}")
