"""MoEfication: a trained rectified feed-forward is split into parts, with a router fitted to what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from tinylm.batch import IGNORE
from tinylm.errors import UserError
from tinylm.init.initialiser import Provenance, Sources
from tinylm.init.reading import Meter, next_token_loss
from tinylm.model.ffn.moefied import Moefied
from tinylm.model.lm import LanguageModel
from tinylm.model.routing import matched
from tinylm.model.slots import FFN
from tinylm.streams import Streams

ROUNDS = 20  # of balanced k-means
TOGETHER = 512  # tokens of a step in which a router is fitted
MEASURED = 4  # batches that the gap is measured on, after those that a router is fitted to


class Moefy:
    """The parent, its feed-forwards split. Zhang et al. 2022 (MoEfication, arXiv 2110.01786), sections 3.2 and 3.3.

    ``moefy_gap`` in the record: nats a token above the parent on text of its tune split that no router was fitted to,
    as far as the split has more than ``batches``.

    Args:
        parent: which model; read where the run is composed.
        split: which hidden units make a part: ``clusters`` (balanced k-means of the normalised rows of ``up``),
            ``coactivation`` (the same of which tokens they are active for: our construction, in place of the paper's
            graph partition) or ``random``.
        batches: of the parent's tune split that co-activation is counted in and a router is fitted to.
        epochs, rate: of fitting a router, by Adam, to the oracle's ratings over their largest.
        any_unit: split ``gelu`` too (``model.ffn.unit=gelu``), whose units are never quite 0: what is left out is then
            not nothing.

    Raises:
        UserError: there is no parent, it is of another shape, or its feed-forward is not what the parts are.
    """

    def __init__(
        self,
        parent: dict[str, Any] | None = None,
        split: Literal["clusters", "coactivation", "random"] = "clusters",
        batches: int = 8,
        epochs: int = 30,
        rate: float = 0.01,
        any_unit: bool = False,
    ) -> None:
        self.split, self.batches, self.epochs, self.rate, self.any_unit = split, batches, epochs, rate, any_unit

    def check(self, model: LanguageModel, parent: LanguageModel, name: str) -> None:
        """Refuse before any training what could not be split; both models may lie on the meta device.

        Raises:
            UserError: another shape, other parts, other units, units that are not rectified, or biases.
        """
        for layer, (ours, theirs) in enumerate(zip(model.layers(), parent.layers(), strict=False)):
            if not isinstance(ours.ffn, Moefied):
                raise UserError(f"init=moefy: layer {layer} of the child is no model/ffn=moefied")
            _refuse_unlike(ours.ffn, theirs.ffn, f"layer {layer} of the parent {name}", self.any_unit)
        for size, value in vars(model.shape).items():
            if value != getattr(parent.shape, size):
                raise UserError(
                    f"shape.{size} is {value} in the child and {getattr(parent.shape, size)} in the parent {name}, and "
                    "splitting keeps the shape: give both the same (shape.parameters=null, shape.width, shape.hidden)"
                )
        held = {other for other, _ in parent.named_parameters() if ".ffn." not in other}
        kept = {own for own, _ in model.named_parameters() if ".ffn." not in own}
        if held != kept:
            raise UserError(f"the parent {name} and the child differ in {min(held ^ kept)}: give both the same parts")

    @torch.no_grad()
    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        """Fill the whole model."""
        parent = sources.parent
        if parent is None or sources.batches is None:
            raise UserError("init=moefy has no parent: name one by init.parent")
        if parent.ids_V is not None:
            raise UserError(f"init=moefy keeps the vocabulary: give the child its parent's tokenizer ({parent.name})")
        self.check(model, parent.model, parent.name)
        held = dict(parent.model.named_parameters())
        filled = {}
        for name, parameter in model.named_parameters():
            if name in held:
                parameter.copy_(held[name])
            filled[name] = f"parent {parent.name}"
        batches = [sources.batches(step) for step in range(self.batches + MEASURED)]
        meter, read, others = Meter(), batches[: self.batches], batches[self.batches :]
        with meter.reading(parent.model), meter.reading(model):
            with _read(parent.model.eval()) as seen:
                for batch in read:
                    parent.model(batch)
            parts = {}
            scored_N = torch.cat([(batch.targets_BT != IGNORE).flatten() for batch in read])  # the rest is padding
            for layer, (ours, theirs) in enumerate(zip(model.layers(), parent.model.layers(), strict=True)):
                assert isinstance(ours.ffn, Moefied)
                x_ND = torch.cat(seen[layer])[scored_N]
                generator = torch.Generator().manual_seed(streams.seed("init", f"blocks.{layer}.ffn", "moefy"))
                up_FD, down_DF = theirs.ffn.get_parameter("up.weight"), theirs.ffn.get_parameter("down.weight")
                part_F = self._parts(up_FD, x_ND, ours.ffn.experts.count, generator)
                order_F = part_F.argsort(stable=True)
                ours.ffn.experts.up.copy_(up_FD[order_F].view_as(ours.ffn.experts.up))
                by_part = down_DF.T[order_F].view(ours.ffn.experts.count, -1, down_DF.shape[0])
                ours.ffn.experts.down.copy_(by_part.transpose(1, 2))
                self._route(ours.ffn, x_ND, generator)
                parts[str(layer)] = part_F.tolist()
            ended, floor = (
                sum(next_token_loss(measured.eval(), batch).item() for batch in others)
                for measured in (model, parent.model)
            )
        scores = {"moefy_gap": (ended - floor) / MEASURED}
        return Provenance("moefy", filled, {"parent": parent.name, "parts": parts}, meter.flops, scores)

    def _parts(self, up_FD: Tensor, x_ND: Tensor, E: int, generator: torch.Generator) -> Tensor:
        """The part of each hidden unit, (F,), all of one size."""
        drawn_F = torch.randperm(len(up_FD), generator=generator) % E
        if self.split == "random":
            return drawn_F
        rows_FM = up_FD if self.split == "clusters" else ((x_ND @ up_FD.T) > 0).float().T
        return clusters(functional.normalize(rows_FM, dim=-1), drawn_F, E)

    def _route(self, ffn: Moefied, x_ND: Tensor, generator: torch.Generator) -> None:
        """Fill a router's matrices."""
        if ffn.router == "oracle":
            return
        if ffn.router == "random":
            ffn.first.weight.normal_(generator=generator)
            return
        rows_EFD = functional.normalize(ffn.experts.up, dim=-1)
        ffn.first.weight.copy_(functional.normalize(rows_EFD.mean(1), dim=-1))
        if ffn.router == "similarity":
            return
        ffn.second.weight.copy_(torch.eye(ffn.experts.count))
        wanted_NE = ffn.activity(x_ND)
        wanted_NE = wanted_NE / wanted_NE.amax().clamp(min=1e-9)
        first, second = (matrix.weight.detach().clone().requires_grad_() for matrix in (ffn.first, ffn.second))
        adam = torch.optim.Adam([first, second], lr=self.rate)
        with torch.enable_grad():
            for _ in range(self.epochs):
                for index_M in torch.randperm(len(x_ND), generator=generator).split(TOGETHER):
                    rated_ME = (x_ND[index_M] @ first.T).tanh() @ second.T
                    adam.zero_grad()
                    functional.binary_cross_entropy_with_logits(rated_ME, wanted_NE[index_M]).backward()
                    adam.step()
        ffn.first.weight.copy_(first)
        ffn.second.weight.copy_(second)


