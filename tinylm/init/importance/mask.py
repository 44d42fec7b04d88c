"""Importance learned: gates trained under a budget, the parent frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count

import torch
from torch import Tensor, nn

from tinylm.batch import Batch
from tinylm.errors import UserError
from tinylm.init.importance.scores import Pool, layer_of, members
from tinylm.init.initialiser import Sources
from tinylm.init.reading import next_token_loss
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams

START = 2.0  # logits of all gates: nearly open
TEMPERATURE, LOW, HIGH = 2 / 3, -0.1, 1.1  # of the hard concrete distribution
MISSED = 0.2  # share of a budget whose miss costs the penalty
RAMP = 0.6  # share of the steps in which a budget shrinks from all members to those that shall stay


class Mask:
    """A logit a group, whose gates are hard concrete: random in [0, 1], often 0 or 1 exactly.

    The parent is frozen and the logits minimise the language-model loss plus, for each pool, ``penalty`` x
    ``((open - budget) / (0.2 budget))^2`` with ``open`` the expected number of gates that are not 0; afterwards the
    logits are the scores. The budget shrinks over the first 60% of the steps from all members to those that shall
    stay: gates that had to shut at once would shut alike. Our construction: Tang et al. 2024 (arXiv 2402.02791) learn
    a mask and name it the best of four measures; its code is not public. The gates are those of Louizos et al. 2018
    (arXiv 1712.01312), eqs. 10 to 12, with the constants of their section 4.

    A shut channel is zero in all that is added to the residual stream, a shut unit or head in what its output matrix
    reads. A head of a grouped layer is open when its own gate and its group's are.

    Args:
        steps: of training.
        rate: of learning.
        penalty: what missing a budget by a fifth costs, nats a token.
    """

    def __init__(self, steps: int, rate: float, penalty: float) -> None:
        if steps < 1 or rate <= 0 or penalty <= 0:
            raise UserError(
                f"init: a mask learns in 1 or more steps at a rate and a penalty above 0, "
                f"not {steps} at {rate:g} and {penalty:g}"
            )
        self.steps, self.rate, self.penalty = steps, rate, penalty

    def __call__(
        self, model: LanguageModel, budgets: Mapping[Pool, int], streams: Streams, sources: Sources
    ) -> dict[Pool, Tensor]:
        if sources.fit is None or sources.batches is None:
            raise UserError("init.neurons=mask trains gates on the parent's tune split, and is given no training")
        generator = torch.Generator().manual_seed(streams.seed("init", "importance", "mask"))
        logits = {pool: nn.Parameter(torch.full((members(model, pool),), START)) for pool in budgets}
        taken = count()

        def loss(batch: Batch) -> Tensor:
            part = min(1.0, next(taken) / (RAMP * self.steps))
            with gated(model, {pool: _gate(logit_N, generator) for pool, logit_N in logits.items()}):
                total = next_token_loss(model, batch)
            for pool, logit_N in logits.items():
                target = len(logit_N) + part * (budgets[pool] - len(logit_N))
                total = total + self.penalty * ((opened(logit_N) - target) / (MISSED * target)) ** 2
            return total

        with _frozen(model):
            sources.fit(list(logits.values()), loss, sources.batches, steps=self.steps, rate=self.rate)
        return {pool: logit_N.detach() for pool, logit_N in logits.items()}


def opened(logit_N: Tensor) -> Tensor:
    """How many gates are expected not to be 0."""
    return (logit_N - TEMPERATURE * math.log(-LOW / HIGH)).sigmoid().sum()


@contextmanager
def gated(model: LanguageModel, gates: Mapping[Pool, Tensor]) -> Iterator[None]:
    """Within the ``with``, every member of a pool is multiplied by its gate.

    Raises:
        UserError: a gate has no linear layer or table to stand at.
    """
    placed: set[Pool] = set()
    with ExitStack() as hooks:
        for name, letters in model.axes().items():
            module = model.get_submodule(name.rpartition(".")[0])
            if isinstance(module, nn.Linear) and len(letters) == 2 and letters[1] in "FH":
                pools, gate_N = _read(model, layer_of(name), letters[1], gates)
                if gate_N is not None:
                    hooks.enter_context(module.register_forward_pre_hook(_times_input(gate_N)))
                    placed |= pools
            if (None, "D") in gates and _adds_to_stream(module, letters):
                hooks.enter_context(module.register_forward_hook(_times_output(gates[None, "D"])))
                placed.add((None, "D"))
        missing = sorted(set(gates) - placed, key=str)
        if missing:
            raise UserError(
                f"init.neurons=mask finds no linear layer to put the gates of {missing[0]} at; take init.neurons=taylor"
            )
        yield


def _read(
    model: LanguageModel, layer: int | None, letter: str, gates: Mapping[Pool, Tensor]
) -> tuple[set[Pool], Tensor | None]:
    """The pools that act on what a matrix reads, and the number to multiply each of its inputs by."""
    if letter == "F":
        found = {(layer, "F")} & set(gates)
        return found, gates[layer, "F"] if found else None
    shape = model.shape
    found = {(layer, "H"), (layer, "G")} & set(gates)
    gate_H = torch.ones(shape.heads)
    if (layer, "H") in found:
        gate_H = gate_H * gates[layer, "H"]
    if (layer, "G") in found:
        gate_H = gate_H * gates[layer, "G"].repeat_interleave(shape.heads // shape.kv_heads)
    return found, gate_H.repeat_interleave(shape.head_dim) if found else None


def _adds_to_stream(module: nn.Module, letters: str) -> bool:
    if isinstance(module, nn.Embedding):
        return letters[-1] == "D"
    return isinstance(module, nn.Linear) and len(letters) == 2 and letters[0] == "D"


def _gate(logit_N: Tensor, generator: torch.Generator) -> Tensor:
    """A draw of hard concrete gates."""
    uniform_N = torch.rand(logit_N.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    soft_N = ((uniform_N.logit() + logit_N) / TEMPERATURE).sigmoid()
    return (soft_N * (HIGH - LOW) + LOW).clamp(0, 1)


def _times_input(gate_N: Tensor) -> Callable[..., tuple[Tensor]]:
    return lambda module, inputs: (inputs[0] * gate_N,)


def _times_output(gate_N: Tensor) -> Callable[..., Tensor]:
    return lambda module, inputs, output: output * gate_N


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
