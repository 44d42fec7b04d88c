"""What figures say of themselves: names that tell arms apart, labels and captions that hold for the runs drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from synthetic_sweep import Sweep

from tinylm.report.figures.cost import quality
from tinylm.report.figures.curves import learning_curves
from tinylm.report.figures.drawing import caption
from tinylm.report.figures.forest import differences
from tinylm.report.figures.style import MANY, PALETTE, colours, dash, glyph, label_right, marker, of_arms
from tinylm.report.pages.page import write_report
from tinylm.report.records.arms import by_arm
from tinylm.report.records.history import history


def words(figure: str, sweep: Sweep) -> str:
    """What stands below a figure of a sweep."""
    manifest = sweep.manifest()
    assert manifest.claim is not None
    return caption(figure, manifest.claim, None, by_arm(sweep.frame(), manifest), history(sweep.root))


def test_losses_of_text_of_their_own_are_said_to_be_so(tmp_path: Path) -> None:
    own = "of the text that the arm itself reads"

    def swept(name: str, **told: Any) -> Sweep:
        sweep = Sweep(tmp_path / name)
        for arm in ("d4", "d8"):
            for seed in range(2):
                told_of_run = told.get(arm, {}) | ({"config": {"data.seed": seed}} if "by_seed" in told else {})
                sweep.run(arm, seed, 1.9, history=9, **told_of_run)
        return sweep

    assert own not in words("learning_curves", swept("same"))
    assert own not in words("learning_curves", swept("by_seed", by_seed=True))
    other = {"config": {"data.limit_bytes": 9}}
    assert own in words("learning_curves", swept("other", d8=other))
    assert own not in words("quality", swept("elsewhere", d8=other))
    tokens = {"accounting": {"shape.vocab": 512}}, {"accounting": {"shape.vocab": 1024}}
    assert own not in words("learning_curves", swept("no_loss", d4=tokens[0], d8=tokens[1] | other))
    again = swept("again")
    (path, *_) = sorted(again.root.glob("d8-*/history.jsonl"))
    lines = path.read_text(encoding="utf-8")
    path.write_text(lines + lines.replace('"round": 0', '"round": 1'), encoding="utf-8")
    assert own in words("learning_curves", again)


def test_arms_beyond_the_palette_are_told_apart_by_marker_and_dash(tmp_path: Path) -> None:
    inks = list(colours([str(arm) for arm in range(3 * len(PALETTE) + 1)], "0").values())
    assert len({(str(ink), dash(ink), marker(ink, "D")) for ink in inks}) == len(inks)
    for colour in PALETTE:
        own = [ink for ink in inks if ink == colour]
        for look in (dash, glyph, lambda ink: marker(ink, "D")):
            assert len({look(ink) for ink in own}) == len(own) == 3
    names = [f"a{arm:02d}" for arm in range(MANY)]
    arms = {arm: {"overrides": [arm], "against": names[0] if place else None} for place, arm in enumerate(names)}
    sweep = Sweep(tmp_path, baseline=None, arms=arms)
    for place, arm in enumerate(names):
        for seed in range(2):
            sweep.run(arm, seed, 1.9 + 0.01 * place, history=9)
    manifest = sweep.manifest()
    assert manifest.claim is not None
    placed, ink = by_arm(sweep.frame(), manifest), of_arms(manifest.claim)
    curves, costs = learning_curves(history(sweep.root), placed, ink), quality(placed, "bits_per_byte", ink)
    assert curves is not None
    assert costs is not None
    for axes in (curves.axes[0], costs.axes[0]):
        means = [line for line in axes.lines if len(line.get_xdata()) in (1, 200)]  # type: ignore[arg-type]
        assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in means}) == MANY
    named = {(text.get_color(), text.get_text().split()[0] in "▲■") for text in costs.axes[-1].texts}
    assert len(named) == MANY
    assert "Arms of one colour" in words("quality", sweep)
    assert "Arms of one colour" not in words("differences", sweep)


def test_of_too_many_names_one_of_each_look_is_written() -> None:
    axes = Figure().add_subplot()
    looks = list(colours(["a", "b", "c"], "a").values())
    label_right(axes, range(15), [f"{arm} at {size}" for size in range(5) for arm in "abc"], looks * 5)
    assert [(text.get_text(), text.get_color()) for text in axes.texts] == [
        (f"{arm} at 4", ink) for arm, ink in zip("abc", looks, strict=True)
    ]
    crowded = Figure().add_subplot()
    label_right(crowded, range(15), list("abcdefghijklmno"), [f"#{shade:06x}" for shade in range(15)])
    assert not crowded.texts


def test_what_is_equal_in_all_arms_has_no_scale_and_is_about_equal(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    for arm in ("d4", "d8"):  # their parameters differ by 400 of a million, their FLOPs not at all
        sweep.arm(arm, [1.9, 1.91])
    figure = quality(by_arm(sweep.frame(), sweep.manifest()), "bits_per_byte", {"d4": "black", "d8": "grey"})
    assert figure is not None
    parameters, flops, seconds = figure.axes
    assert parameters.get_xlabel() == "parameters:\nabout 1 M in every arm"
    assert flops.get_xlabel() == "training FLOPs:\n36 T in every arm"
    assert [len(axes.get_xticks()) for axes in (parameters, flops)] == [0, 0]
    assert len(seconds.get_xticks())


@pytest.mark.parametrize(("direction", "right"), [("lower", "worse →"), ("higher", "better →")])
@pytest.mark.parametrize("shift", [-0.3, 0.3])
def test_better_and_worse_stand_on_their_sides_of_zero(
    tmp_path: Path, shift: float, direction: str, right: str
) -> None:
    sweep = Sweep(tmp_path, direction=direction).arm("d4", [1.9, 1.91, 1.92])
    sweep.arm("d8", [1.9 + shift, 1.92 + shift, 1.92 + shift])
    figure = differences(sweep.verdicts())
    assert figure is not None
    (axes,) = figure.axes
    sides = [text for text in axes.texts if "→" in text.get_text() or "←" in text.get_text()]
    assert [(text.xy[0], text.get_ha()) for text in sides] == [(0, "right"), (0, "left")]  # type: ignore[attr-defined]
    assert sides[1].get_text() == right
    assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]


def test_captions_say_what_configs_say(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, tune={"params": {"optim.lr": [0.001, 0.002]}, "seeds": [100, 101]})
    sweep.tune("d8", {0.001: 1.5, 0.002: 1.9}, seed=100)
    assert "on 1 seed and" in words("sensitivity", sweep)
    sweep.tune("d8", {0.001: None, 0.002: 1.8}, seed=101)
    assert "on 2 seeds and" in words("sensitivity", sweep)
    assert "hold a set share of" in words("effective_dimension", sweep)
    key = sweep.run("d8", 0, 1.9, config={"evaluate.effective_dimension.share": 0.9})
    sweep.tell(key, effective_dimension_00=20.0)
    assert "hold 90% of" in words("effective_dimension", sweep)
    write_report(sweep.name, [sweep.root], tmp_path / "out")
    assert "hold 90% of" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
