"""Random routed experts: a fixed table says which expert a token id goes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from tinylm.errors import UserError, nearest
from tinylm.model.context import Context
from tinylm.model.experts import Experts, Unit
from tinylm.model.routing import health, routed
from tinylm.model.shape import Shape
from tinylm.model.slots import FFN, Counts, Draw, Side


class RandomRouted(FFN):
    """``E_e(x)`` with e = table[domain, id], the id being that of the token read, not predicted. Ren et al. 2023
    (PanGu-Sigma, arXiv 2303.10845), section 3.2: a domain has a group of experts of its own, inside which a table that
    is drawn once, for each layer another, sends each id to one expert. There is no gate, no loss of its own, and
    nothing to learn about routing. The table is saved with the weights, for a seed alone would not bring it back.

    Args:
        groups: how many experts each domain has, or domain -> how many; None: all text shares one group of
            ``experts`` (Roller et al. 2021, Hash Layers, arXiv 2106.04426).
        experts: of that one group; not read where there are ``groups``.
        table: ``plain`` draws an expert for each id, all alike; ``balanced`` gives the ids, most frequent first, to
            the expert that has least text so far (Hash Layers, section 3.1, balanced assignment).
        unit: of an expert; ``swiglu`` is gated.
        hidden: hidden size of an expert; None: ``shape.hidden``.

    Raises:
        UserError: an empty group, a domain of the text without one, or text without domains.
    """

    sender = "table"
    pools = True
    fixed = ("table",)

    def __init__(
        self,
        shape: Shape,
        layer: int,
        groups: int | dict[str, int] | None = None,
        experts: int = 8,
        table: Literal["plain", "balanced"] = "plain",
        unit: Unit = "swiglu",
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.by_domain = groups is not None
        sizes = {"experts": experts} if groups is None else _by_domain(groups, shape)
        for name, size in sizes.items():
            if size < 1:
                raise UserError(f"model.ffn.{name} is {size}; give 1 or more")
        self.groups = list(sizes.values())
        self.balanced = table == "balanced"
        self.outputs = ("experts.down",)
        self.table = nn.Parameter(torch.empty(len(self.groups), shape.vocab, dtype=torch.int64), requires_grad=False)
        self.experts = Experts(sum(self.groups), shape.width, shape.hidden if hidden is None else hidden, unit)
        self.axes = self.experts.named("experts", hidden is not None)

    def forward(self, x_BTD: Tensor, context: Context) -> tuple[Tensor, Side]:
        expert_BT = self.table[0][context.ids_BT]
        if self.by_domain:
            if context.domain_B is None:
                raise UserError(
                    "model/ffn=random_routed with groups needs the domain of every sequence: read data=mixture, or "
                    "another of domains, or set model.ffn.groups=null"
                )
            expert_BT = self.table[context.domain_B[:, None], context.ids_BT]
        y_ND, load_E = routed(x_BTD.flatten(0, 1), expert_BT.flatten()[:, None], None, self.experts.count, self.experts)
        return y_ND.view_as(x_BTD), Side({}, health(load_E))

    @property
    def activation(self) -> str:
        return self.experts.unit

    def flops_per_token(self) -> float:
        return 2.0 * self.experts.size()

    def inactive_parameters(self) -> int:
        """All experts but one, and the table, of which a token reads a number."""
        return (self.experts.count - 1) * self.experts.size() + self.table.numel()

    def draws(self) -> Mapping[str, Draw]:
        return {**super().draws(), "table": self._draw}

    def _draw(self, table_MV: Tensor, generator: torch.Generator, counts: Counts) -> None:
        first = 0
        for row, size in enumerate(self.groups):
            if self.balanced:
                counts_MV = counts()
                own_V = counts_MV[row] if self.by_domain else counts_MV.sum(0)
                table_MV[row] = first + balanced(own_V, size, generator)
            else:
                table_MV[row] = torch.randint(first, first + size, table_MV[row].shape, generator=generator)
            first += size


def balanced(counts_V: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """An expert for each id, (V,), so that all have nearly as much text: ids most frequent first, those as frequent in
    an order drawn, each to the expert with the least text, of those the one with the fewest ids."""
    drawn_V = torch.randperm(len(counts_V), generator=generator)
    order_V = drawn_V[counts_V[drawn_V].argsort(descending=True, stable=True)]
    load, ids = [0] * size, [0] * size
    found_V = torch.empty_like(order_V)
    for index in order_V.tolist():
        expert = min(range(size), key=lambda e: (load[e], ids[e]))
        found_V[index] = expert
        load[expert] += int(counts_V[index])
        ids[expert] += 1
    return found_V


def _by_domain(groups: int | dict[str, int], shape: Shape) -> dict[str, int]:
    """The size of each group, in the order in which the text numbers its domains; by name where that is not known."""
    if isinstance(groups, int):
        if not shape.domains:
            raise UserError(
                f"model.ffn.groups={groups}: the text has no domains to give a group each; read data=mixture, name the "
                "domains (model.ffn.groups={code: 4, prose: 4}), or set it null"
            )
        groups = dict.fromkeys(shape.domains, groups)
    domains = shape.domains or tuple(sorted(groups))
    for name in domains:
        if name not in groups:
            raise UserError(f"model.ffn.groups: domain {name} of the text has no group of experts")
    for name in groups:
        if name not in domains:
            raise UserError(f"model.ffn.groups.{name}: the text has no such domain{nearest(name, domains)}")
    return {f"groups.{name}": groups[name] for name in domains}
