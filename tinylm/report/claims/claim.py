"""The claim block of a sweep: what is declared before anything runs.

No pandas here, for whoever plans a sweep validates with it.

The dataclasses below are the schema: a key that they do not know, or a value of another type, is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tinylm.errors import UserError, nearest
from tinylm.report.claims.agreement import agree
from tinylm.report.claims.estimand import Estimand
from tinylm.report.claims.sample import Sample
from tinylm.report.claims.schema import build

Equal = Literal[
    "parameters", "body_parameters", "active_parameters", "flops", "bytes", "tokens", "seconds", "exposures"
]
AT = "@"  # between an arm and its size
Expectation = Literal["better", "worse", "equivalent"]
Errors = Literal["family", "discoveries"]


@dataclass(frozen=True)
class Arm:
    """One variant of a claim.

    Fields:
        overrides: the config overrides that make it.
        expect: what the source leads us to expect of it beside its opponent; None: no expectation.
        against: its opponent; None: the claim's baseline.
        equal: the unit in which the two are equal; None: the claim's.
        claim: the expectation in words.
        source: where the expectation comes from; None: the claim's source.
        label: its name in tables and figures; None: the arm's key.
        reported: the gain over its opponent that the source reports, in the claim's ``reported_unit``.
        size: which of the claim's sizes it has; `Claim.parse` fills it.
    """

    overrides: list[str] = field(default_factory=list)
    expect: Expectation | None = None
    against: str | None = None
    equal: Equal | None = None
    claim: str | None = None
    source: str | None = None
    label: str | None = None
    reported: float | None = None
    size: str | None = None


@dataclass(frozen=True)
class Tune:
    """What is chosen for every arm alike before the arms are compared.

    Fields:
        params: config key -> grid of values; the grids multiply.
        seeds: the seeds that choose; none of them is compared on.
        metric, direction: what chooses, measured on the tune split, and whether lower or higher of it is better; the
            claim's own direction says nothing of it.
        overrides: what is different while tuning, alike for all arms, such as a shorter budget.
    """

    params: dict[str, list[Any]]
    seeds: list[int]
    metric: str = "tune_bits_per_byte"
    direction: Literal["lower", "higher"] = "lower"
    overrides: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stop:
    """When an arm that cannot be worth having is stopped (`tinylm/report/judgement/stopping.py`).

    Fields:
        after: numbers of seeds after which is looked, ascending; the arms' seeds run in these groups.
        risk: the chance, over all looks, that an arm which truly gains delta is stopped.
    """

    after: list[int]
    risk: float = 0.05


@dataclass(frozen=True)
class Claim:
    """What a sweep declares before it runs.

    Fields:
        question, source: one sentence, and where the expectation comes from.
        factor: config keys that may differ between arms; a prefix covers what is below it (``model/ffn``).
        baseline: the arm that the others are compared against; None: only arms that say ``against`` are compared.
        arms: name -> arm, those of ``sample`` among them.
        equal, tolerance: the unit in which arms are equal, and by how much (relative) they may miss it.
        delta: the smallest effect worth having, in the metric's unit.
        seeds: the seeds that decide.
        derived: config keys that follow from the factor; they may differ, and are marked.
        metric, direction: what is compared, and whether lower or higher is better.
        alpha: the share of false claims that is allowed.
        errors: of what it is a share: ``family``, of families that may claim an effect where there is none;
            ``discoveries``, of the effects claimed, for screening many arms (more is found, and of it 5% is false).
        cost: what the sweep takes, in words.
        tune: what is chosen per arm first, or None.
        stop: when arms are stopped early, or None: never.
        estimates: name -> quantity that is estimated over the arms, with the region where it is expected.
        sample: arms drawn at random, beside those of ``arms``.
        sizes: size -> the overrides that make it, smallest first; every arm is then made at every size, as
            ``arm@size``, and each size is a family of its own. Empty: as the sweep's defaults have it.
        reported_unit: the unit and the scale of the arms' ``reported`` gains, in words.
    """

    question: str
    source: str
    factor: list[str]
    baseline: str | None
    arms: dict[str, Arm]
    equal: Equal
    delta: float
    seeds: list[int]
    derived: list[str] = field(default_factory=list)
    tolerance: float = 0.01
    metric: str = "bits_per_byte"
    direction: Literal["lower", "higher"] = "lower"
    alpha: float = 0.05
    errors: Errors = "family"
    cost: str = ""
    tune: Tune | None = None
    stop: Stop | None = None
    estimates: dict[str, Estimand] = field(default_factory=dict)
    sample: Sample | None = None
    sizes: dict[str, list[str]] = field(default_factory=dict)
    reported_unit: str | None = None

    @classmethod
    def parse(
        cls,
        block: Mapping[str, Any],
        name: str = "claim",
        distinct: Callable[[list[str]], Hashable] = tuple,
    ) -> Claim:
        """Validate a claim block.

        Args:
            block: the resolved ``claim:`` mapping of a sweep file.
            name: how messages call it, such as ``sweeps/depth_width.yaml: claim``.
            distinct: what of an arm's overrides no two arms drawn by ``sample`` share.

        Raises:
            UserError: an unknown or missing key, a value of the wrong type, or parts that contradict one another.
        """
        if isinstance(block, Mapping) and block.get("sample") is not None:
            block = {"arms": {}, **block}
        claim: Claim = build(cls, block, name)
        if claim.sample is not None:  # an arm that is there already stays: a manifest holds what was drawn
            drawn = claim.sample.overrides(f"{name}.sample", distinct)
            arms = {arm: Arm(overrides) for arm, overrides in drawn.items() if arm not in claim.arms}
            claim = dataclasses.replace(claim, arms={**claim.arms, **arms})
        if claim.sizes and not any(arm.size for arm in claim.arms.values()):
            claim = _at_every_size(claim, name)
        agree(claim, name)
        return claim

    @property
    def comparisons(self) -> dict[str, str]:
        """Variant -> opponent, of every comparison of the claim."""
        opponents = {
            name: arm.against or (None if name == self.baseline else self.baseline) for name, arm in self.arms.items()
        }
        return {name: opponent for name, opponent in opponents.items() if opponent is not None}

    @property
    def families(self) -> dict[str | None, list[str]]:
        """Size -> the variants compared at it, a family of its own; without sizes all are of the size None."""
        found: dict[str | None, list[str]] = {}
        for variant in self.comparisons:
            found.setdefault(self.arms[variant].size, []).append(variant)
        return found

    @property
    def largest_family(self) -> int:
        """Comparisons that share one alpha, at most."""
        return max(map(len, self.families.values()), default=0)

    @property
    def twins(self) -> dict[str, str]:
        """Arm -> the first arm of the same overrides, mostly itself: a second name gives runs a second opponent."""
        first: dict[tuple[str, ...], str] = {}
        return {name: first.setdefault(tuple(arm.overrides), name) for name, arm in self.arms.items()}

    def across(self, arm: str) -> str:
        """What an arm is called over all sizes."""
        return arm.removesuffix(f"{AT}{self.arms[arm].size}")

    def at_sizes(self, arm: str) -> list[str]:
        """What an arm of the claim's file is called at each size, smallest first."""
        return [_sized(arm, size) for size in self.sizes]

    def label(self, arm: str) -> str:
        """How tables and figures call an arm."""
        return self.arms[arm].label or arm

    def bare_label(self, arm: str) -> str:
        """The same without its size, for where that is said otherwise."""
        return self.label(arm).removesuffix(f" at {self.arms[arm].size}")


def _sized(arm: str, size: str) -> str:
    """What an arm of the file is called at a size."""
    return f"{arm}{AT}{size}"


def _at_every_size(claim: Claim, name: str) -> Claim:
    """The claim with each arm at each size, compared with its opponent of the same size."""
    if len(claim.sizes) < 2:
        raise UserError(f"{name}.sizes: one size has no trend; name two, or leave `sizes` out")
    if claim.baseline is not None and claim.baseline not in claim.arms:
        raise UserError(f"{name}.baseline: no arm is called {claim.baseline!r}{nearest(claim.baseline, claim.arms)}")
    arms = {}
    for size, overrides in claim.sizes.items():
        for key, arm in claim.arms.items():
            opponent = arm.against or (None if key == claim.baseline else claim.baseline)
            arms[_sized(key, size)] = dataclasses.replace(
                arm,
                overrides=[*overrides, *arm.overrides],
                against=None if opponent is None else _sized(opponent, size),
                label=f"{arm.label or key} at {size}",
                size=size,
            )
    return dataclasses.replace(claim, arms=arms, baseline=None)
