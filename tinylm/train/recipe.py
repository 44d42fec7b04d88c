"""What a fit is asked for and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch.optim import Optimizer

from tinylm.data.units import Reading, Unit, Units
from tinylm.errors import UserError
from tinylm.train.budget import Budget, Plan, Seconds
from tinylm.train.slots import Objective, Rounds, Schedule, Update


class Batches(Reading, Protocol):
    """The batches of a run; any step can be read without the ones before it."""

    @property
    def tokens_per_step(self) -> float:
        """Scored targets of a step, on average."""

    @property
    def positions_per_step(self) -> float:
        """Positions of a step that FLOPs are planned by, padding included, on average."""

    @property
    def bytes_per_step(self) -> float:
        """UTF-8 bytes that a step's scored targets stand for, on average."""

    def units(self, unit: Unit, steps: int) -> Units:
        """The text of the first ``steps`` steps in units that a later round may choose."""


@dataclass(frozen=True)
class Recipe:
    """How to train: everything that changes the numbers.

    Fields:
        optimiser: model -> optimiser, whose parameter groups carry their peak rate as ``lr``.
        precision: ``bf16`` is autocast with fp32 master weights.
        compile: ``auto`` decides by the planned work alone (``compilation.pays``), never by a measured time.
        micro: sequences a forward; None is the whole batch.
        score_every: fraction of the budget between two scores on the tune split.
    """

    objective: Objective
    update: Update
    optimiser: Callable[[Any], Optimizer]
    schedule: Schedule
    rounds: Rounds
    budget: Budget
    precision: Literal["bf16", "fp32"] = "bf16"
    compile: bool | Literal["auto"] = "auto"
    micro: int | None = None
    score_every: float = 0.1

    def plan(self, batches: Batches, flops_per_token: float) -> Plan:
        """When the run ends. Of a budget in FLOPs, what choosing text will take is set aside.

        Args:
            flops_per_token: training FLOPs of one position.
        """
        tokens = batches.tokens_per_step
        flops = batches.positions_per_step * flops_per_token * (1 + self.rounds.scoring())
        return self.budget.plan(tokens, batches.bytes_per_step, flops, max(1, round(1 / self.score_every)))


@dataclass(frozen=True)
class Machine:
    """Where a run computes; no part of its identity.

    Args:
        accelerator: Lightning's name: cpu, gpu, auto.
        devices: devices of this machine; processes, on a CPU.
        strategy: Lightning's name: auto, or ddp_fork for several devices (this process starts the others and waits).
        threads: threads a process. Always set, since one and two threads differ in bits.

    Raises:
        UserError: several devices by a strategy whose processes begin elsewhere: each would take the run for its own.
    """

    accelerator: str = "cpu"
    devices: int = 1
    strategy: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.devices > 1 and "fork" not in self.strategy:
            raise UserError(
                f"machine.strategy={self.strategy}: the processes of {self.devices} devices are forked by the run; "
                "take machine=multi (ddp_fork)"
            )

    def suits(self, budget: Budget) -> None:
        """Refuse a budget that several processes would not agree on.

        Raises:
            UserError: it is in seconds, and each process has a clock of its own.
        """
        if self.devices > 1 and isinstance(budget, Seconds):
            raise UserError(
                f"budget=seconds: {self.devices} processes do not agree on a clock; give steps, tokens, bytes or flops"
            )


@dataclass
class Fit:
    """What a fit cost.

    seconds: training steps with their data; compilation, scores and checkpoints excluded.
    watch_seconds: scores on the way, and of the first round's text after the last.
    scoring_seconds: choosing the text of later rounds; no part of ``seconds``.
    tokens: scored targets.  flops: by the model's own account, over all positions, padding included.
    scoring_flops: the part of ``flops`` that went into choosing the text of later rounds.
    resumed: how often it went on from a checkpoint.
    scores: the last scores on the tune split.  rounds: what was found at the end of each round.
    """

    steps: int
    tokens: int
    bytes: int
    flops: float
    scoring_flops: float
    seconds: float
    compile_seconds: float
    tokens_per_second: float
    peak_memory_bytes: int
    resumed: int
    compiled: bool
    watch_seconds: float = 0.0
    scoring_seconds: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
