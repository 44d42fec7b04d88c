"""The Llama family: Llama itself, Qwen2, Mistral and Mixtral."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from tinylm.exchange.family import Cell, Cells, Family, lacking, only
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.attention.window import Window
from tinylm.model.ffn.frozen_centroid import FrozenCentroid
from tinylm.model.ffn.moe import MoE
from tinylm.model.ffn.swiglu import SwiGLU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.rms import RMS
from tinylm.model.placement.pre import Pre
from tinylm.model.position.rotary import Rotary
from tinylm.model.shape import Shape

Kind = Literal["llama", "qwen2", "mistral", "mixtral"]
HOUSES: dict[Kind, str] = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
}
ATTENTION: dict[Kind, tuple[type, ...]] = {
    "llama": (MultiHead,),
    "qwen2": (MultiHead,),
    "mistral": (Window,),
    "mixtral": (MultiHead, Window),
}
FFN: dict[Kind, tuple[type, ...]] = {"mixtral": (MoE, FrozenCentroid)}
MATRICES = {"gate": "w1", "down": "w2", "up": "w3"}  # ours -> Mixtral's
ABSENT: dict[Kind, tuple[float, float]] = {"mixtral": (1e-5, 1e6)}  # epsilon and base that a config need not name


def _made(kind: Kind, config: Mapping[str, Any]) -> LanguageModel:
    """Touvron et al. 2023 (arXiv 2302.13971); Qwen2 (Yang et al. 2024, arXiv 2407.10671) adds biases to q, k and v,
    Mistral (Jiang et al. 2023, arXiv 2310.06825) a window, Mixtral (Jiang et al. 2024, arXiv 2401.04088) experts."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    only(config, hidden_act="silu", mlp_bias=False, use_sliding_window=False, pretraining_tp=1)
    only(rope, rope_type="default", type="default", partial_rotary_factor=1.0)
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
    window = config.get("sliding_window") if kind in ("mistral", "mixtral") else None
    bias: Literal["qkv", "all"] | None = "all" if config.get("attention_bias") else None
    if kind == "mixtral":
        ffn: Any = partial(MoE, experts=config["num_local_experts"], k=config["num_experts_per_tok"], normalise=True)
    else:
        ffn = SwiGLU
    epsilon, base = ABSENT.get(kind, (1e-6, 10000.0))
    base = rope.get("rope_theta") or config.get("rope_theta") or base
    return LanguageModel(
        shape,
        attention=partial(Window, window=window)
        if window
        else partial(MultiHead, bias="qkv" if kind == "qwen2" else bias),
        ffn=ffn,
        norm=partial(RMS, epsilon=config.get("rms_norm_eps", epsilon)),
        position=partial(Rotary, base=float(base)),
    )


def _cells(model: LanguageModel, _: Collection[str]) -> Cells:
    """Where each parameter lies."""
    found = {"embedding.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}
    found["unembedding.weight"] = "lm_head.weight"
    cells: Cells = {}
    for layer, block in enumerate(model.layers()):
        ours, theirs = f"blocks.{layer}", f"model.layers.{layer}"
        found[f"{ours}.attention_norm.weight"] = f"{theirs}.input_layernorm.weight"
        found[f"{ours}.ffn_norm.weight"] = f"{theirs}.post_attention_layernorm.weight"
        for part in "qkvo":
            for kind in ("weight", "bias"):
                found[f"{ours}.attention.{part}.{kind}"] = f"{theirs}.self_attn.{part}_proj.{kind}"
        for part in ("gate", "up", "down"):
            found[f"{ours}.ffn.{part}.weight"] = f"{theirs}.mlp.{part}_proj.weight"
        if isinstance(block.ffn, MoE | FrozenCentroid):
            experts = f"{theirs}.block_sparse_moe"
            found |= {f"{ours}.ffn.{name}": f"{experts}.gate.weight" for name in ("router.weight", "centroids")}
            for part, matrix in MATRICES.items():
                names = (f"{experts}.experts.{expert}.{matrix}.weight" for expert in range(block.ffn.experts.count))
                cells[f"{ours}.ffn.experts.{part}"] = Cell(tuple(names), stacked=True)
    cells |= {name: Cell((theirs,)) for name, theirs in found.items()}
    return {name: cells[name] for name, _ in model.named_parameters()}


def _strange(kind: Kind, model: LanguageModel) -> Iterator[str]:
    house, shape = HOUSES[kind], model.shape
    wanted: dict[str, tuple[type, ...]] = {
        "attention": ATTENTION[kind],
        "ffn": FFN.get(kind, (SwiGLU,)),
        "norm": (RMS,),
        "position": (Rotary,),
        "placement": (Pre,),
    }
    yield from lacking(model, house, wanted)
    first = model.layers()[0]
    if kind != "llama" and isinstance(first.attention, MultiHead) and first.attention.q.bias is not None:
        yield f"model.attention.bias is set, where {house} has none"
    if shape.width % shape.heads:
        yield f"shape.width={shape.width}, which {house} wants to be a multiple of shape.heads={shape.heads}"
    if kind == "mixtral" and isinstance(first.ffn, MoE | FrozenCentroid):
        if first.ffn.experts.unit != "swiglu":
            yield f"model.ffn.unit={first.ffn.experts.unit}, where {house} has swiglu"
        if isinstance(first.ffn, MoE) and first.ffn.shared is not None:
            yield f"model.ffn.shared=true, where {house} has no expert that all tokens pass"
        if isinstance(first.ffn, MoE) and not first.ffn.normalise:
            yield f"model.ffn.normalise=false, where {house} brings a token's weights to the sum 1"


def _told(kind: Kind, model: LanguageModel) -> dict[str, Any]:
    """A model's config. A frozen centroid's nearest expert, whose weight is 1, is the best of one in Mixtral."""
    shape, first = model.shape, model.layers()[0]
    assert isinstance(model.norm, RMS)
    assert isinstance(model.position, Rotary)
    config: dict[str, Any] = {
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": model.norm.epsilon,
        "rope_theta": model.position.base,
        "tie_word_embeddings": shape.tied,
        "attention_dropout": 0.0,
    }
    if kind == "llama":
        assert isinstance(first.attention, MultiHead)
        config |= {"attention_bias": first.attention.q.bias is not None, "mlp_bias": False}
    if kind in ("mistral", "mixtral"):
        config["sliding_window"] = first.attention.window if isinstance(first.attention, Window) else None
    if isinstance(first.ffn, MoE | FrozenCentroid):
        config |= {
            "intermediate_size": first.ffn.experts.up.shape[1],
            "num_local_experts": first.ffn.experts.count,
            "num_experts_per_tok": first.ffn.k if isinstance(first.ffn, MoE) else 1,
            "output_router_logits": False,
        }
    return config


def _filled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In Llama all projections of attention have a bias or none; one that ours does not have is one of zeros."""
    biased = [name.removesuffix("q_proj.bias") for name in tensors if name.endswith("q_proj.bias")]
    zeros = {f"{start}o_proj.bias": torch.zeros(len(tensors[f"{start}o_proj.weight"])) for start in biased}
    return {**zeros, **tensors}


def family(kind: Kind) -> Family:
    """One of the four. Nothing is written as Qwen2: transformers would read its tokenizer as Qwen's own."""
    strange = None if kind == "qwen2" else partial(_strange, kind)
    return Family(HOUSES[kind], partial(_made, kind), _cells, strange, partial(_told, kind), _filled)
