"""Training speed at 5.9 M parameters: our fastest path against other loops and against the machine's matrix product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import peer
from benchmarks.machine import disturbance
from benchmarks.product import STEP_FLOPS
from benchmarks.table import Row, middle, spread
from benchmarks.turns import Side, SideFailed
from benchmarks.workload import SHAPE, SIZE, our_model
from tinylm.model.accounting import flops_per_token

Say = Callable[[str], None]

TOKENS = SIZE * SHAPE.context  # a step, on every side
FASTEST = ("benchmarks.ours", "--precision", "bf16", "--compile")
FASTEST_FP32 = ("benchmarks.ours", "--precision", "fp32", "--compile")
PLAIN = ("benchmarks.plain",)
PEER = ("benchmarks.peer",)
PEER_BF16 = ("benchmarks.peer", "--bf16")
PRODUCT = ("benchmarks.product",)
SPARSE = (*FASTEST, "--experts", "8")
FEW, MANY = (("benchmarks.layers", "--experts", count) for count in ("4", "64"))
FEW_STEP, MANY_STEP = ((*words, "--optimiser") for words in (FEW, MANY))

NAMES = {
    FASTEST: "tinylm, bf16 and compiled",
    FASTEST_FP32: "tinylm, fp32 and compiled",
    PLAIN: "a plain eager fp32 loop of the same model",
    PEER: "Hugging Face Trainer, its fp32 defaults",
    PEER_BF16: "Hugging Face Trainer, bf16",
    PRODUCT: "bf16 matrix product",
    SPARSE: "tinylm, bf16 and compiled, 2 of 8 experts in every layer",
    FEW: "two layers of 4 experts, forward and backward",
    MANY: "two layers of 64 experts, forward and backward",
    FEW_STEP: "two layers of 4 experts, a whole step",
    MANY_STEP: "two layers of 64 experts, a whole step",
}


@dataclass(frozen=True)
class Pace:
    """How long to measure: ``seconds`` a turn, ``pairs`` turns of each of two sides."""

    seconds: float
    pairs: int


@dataclass(frozen=True)
class Against:
    """A ratio to be measured: steps a second of one side over the other's, times ``scale``."""

    name: str
    one: tuple[str, ...]
    other: tuple[str, ...]
    target: float | None
    unit: str = "x"
    scale: float = 1.0


def ratios() -> list[Against]:
    """What is measured, the longest-lived side first."""
    step_flops = TOKENS * flops_per_token(our_model(), SHAPE.context)["training"]
    return [
        Against(
            "as a share of the machine's bf16 matrix product",
            FASTEST,
            PRODUCT,
            0.18,
            "of peak",
            step_flops / STEP_FLOPS,
        ),
        Against("over the Hugging Face Trainer's fp32 defaults", FASTEST, PEER, 2.5),
        Against("over the Hugging Face Trainer in bf16", FASTEST, PEER_BF16, 1.4),
        Against("over a plain eager fp32 loop", FASTEST, PLAIN, None),
        Against("fp32 over the Hugging Face Trainer's fp32", FASTEST_FP32, PEER, None),
    ]


def sparse() -> list[Against]:
    """What is measured of layers of experts. That 64 take at most 1.6 times as long as 4 is a rate of 0.625."""
    return [
        Against("2 of 8 experts, over the dense model of equal active parameters", SPARSE, FASTEST, 0.6),
        Against("layers of 64 experts over those of 4, forward and backward", MANY, FEW, 0.625),
        Against("layers of 64 experts over those of 4, a whole step", MANY_STEP, FEW_STEP, None),
    ]


def training(threads: int, pace: Pace, say: Say, asked: Sequence[Against] | None = None) -> list[Row]:
    """All rows on training speed, or those asked for; a side that cannot run leaves its rows without a value."""
    measured: list[Row] = []
    seen: dict[tuple[str, ...], list[float]] = {}
    with Running(threads) as running:
        for wanted in ratios() if asked is None else asked:
            say(f"training: {NAMES[wanted.one]} against {NAMES[wanted.other]}")
            try:
                measured.append(_measure(wanted, running, pace, seen))
            except SideFailed as failed:
                measured.append(_row(wanted, None, str(failed)))
    rates = [_rate(words, paces) for words, paces in seen.items()]
    return [*rates, *measured]


class Running:
    """Sides that have been started; one is kept while the next ratio needs it too."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.sides: dict[tuple[str, ...], Side] = {}

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: object) -> None:
        for side in self.sides.values():
            side.__exit__()

    def pair(self, one: tuple[str, ...], other: tuple[str, ...]) -> tuple[Side, Side]:
        """Both sides ready, all others ended.

        Raises:
            SideFailed: one does not start.
        """
        if PEER[0] in (one[0], other[0]) and (reason := peer.missing()):
            raise SideFailed(reason)
        for words in [words for words in self.sides if words not in (one, other)]:
            self.sides.pop(words).__exit__()
        for words in (one, other):
            if words not in self.sides:
                side = Side(
                    *words, "--threads", str(self.threads), threads=self.threads, ours=words[0].endswith("ours")
                )
                self.sides[words] = side.__enter__()
        return self.sides[one], self.sides[other]


def interleaved(one: Side, other: Side, pace: Pace) -> tuple[list[float], list[float], list[float]]:
    """Steps a second of both sides, A B A B ..., and what others took of the machine where that was too much."""
    first: list[float] = []
    second: list[float] = []
    disturbed: list[float] = []
    for _ in range(pace.pairs):
        for side, rates in ((one, first), (other, second)):
            share = disturbance()
            if share is not None:
                disturbed.append(share)
            rates.append(side.turn(pace.seconds).rate)
    return first, second, disturbed


def busy(disturbed: Sequence[float], of: int) -> str:
    """The warning that belongs beside a number measured on a machine that others used."""
    if not disturbed:
        return ""
    return f"BUSY MACHINE: before {len(disturbed)} of {of} measurements others took up to {max(disturbed):.0%} of it"


def _measure(wanted: Against, running: Running, pace: Pace, seen: dict[tuple[str, ...], list[float]]) -> Row:
    one, other = running.pair(wanted.one, wanted.other)
    first, second, disturbed = interleaved(one, other, pace)
    seen.setdefault(wanted.one, []).extend(first)
    seen.setdefault(wanted.other, []).extend(second)
    each = [wanted.scale * a / b for a, b in zip(first, second, strict=True)]
    return _row(wanted, each, busy(disturbed, 2 * pace.pairs))


def _row(wanted: Against, each: Sequence[float] | None, note: str) -> Row:
    if each is None:
        return Row(f"training, tinylm {wanted.name}", None, wanted.unit, wanted.target, note=note)
    notes = "; ".join(part for part in (spread(each), note) if part)
    return Row(f"training, tinylm {wanted.name}", middle(each), wanted.unit, wanted.target, note=notes)


def _rate(words: tuple[str, ...], paces: Sequence[float]) -> Row:
    """What one side does by itself, for the reader who wants to know how fast the machine is."""
    if words == PRODUCT:
        each, unit = [STEP_FLOPS * steps / 1e9 for steps in paces], "GFLOP/s"
    else:
        each, unit = [TOKENS * steps for steps in paces], "tokens/s"
    return Row(f"training, {NAMES[words]}", middle(each), unit, note=spread(each))
