"""The claim block of a sweep: what is declared before anything runs.

No pandas here, for whoever plans a sweep validates with it.

The dataclasses below are the schema: a key that they do not know, or a value of another type, is refused.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tinylm.errors import UserError, nearest

Equal = Literal["parameters", "body_parameters", "active_parameters", "flops", "bytes", "tokens", "seconds"]
Expectation = Literal["better", "worse", "equivalent"]


@dataclass(frozen=True)
class Arm:
    """One variant of a claim.

    Fields:
        overrides: the config overrides that make it.
        expect: what the source leads us to expect of it beside its opponent; None: no expectation.
        against: its opponent; None: the claim's baseline.
        equal: the unit in which the two are equal; None: the claim's.
        claim: the expectation in words.
        label: its name in tables and figures; None: the arm's key.
    """

    overrides: list[str] = field(default_factory=list)
    expect: Expectation | None = None
    against: str | None = None
    equal: Equal | None = None
    claim: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Tune:
    """What is chosen for every arm alike before the arms are compared.

    Fields:
        params: config key -> grid of values; the grids multiply.
        seeds: the seeds that choose; none of them is compared on.
        metric: the metric that chooses, measured on the tune split.
        overrides: what is different while tuning, alike for all arms, such as a shorter budget.
    """

    params: dict[str, list[Any]]
    seeds: list[int]
    metric: str = "tune_bits_per_byte"
    overrides: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Claim:
    """What a sweep declares before it runs.

    Fields:
        question, source: one sentence, and where the expectation comes from.
        factor: config keys that may differ between arms; a prefix covers what is below it (``model/ffn``).
        baseline: the arm that the others are compared against.
        arms: name -> arm.
        equal, tolerance: the unit in which arms are equal, and by how much (relative) they may miss it.
        delta: the smallest effect worth having, in the metric's unit.
        seeds: the seeds that decide.
        derived: config keys that follow from the factor; they may differ, and are marked.
        metric, direction: what is compared, and whether lower or higher is better.
        alpha: the share of families that may claim an effect where there is none.
        cost: what the sweep takes, in words.
        tune: what is chosen per arm first, or None.
    """

    question: str
    source: str
    factor: list[str]
    baseline: str
    arms: dict[str, Arm]
    equal: Equal
    delta: float
    seeds: list[int]
    derived: list[str] = field(default_factory=list)
    tolerance: float = 0.01
    metric: str = "bits_per_byte"
    direction: Literal["lower", "higher"] = "lower"
    alpha: float = 0.05
    cost: str = ""
    tune: Tune | None = None

    @classmethod
    def parse(cls, block: Mapping[str, Any], name: str = "claim") -> Claim:
        """Validate a claim block.

        Args:
            block: the resolved ``claim:`` mapping of a sweep file.
            name: how messages call it, such as ``sweeps/depth_width.yaml: claim``.

        Raises:
            UserError: an unknown or missing key, a value of the wrong type, or parts that contradict one another.
        """
        claim: Claim = _build(cls, block, name)
        _agree(claim, name)
        return claim

    @property
    def comparisons(self) -> dict[str, str]:
        """Variant -> opponent, of every comparison of the claim: the family over which errors are controlled."""
        return {
            name: arm.against or self.baseline
            for name, arm in self.arms.items()
            if name != self.baseline or arm.against is not None
        }

    def label(self, arm: str) -> str:
        """How tables and figures call an arm."""
        return self.arms[arm].label or arm


def _agree(claim: Claim, name: str) -> None:
    if claim.baseline not in claim.arms:
        raise UserError(f"{name}.baseline: no arm is called {claim.baseline!r}{nearest(claim.baseline, claim.arms)}")
    for key, arm in claim.arms.items():
        if arm.against is not None and arm.against not in claim.arms:
            raise UserError(
                f"{name}.arms.{key}.against: no arm is called {arm.against!r}{nearest(arm.against, claim.arms)}"
            )
        if arm.against == key:
            raise UserError(f"{name}.arms.{key}.against: an arm cannot be compared with itself; name another arm")
    if not claim.comparisons:
        raise UserError(f"{name}.arms: one arm alone compares nothing; add a second arm")
    if claim.arms[claim.baseline].expect and claim.baseline not in claim.comparisons:
        raise UserError(f"{name}.arms.{claim.baseline}.expect: the baseline is compared with nothing; take it out")
    _distinct(claim.seeds, f"{name}.seeds")
    if not claim.factor:
        raise UserError(f"{name}.factor: name at least one config key that differs between the arms")
    for key, value, low, high in (
        ("alpha", claim.alpha, 0.0, 1.0),
        ("delta", claim.delta, 0.0, float("inf")),
        ("tolerance", claim.tolerance, 0.0, 1.0),
    ):
        if not low < value < high:
            raise UserError(f"{name}.{key}: {value} is not above {low:g} and below {high:g}")
    if claim.tune is None:
        return
    _distinct(claim.tune.seeds, f"{name}.tune.seeds")
    shared = sorted(set(claim.tune.seeds) & set(claim.seeds))
    if shared:
        raise UserError(f"{name}.tune.seeds: seed {shared[0]} is compared on too; tune on seeds that `seeds` lacks")
    if not claim.tune.params:
        raise UserError(f"{name}.tune.params: name at least one config key with its grid, or set tune to null")
    for key, grid in claim.tune.params.items():
        if not grid:
            raise UserError(f"{name}.tune.params.{key}: the grid is empty; give it values")


def _distinct(seeds: list[int], where: str) -> None:
    if not seeds:
        raise UserError(f"{where}: give at least one seed")
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise UserError(f"{where}: seed {twice[0]} is named twice; each counts once")


def _build(cls: Any, block: Any, where: str) -> Any:
    """An instance of a dataclass from a mapping, checked against its annotations."""
    if not isinstance(block, Mapping):
        raise UserError(f"{where}: expected keys with values, got {block!r}")
    hints = get_type_hints(cls)
    for key in block:
        if key not in hints:
            raise UserError(f"{where}: unknown key {key!r}{nearest(str(key), hints)}")
    for item in dataclasses.fields(cls):
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and item.name not in block:
            raise UserError(f"{where}: the key {item.name!r} is missing; every claim declares it")
    return cls(**{key: _value(hints[key], value, f"{where}.{key}") for key, value in block.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the annotation asks for it; the branches are the kinds of annotation that the schema uses."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return None if value is None else _value(inner, value, where)
    if origin is Literal:
        if value not in get_args(hint):
            raise UserError(f"{where}: {value!r} is not valid{nearest(str(value), map(str, get_args(hint)))}")
        return value
    if origin is list:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: expected a list, got {value!r}")
        return [_value(get_args(hint)[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected keys with values, got {value!r}")
        return {str(key): _value(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UserError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
