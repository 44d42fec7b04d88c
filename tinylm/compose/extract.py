"""The part of a trained model that one domain needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinylm.compose import keys, schema
from tinylm.compose.ledger import locate
from tinylm.compose.load import load
from tinylm.compose.parts import model_factory
from tinylm.data.tokens import Tokenizer
from tinylm.errors import UserError, nearest
from tinylm.model.accounting import flops_per_token, parameters
from tinylm.model.ffn.random_routed import RandomRouted
from tinylm.model.lm import LanguageModel
from tinylm.record import WEIGHTS, RunRecord
from tinylm.runs.weights import save_weights


def extract(key: str, domain: str, roots: Sequence[Path], out: Path) -> Path:
    """Write the sub-model that has one domain's experts alone; the folder, ``out/<its own key>``.

    Ren et al. 2023 (PanGu-Sigma, arXiv 2303.10845), section 3.2. On text of that domain its logits are those of the
    whole model; it needs no domain any more. ``tinylm.load`` and ``tinylm sample --root`` read it.

    Raises:
        UserError: no such run or domain, or a model whose experts are not grouped by domain.
    """
    folder = locate(key, roots)
    record = RunRecord.read(folder)
    model, tokenizer = load(key, roots)
    grouped = [layer for layer, ffn in enumerate(_ffns(model)) if isinstance(ffn, RandomRouted) and ffn.by_domain]
    if not grouped:
        raise UserError(
            f"{folder}: no layer has experts by domain; train model/ffn=random_routed with model.ffn.groups"
        )
    domains = model.shape.domains
    if domain not in domains:
        raise UserError(f"--domain {domain}: the model was trained without it{nearest(domain, domains)}")
    config = copy.deepcopy(record.config)
    for node in _nodes(config["model"], RandomRouted):
        sizes = node["groups"] if isinstance(node["groups"], dict) else dict.fromkeys(domains, node["groups"])
        node |= {"groups": None, "experts": sizes[domain]}
    shape = replace(model.shape, domains=())
    part = model_factory({"model": schema.check(config["model"], "model")})(shape)
    _fill(part, model, domains.index(domain))
    record = replace(
        record,
        key=keys.digest({"extracted": record.key, "domain": domain}),
        config=config,
        metrics={},
        items=None,
        cost={},
        sweeps=[],
        rounds=[],
        accounting={
            "parameters": parameters(part),
            "flops_per_token": flops_per_token(part, shape.context)["training"],
            "shape": asdict(shape),
        },
        provenance={**record.provenance, "extracted": {"run": record.key, "domain": domain}},
    )
    _write(part, tokenizer, record, out / record.key)
    return out / record.key


@torch.no_grad()
def _fill(part: LanguageModel, whole: LanguageModel, domain: int) -> None:
    theirs: dict[str, Tensor] = dict(whole.named_parameters())
    routed = {f"blocks.{layer}.ffn": ffn for layer, ffn in enumerate(_ffns(whole)) if isinstance(ffn, RandomRouted)}
    for name, parameter in part.named_parameters():
        source = theirs[name]
        path = ".".join(name.split(".")[:3])
        ffn = routed.get(path)
        if ffn is not None and ffn.by_domain:
            first = sum(ffn.groups[:domain])
            if name == f"{path}.table":
                source = source[domain : domain + 1] - first
            else:
                source = source[first : first + ffn.groups[domain]]
        parameter.copy_(source)


def _write(model: LanguageModel, tokenizer: Tokenizer, record: RunRecord, folder: Path) -> None:
    """The record last, as a run's is."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(model, folder / WEIGHTS)
    tokenizer.save(folder / "tokenizer.json")
    record.write(folder)


def _ffns(model: LanguageModel) -> list[Any]:
    return [block.ffn for block in model.layers()]


def _nodes(node: Any, wanted: type) -> Iterator[dict[str, Any]]:
    """The config nodes that make a class, wherever they stand."""
    if isinstance(node, Mapping):
        if str(node.get("_target_", "")) == f"{wanted.__module__}.{wanted.__name__}":
            assert isinstance(node, dict)
            yield node
        for value in node.values():
            yield from _nodes(value, wanted)
