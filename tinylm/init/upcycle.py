"""Upcycling: a sparse child starts from a dense parent, whose feed-forward every expert is a copy of."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tinylm.errors import UserError
from tinylm.init.initialiser import Parent, Provenance, Sources
from tinylm.init.reading import Meter, next_token_loss
from tinylm.init.scratch import Scratch
from tinylm.model.experts import Experts
from tinylm.model.ffn.expert_choice import ExpertChoice
from tinylm.model.ffn.moe import MoE
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams

EXPERT = re.compile(r"(blocks\.\d+\.ffn)\.(experts|shared)\.(\w+)")
BESIDE = re.compile(r"(blocks\.\d+\.ffn)\.dense\.(.+)")
SIZES = ("depth", "width", "heads", "kv_heads", "head_dim", "vocab", "tied")
MEASURED = 4  # batches of the child's tune split


class Upcycle:
    """A dense model with its feed-forwards turned into experts. Komatsuzaki et al. 2022 (arXiv 2212.05055), section 3.

    Everything that the parent has is copied, its feed-forward into every expert; routers, tables, centroids and
    memories are drawn as ``init=scratch`` draws them. Where the weights of a token's experts sum to 1 and none is
    dropped, the child's first loss is the parent's. Elsewhere ``compensate`` scales what the experts give by what
    their weights sum to under a router that prefers none, E / k, and what is left of a gap stands in the record:
    ``upcycle_gap`` (as evaluated) and ``upcycle_gap_train`` (as trained), nats a token above the parent on the child's
    tune split, whose domains the child may route by. A shared expert starts with an output of 0, and so should a memory
    (``model.ffn.start=zero``).

    The child's schedule begins anew; ``schedule.warmup=0`` goes on at the peak rate.

    Args:
        parent: which model; read where the run is composed.
        drop: share of every expert's hidden units that are drawn anew, each expert others, with the parent's mean and
            spread (Nakamura et al. 2025, Drop-Upcycling, arXiv 2502.19261, section 3).
        noise: standard deviation of what is added to the experts' weights, as a share of their own.
        compensate: see above.

    Raises:
        UserError: there is no parent, it is of another shape, or its feed-forward is not what the experts are.
    """

    def __init__(
        self, parent: dict[str, Any] | None = None, drop: float = 0.0, noise: float = 0.0, compensate: bool = True
    ) -> None:
        if not 0 <= drop <= 1 or noise < 0:
            raise UserError(f"init.drop={drop:g}, init.noise={noise:g}: a share from 0 to 1, and 0 or more")
        self.drop, self.noise, self.compensate = drop, noise, compensate

    def check(self, model: LanguageModel, parent: LanguageModel, name: str) -> None:
        """Refuse before any training what could not be upcycled; both models may lie on the meta device.

        Args:
            name: the parent's, for the message.

        Raises:
            UserError: another shape, or parts of the parent that the child would drop.
        """
        for size in SIZES:
            ours, theirs = getattr(model.shape, size), getattr(parent.shape, size)
            if ours != theirs:
                raise UserError(
                    f"shape.{size} is {ours} in the child and {theirs} in the parent {name}, and upcycling keeps the "
                    "shape: give both the same (shape.parameters=null with shape.width and shape.hidden)"
                )
        held = dict(parent.named_parameters())
        used = set()
        for own, parameter in model.named_parameters():
            source = _source(own)
            if source not in held:
                if source == own:  # the child's alone, and drawn
                    continue
                raise UserError(
                    f"{own} has nothing to start from in the parent {name}: give the child's experts the unit of its "
                    "parent's feed-forward (model.ffn.unit)"
                )
            used.add(source)
            want = parameter.shape[1:] if EXPERT.fullmatch(own) else parameter.shape
            if held[source].shape != want:
                raise UserError(
                    f"{own} is {list(want)} an expert and {list(held[source].shape)} in the parent {name}: set "
                    f"shape.hidden={parent.shape.hidden}, and model.ffn.hidden=null"
                )
        lost = [theirs for theirs in held if theirs not in used]
        if lost:
            raise UserError(
                f"the parent {name} has {lost[0]} and no part of the child takes it: give both the same parts, and the "
                "child's experts the unit of its parent's feed-forward (model.ffn.unit)"
            )
        for layer, (ours, theirs) in enumerate(zip(model.layers(), parent.layers(), strict=True)):
            if ours.ffn.activation != theirs.ffn.activation:
                own, other = (ffn.activation or type(ffn).__name__ for ffn in (ours.ffn, theirs.ffn))
                raise UserError(
                    f"the feed-forward of layer {layer} has {own} in the child and {other} in the parent {name}, which "
                    "is another function of the same matrices: give both the same (model.ffn.unit, or another "
                    "model/ffn for the parent)"
                )
        if not any(isinstance(module, Experts) or "dense" in path for path, module in model.named_modules()):
            raise UserError(
                "init=upcycle: the child has no experts to upcycle into; set model/ffn=moe, or take inherit"
            )

    @torch.no_grad()
    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        """Fill the whole model."""
        parent = sources.parent
        if parent is None:
            raise UserError("init=upcycle has no parent: name one by init.parent")
        if parent.ids_V is not None:
            raise UserError(
                f"init=upcycle keeps the vocabulary: give the child the tokenizer of its parent {parent.name}"
            )
        self.check(model, parent.model, parent.name)
        held = dict(parent.model.named_parameters())
        filled: dict[str, str] = {}
        for name, parameter in model.named_parameters():
            source = _source(name)
            if source not in held or name in sources.filled:
                continue
            parameter.copy_(self._expert(name, parameter, held[source], model, streams))
            filled[name] = f"parent {parent.name}"
        drawn = Scratch()(model, streams, replace(sources, filled=sources.filled | frozenset(filled)))
        filled |= drawn.filled
        scores, flops = _gaps(model, parent, sources)
        return Provenance("upcycle", filled, {"parent": parent.name, "gaps": scores}, flops, scores)

    def _expert(self, name: str, parameter: Tensor, source: Tensor, model: LanguageModel, streams: Streams) -> Tensor:
        """What a parameter starts from, copied, in part drawn anew, and scaled."""
        match = EXPERT.fullmatch(name)
        if match is None:
            return source
        path, kind, matrix = match.groups()
        if kind == "shared":
            return torch.zeros_like(source)[None] if matrix == "down" else source[None]
        made = source.expand_as(parameter).clone()
        generator = torch.Generator().manual_seed(streams.seed("init", name))
        if self.drop:
            units = torch.Generator().manual_seed(streams.seed("init", path, "drop"))  # of all matrices alike
            fresh = torch.normal(source.mean().item(), source.std().item(), made.shape, generator=generator)
            for number in range(len(made)):
                gone = torch.randperm(model.shape.hidden, generator=units)[: round(self.drop * model.shape.hidden)]
                index = (number, slice(None), gone) if matrix == "down" else (number, gone)
                made[index] = fresh[index]
        if self.noise:
            made += torch.normal(0.0, self.noise * source.std().item(), made.shape, generator=generator)
        ffn = model.get_submodule(path)
        return made * _missing_weight(ffn) if matrix == "down" and self.compensate else made


def _missing_weight(ffn: Any) -> float:
    """By what an even router's weights fall short of the sum 1."""
    if isinstance(ffn, MoE):
        return 1.0 if ffn.normalise else ffn.experts.count / ffn.k
    return ffn.experts.count / ffn.capacity if isinstance(ffn, ExpertChoice) else 1.0


def _source(name: str) -> str:
    """The parent's parameter that a child's starts from, if it has one."""
    match = EXPERT.fullmatch(name)
    if match is not None:
        return f"{match[1]}.{match[3]}.weight"
    beside = BESIDE.fullmatch(name)
    return name if beside is None else f"{beside[1]}.{beside[2]}"


def _gaps(model: LanguageModel, parent: Parent, sources: Sources) -> tuple[dict[str, float], float]:
    """Nats a token of the child above the parent, in both modes; what measuring cost, in FLOPs."""
    if sources.own is None:
        return {}, 0.0
    batches = [sources.own(step) for step in range(MEASURED)]

    def nats(measured: LanguageModel) -> float:
        return sum(next_token_loss(measured, batch).item() for batch in batches) / MEASURED

    trained = deepcopy(model).train()  # whose running moments are not to remember this
    meter = Meter()
    with meter.reading(parent.model), meter.reading(model), meter.reading(trained):
        floor = nats(parent.model.eval())
        gaps = {"upcycle_gap": nats(model.eval()) - floor, "upcycle_gap_train": nats(trained) - floor}
    return gaps, meter.flops
