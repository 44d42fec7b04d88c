"""Whether the parts of a claim fit together: arms and their opponents, seeds, grids, estimates, levels."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tinylm.errors import UserError, nearest

if TYPE_CHECKING:  # a claim is checked where it is parsed
    from tinylm.report.claims.claim import Claim, Stop


def agree(claim: Claim, name: str) -> None:
    """Refuse a claim whose parts contradict one another, however right each is by itself.

    Args:
        name: how messages call it, such as ``sweeps/depth_width.yaml: claim``.

    Raises:
        UserError: they do; the message names the key.
    """
    if claim.baseline is not None and claim.baseline not in claim.arms:
        raise UserError(f"{name}.baseline: no arm is called {claim.baseline!r}{nearest(claim.baseline, claim.arms)}")
    for key, arm in claim.arms.items():
        if arm.against is not None and arm.against not in claim.arms:
            raise UserError(
                f"{name}.arms.{key}.against: no arm is called {arm.against!r}{nearest(arm.against, claim.arms)}"
            )
        if arm.against == key:
            raise UserError(f"{name}.arms.{key}.against: an arm cannot be compared with itself; name another arm")
    if not claim.comparisons and not claim.estimates:
        told = "one arm alone compares nothing; add a second arm" if claim.baseline else "nothing is compared"
        raise UserError(f"{name}.arms: {told}, or declare `estimates`")
    for key, arm in claim.arms.items():
        if arm.expect and key not in claim.comparisons:
            it = "the baseline" if key == claim.baseline else "the arm"
            raise UserError(f"{name}.arms.{key}.expect: {it} is compared with nothing; take it out")
    _agree_estimates(claim, name)
    _distinct(claim.seeds, f"{name}.seeds")
    if not claim.factor:
        raise UserError(f"{name}.factor: name at least one config key that differs between the arms")
    for key, value, low, high in (
        ("alpha", claim.alpha, 1e-6, 0.5),
        ("delta", claim.delta, 0.0, float("inf")),
        ("tolerance", claim.tolerance, 0.0, 1.0),
    ):
        if not low < value < high:
            raise UserError(f"{name}.{key}: {value} is not above {low:g} and below {high:g}")
    if claim.stop is not None:
        _agree_stop(claim.stop, len(claim.seeds), f"{name}.stop")
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


def _agree_stop(stop: Stop, seeds: int, name: str) -> None:
    looks = [1, *stop.after, seeds]
    if not stop.after or any(a >= b for a, b in itertools.pairwise(looks)):
        raise UserError(f"{name}.after: {stop.after} are not ascending numbers of seeds from 2 to {seeds - 1}")
    if not 0 < stop.risk < 1:
        raise UserError(f"{name}.risk: {stop.risk:g} is not above 0 and below 1")


def _agree_estimates(claim: Claim, name: str) -> None:
    for key, estimand in claim.estimates.items():
        if estimand.over_sizes and not claim.sizes:
            raise UserError(f"{name}.estimates.{key}: a {estimand.kind} goes over sizes; give the claim `sizes`")
        for arm in estimand.arms_named(claim) or []:
            if arm not in claim.arms:
                raise UserError(f"{name}.estimates.{key}: no arm is called {arm!r}{nearest(arm, claim.arms)}")
    for key in claim.sample.ranges if claim.sample else ():
        covered = [prefix.replace("/", ".") for prefix in (*claim.factor, *claim.derived)]
        if not any(key == prefix or key.startswith(f"{prefix}.") for prefix in covered):
            raise UserError(f"{name}.sample.ranges.{key}: differs between the arms; name it in `factor`")
    if claim.reported_unit is None and any(arm.reported is not None for arm in claim.arms.values()):
        raise UserError(f"{name}.reported_unit: say in what unit and at what scale the `reported` gains are")


def _distinct(seeds: list[int], where: str) -> None:
    if not seeds:
        raise UserError(f"{where}: give at least one seed")
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise UserError(f"{where}: seed {twice[0]} is named twice; each counts once")
