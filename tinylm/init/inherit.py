"""Inheritance: a child starts from the layers, channels, units and heads of a larger parent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from tinylm.errors import UserError
from tinylm.init.cut import Cut, any_cut, budgets, called, choose, placed, rescaled, tables
from tinylm.init.family import (
    refuse_places,
    refuse_small,
    refuse_strange,
    refuse_tables,
    refuse_uncut,
    refuse_uneven,
    refuse_unused,
)
from tinylm.init.importance.magnitude import Magnitude
from tinylm.init.importance.mask import Mask, opened
from tinylm.init.importance.random import Random
from tinylm.init.importance.scores import Importance, Pool
from tinylm.init.importance.taylor import Taylor
from tinylm.init.initialiser import Parent, Provenance, Sources
from tinylm.init.layers import Rule, ends, losses_without, middle, most_important, uniform
from tinylm.init.reading import Meter
from tinylm.init.scratch import Scratch
from tinylm.model.lm import LanguageModel
from tinylm.model.surgery import without_layer
from tinylm.streams import Streams


class Inherit:
    """Weights of a trained parent, cut to the child's shape. Tang et al. 2024 (arXiv 2402.02791).

    First layers are chosen, then, in the parent without the layers that go, hidden units and heads of each layer and
    residual channels for all layers at once. A unit goes with its row and column of every feed-forward matrix, a head
    with its part of the query and output matrices, a key group with its part of the key and value matrices and with
    its heads; where fewer groups stay they are chosen first, then as many heads in each as the child has a group. A
    channel goes everywhere. A head of the child's own is made of a tied parent's table. Rows of the token table
    follow the parent's id map, where the child's vocabulary is pruned.

    Args:
        parent: which model to inherit; read where the run is composed.
        layers: ``ends`` (first and last), ``uniform``, ``middle``, or ``importance`` (those whose skipping costs most
            loss on the parent's tune split, each alone).
        head, tail: how many first and last layers of ``ends``; null: half each.
        neurons: by what units, heads and channels are ranked: ``random``, ``l1``, ``l2``, ``taylor`` or ``mask``.
        rescale: make up for what fewer channels do to RMS norms; exact where the channels left out were zero.
        rest: what the parent lacks (further layers, parts it does not have) is refused or drawn from ``scratch``.
            A deeper child has its parent's layers at the places that ``layers`` would keep of the child.
        batches: that ``taylor`` reads.
        steps, rate, penalty: of the training of ``mask``.

    Raises:
        UserError: there is no parent, it is too small, or it is made of other parts.
    """

    def __init__(
        self,
        parent: dict[str, Any] | None = None,
        layers: Literal["ends", "uniform", "middle", "importance"] = "ends",
        head: int | None = None,
        tail: int | None = None,
        neurons: Literal["random", "l1", "l2", "taylor", "mask"] = "taylor",
        rescale: bool = True,
        rest: Literal["refuse", "scratch"] = "refuse",
        batches: int = 8,
        steps: int = 200,
        rate: float = 0.05,
        penalty: float = 1.0,
    ) -> None:
        self.layers, self.rescale, self.rest = layers, rescale, rest
        self.rules: dict[str, Rule] = {"ends": ends(head, tail), "uniform": uniform, "middle": middle}
        if layers != "ends" and (head is not None or tail is not None):
            raise UserError(f"init.head and init.tail count the layers of init.layers=ends, not of {layers}")
        table: dict[str, Callable[[], Importance]] = {
            "random": Random,
            "l1": lambda: Magnitude(1),
            "l2": lambda: Magnitude(2),
            "taylor": lambda: Taylor(batches),
            "mask": lambda: Mask(steps, rate, penalty),
        }
        self.importance = table[neurons]()
        self.neurons = neurons

    def check(self, model: LanguageModel, parent: LanguageModel, name: str) -> None:
        """Refuse before any training what could not be inherited; both models may lie on the meta device.

        Args:
            name: the parent's, for the message.

        Raises:
            UserError: the parent is too small, or it is made of other parts.
        """
        refuse_small(model.shape, parent.shape, name, rest=self.rest == "scratch")
        layers = self._pairs(model, parent, self.rules.get(self.layers, uniform))  # all layers have the same parts
        refuse_strange(model, parent, layers, name)
        refuse_places(model, parent, name)
        cut = any_cut(model.shape, parent.shape, layers)
        refuse_unused(model, parent, cut, name)
        missing = [own for own, _ in model.named_parameters() if cut.source(own, parent) is None]
        if missing and self.rest == "refuse":
            raise UserError(
                f"the parent {name} has nothing to fill {missing[0]} from: take a parent that has it, or "
                "init.rest=scratch"
            )
        refuse_uncut(model, parent, name, budgets(model.shape, parent.shape, len(layers)), self.rescale)
        refuse_uneven(model, parent, cut, name)

    @torch.no_grad()
    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        """Fill what the parent has; with ``rest: scratch`` everything."""
        parent = sources.parent
        if parent is None:
            raise UserError("init=inherit has no parent: name one by init.parent")
        self.check(model, parent.model, parent.name)
        refuse_tables(model, parent)
        meter = Meter()
        details: dict[str, Any] = {"parent": parent.name}
        with meter.reading(parent.model):
            layers = self._layers(model, parent.model, sources, details)
            kept = self._neurons(model, parent, layers, streams, sources, details)
        cut = Cut(layers, {**kept, **tables(model, parent)})
        filled = self._copy(model, parent, cut, sources.filled, details)
        if self.rest == "scratch":
            filled |= Scratch()(model, streams, replace(sources, filled=sources.filled | frozenset(filled))).filled
        return Provenance("inherit", filled, details, meter.flops)

    def _layers(
        self, model: LanguageModel, parent: LanguageModel, sources: Sources, details: dict[str, Any]
    ) -> dict[int, int]:
        """Child's layer -> parent's layer."""
        rule = self.rules.get(self.layers, uniform)  # uniform: for a deeper child there is nothing to measure
        if self.layers == "importance" and model.shape.depth < parent.shape.depth:
            whole, without = losses_without(parent, sources)
            details["layer_losses"] = {"whole": whole, "without": without}
            rule = most_important(without)
        return self._pairs(model, parent, rule)

    def _pairs(self, model: LanguageModel, parent: LanguageModel, rule: Rule) -> dict[int, int]:
        """Child's layer -> parent's layer; a deeper child has its parent's at the places that the rule keeps of it."""
        have, want = parent.shape.depth, model.shape.depth
        few = rule(max(have, want), min(have, want))
        return dict(enumerate(few)) if want <= have else {place: layer for layer, place in enumerate(few)}

    def _neurons(
        self,
        model: LanguageModel,
        parent: Parent,
        layers: dict[int, int],
        streams: Streams,
        sources: Sources,
        details: dict[str, Any],
    ) -> dict[Pool, Tensor]:
        """What stays of the layers that stay, by the child's layers."""
        places = list(layers)
        wanted = budgets(model.shape, parent.model.shape, len(places))
        if not wanted:
            return {}
        with ExitStack() as skipping:
            for layer in sorted(set(range(parent.model.shape.depth)) - set(layers.values()), reverse=True):
                skipping.enter_context(without_layer(parent.model, layer))
            skipping.enter_context(torch.enable_grad())
            scores = self.importance(parent.model, wanted, streams, sources)
        if self.neurons == "mask":  # whether it kept to what it was to learn
            details["mask"] = {
                called(pool): {"open": round(opened(scores[pool]).item(), 2), "budget": budget}
                for pool, budget in wanted.items()
            }
        kept = choose(scores, model.shape, parent.model.shape)
        return placed(kept, places)

    def _copy(
        self, model: LanguageModel, parent: Parent, cut: Cut, before: frozenset[str], details: dict[str, Any]
    ) -> dict[str, str]:
        """Fill every parameter that has a source, and tell for each where it is from."""
        axes = model.axes()
        narrower = self.rescale and model.shape.width < parent.model.shape.width
        factors = rescaled(model, parent.model.shape) if narrower else {}
        filled: dict[str, str] = {}
        tensors: dict[str, Any] = {}
        for name, parameter in model.named_parameters():
            if name in before:
                continue
            source, letters = cut.source(name, parent.model), axes.get(name, "")
            if source is None:
                continue
            tensor = cut.apply(source, name, letters, parent.model)
            parameter.copy_(tensor * factors[name] if name in factors else tensor)
            filled[name] = f"parent {parent.name}"
            tensors[name] = {"from": source, "kept": [called(pool) for _, pool in cut.taken(name, letters)]}
        details["layers"] = {str(layer): origin for layer, origin in cut.layers.items()}
        details["kept"] = cut.told()
        details["tensors"] = tensors
        return filled