def _refuse_unlike(ours: Moefied, theirs: FFN, where: str, any_unit: bool) -> None:
    """Refuse a feed-forward that the parts are not cut out of, or would be another function than."""
    kind, unit = type(theirs).__name__, theirs.activation
    if {name for name, _ in theirs.named_parameters()} - {"up.bias", "down.bias"} != {"up.weight", "down.weight"}:
        raise UserError(
            f"init=moefy: {where} is {kind}, and parts are cut out of two matrices; take model/ffn=relu for the parent"
        )
    if len(list(theirs.parameters())) > 2:
        raise UserError(f"init=moefy: {where} has biases, which the parts lack; set model.ffn.bias=null for the parent")
    if unit not in ("relu", "gelu"):
        raise UserError(
            f"init=moefy: {where} has {unit or kind}, and parts have relu or gelu; take model/ffn=relu for the parent"
        )
    if unit != "relu" and not any_unit:
        raise UserError(
            f"init=moefy: {where} has {unit}, whose units are hardly ever 0, so leaving some out is no saving for "
            "nothing; take model/ffn=relu for the parent, or init.any_unit=true with model.ffn.unit=gelu"
        )
    if unit != ours.activation:
        raise UserError(
            f"init=moefy: {where} has {unit} and the child's parts {ours.activation}, which is another function of the "
            f"same matrices; set model.ffn.unit={unit}"
        )


def clusters(row_FM: Tensor, start_F: Tensor, E: int) -> Tensor:
    """Balanced k-means: each of F rows to one of E means, as many to each, until nothing moves."""
    part_F = start_F
    for _ in range(ROUNDS):
        mean_EM = torch.stack([row_FM[part_F == part].mean(0) for part in range(E)])
        found_F = matched(row_FM @ functional.normalize(mean_EM, dim=-1).T)
        if torch.equal(found_F, part_F):
            break
        part_F = found_F
    return part_F


@contextmanager
def _read(model: LanguageModel) -> Iterator[list[list[Tensor]]]:
    """What the feed-forward of each layer reads within the ``with``, (N, D) a forward."""
    seen: list[list[Tensor]] = [[] for _ in model.layers()]

    def keep(into: list[Tensor]) -> Callable[..., None]:
        return lambda module, given: into.append(given[0].detach().flatten(0, 1))

    hooks = [block.ffn.register_forward_pre_hook(keep(into)) for block, into in zip(model.layers(), seen, strict=True)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
