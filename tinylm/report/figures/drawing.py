"""The figures of a sweep's report, with their captions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tinylm.report.claims.claim import Claim
from tinylm.report.figures.correlations import correlations, properties
from tinylm.report.figures.cost import quality
from tinylm.report.figures.curves import learning_curves, not_scored_alike, of_own_text
from tinylm.report.figures.experts import specialisation
from tinylm.report.figures.forest import differences
from tinylm.report.figures.forgetting import forgetting
from tinylm.report.figures.layers import by_layer
from tinylm.report.figures.lengths import by_length
from tinylm.report.figures.pareto import pareto
from tinylm.report.figures.peaks import peaks
from tinylm.report.figures.scaling import across_sizes, gains_over_sizes, loss_over_compute
from tinylm.report.figures.sensitivity import sensitivity
from tinylm.report.figures.style import MANY, of_arms, reused, save, shades
from tinylm.report.figures.valley import valley
from tinylm.report.judgement.scaling import Law
from tinylm.report.judgement.verdicts import Verdicts
from tinylm.report.tables.costs import WALL_TIME
from tinylm.report.tables.factors import matrix

# Where a colour is an arm's.
_SHADED = (
    *("learning_curves", "quality", "pareto", "forgetting", "layer_skip", "effective_dimension", "load_entropy"),
    *("probe_lengths", "probe_distances", "extrapolation"),
)
_INKED = (*_SHADED, "sensitivity", "trends", "scaling")
_SHARE = "evaluate.effective_dimension.share"
_CAPTIONS = {
    "differences": "Differences, variant − opponent, in the claim's order. Dots: one seed each. Diamond and bar: mean "
    "and its interval at the level that the family left it; it excludes zero exactly when the adjusted p is below "
    "alpha. Equivalence is decided by two one-sided tests at a level of their own, so the bar of an equivalent "
    "comparison may reach beyond the shaded band.",
    "trends": "The gain of each arm over its opponent at every size. Dots: one seed each; diamonds and bars: means and "
    "their intervals.",
    "scaling": "Loss against training FLOPs, both logarithmic: the mean of a power law a seed, with its interval over "
    "seeds. Dots: one seed each; where they lie beside the line at a size, losses follow no power law.",
    "learning_curves": "Learning curves. Thin: one seed each; bold: an arm's mean. Of curves that lie on one another "
    "the last drawn hides the others; the paired differences tell such arms apart.",
    "quality": "Quality against what a run is and costs. Small: one seed each; hollow: means. What is equal in "
    f"all arms has no scale: they stand side by side, in the claim's order. {WALL_TIME}.",
    "properties": "What the arms are, and how well they did: a dot an arm.",
    "correlations": "Rank correlations over the arms; quality is positive where better.",
    "pareto": "Quality against what use costs. Small: one run each; large: means, filled on the front (line): no "
    "other arm is both better and cheaper. Times depend on the machine and on what else it did.",
    "valley": "The valley over the tuned key, and the power law through its lowest points. Dots: one seed each.",
    "peaks": "Left what is taken of what is offered, right the most that each seed took, and the line through it "
    "with the interval of its slope (band). Dots: one seed each; lines on the left: means.",
    "forgetting": "What a round read, scored at its end, by its place in the round; falling: what was read first was "
    "forgotten. Thin: one seed each; bold: an arm's mean.",
    "layer_skip": "What a model loses when one layer is skipped, on the tune split. Thin: one run each; bold: means.",
    "effective_dimension": "Principal components that hold {share} of the features' variance after each layer. Thin: "
    "one run each; bold: means.",
    "load_entropy": "How evenly a layer's experts are used, over the last tenth of training: 1 where all are alike, 0 "
    "where one has all.",
    "specialisation": "Percent of a domain's tokens that go to each expert, in evaluation, on the tune split; an arm's "
    "first run. Rows that are alike: the experts do not tell the domains apart.",
    "probe_lengths": "Accuracy of a task's answers by length; dotted: what knowing the format alone gives. Thin: one "
    "run each; bold: means.",
    "probe_distances": "Accuracy of a task's answers by how many words back stands the word that they are read from, "
    "each number with the distances above the one before. Thin: one run each; bold: means.",
    "extrapolation": "Bits per byte of the same text with more and more of it in view, from the trained length (left) "
    "on. Thin: one run each; bold: means.",
    "sensitivity": "What tuning saw, on {seeds} and on text that no verdict uses. Rings: chosen.",
}


def figures_of(
    verdicts: Verdicts,
    claim: Claim,
    placed: pd.DataFrame,
    curves: pd.DataFrame,
    arms: pd.DataFrame | None,
    fitted: Mapping[str, Law],
    folder: Path,
) -> dict[str, str]:
    """Figure name -> SVG text, of those that the runs have numbers for, in the page's order."""
    ink = _ink(claim, arms)
    share = _share(placed)
    drawn = {
        "differences": differences(verdicts),
        "trends": gains_over_sizes(verdicts, placed, claim),
        "scaling": loss_over_compute(fitted, claim),
        "properties": None if arms is None else properties(arms, list(arms.columns[:-1]), claim.metric),
        "correlations": None if arms is None else correlations(matrix(arms, claim)),
        "learning_curves": learning_curves(curves, placed, ink, claim),
        "quality": quality(placed, claim.metric, ink),
        "pareto": pareto(placed, claim.metric, claim.direction, ink),
        "sensitivity": sensitivity(placed, claim, ink),
        "valley": valley(placed, claim),
        "peaks": peaks(placed, claim),
        "forgetting": forgetting(placed, ink),
        "layer_skip": by_layer(placed, "skip", "loss of skipping a layer (bits per byte)", ink),
        "effective_dimension": by_layer(
            placed, "effective_dimension", f"effective dimension: components that hold {share} of the variance", ink
        ),
        "probe_lengths": by_length(
            placed, "probe_accuracy_length", "accuracy of answers", "length, as the task counts it", ink, "probe_chance"
        ),
        "probe_distances": by_length(
            placed, "probe_accuracy_distance", "accuracy of answers", "words back, up to", ink, "probe_chance"
        ),
        "extrapolation": by_length(
            placed, "extrapolation_bits", "bits per byte of the same text", "tokens in view", ink
        ),
        "load_entropy": by_layer(placed, "load_entropy", "entropy of the experts' load (1: even)", ink),
        "specialisation": specialisation(placed),
    }
    written = {}
    for name, figure in drawn.items():
        if figure is None:
            for kind in ("png", "svg"):  # of an earlier report
                (folder / f"{name}.{kind}").unlink(missing_ok=True)
            continue
        svg = save(figure, folder, name)
        written[name] = _own_names(svg[svg.index("<svg") :], name)
    return written


def _ink(claim: Claim, arms: pd.DataFrame | None) -> dict[str, str]:
    """Arm -> colour; where there are more arms than colours, a shade by the first property."""
    if claim.sizes:
        return across_sizes(claim)
    plain = of_arms(claim)
    if arms is None or len(claim.arms) <= MANY:
        return plain
    return plain | shades({str(arm): float(value) for arm, value in arms.iloc[:, 0].items()})


def _share(placed: pd.DataFrame) -> str:
    """Which share of the variance the runs' effective dimension is of, by their configs."""
    found = sorted(placed[_SHARE].dropna().unique()) if _SHARE in placed else []
    return " or ".join(f"{100 * share:g}%" for share in found) or "a set share"


def _seeds(placed: pd.DataFrame, claim: Claim) -> str:
    """The seeds that tuning has numbers of, counted."""
    tuned = placed[placed["stage"] == "tune"]
    if claim.tune is not None and claim.tune.metric in placed:
        tuned = tuned[tuned[claim.tune.metric].notna()]
    number = tuned["seed"].nunique()
    return "1 seed" if number == 1 else f"{number} seeds"


def caption(figure: str, claim: Claim, arms: pd.DataFrame | None, placed: pd.DataFrame, curves: pd.DataFrame) -> str:
    """What stands below a figure; arguments as in `figures_of`."""
    told = _CAPTIONS[figure].format(share=_share(placed), seeds=_seeds(placed, claim))
    if figure == "learning_curves" and of_own_text(curves, placed):
        told += " Each training loss is of the text that the arm itself reads: a lower one may be of easier text."
    if figure == "learning_curves" and (others := not_scored_alike(curves, placed)):
        told += f" Left out of the tune split's curves, for they scored another part of it: {'; '.join(others)}."
    if figure in _INKED and reused(_ink(claim, arms).values()):
        told += " Arms of one colour differ in their markers, which stand before their names too, and in their dashes."
    if figure in _SHADED and claim.sizes:
        told += " An arm has one colour at every size."
    if figure not in _SHADED or arms is None or len(claim.arms) <= MANY:
        return told
    values = arms.iloc[:, 0]
    return f"{told} Colour: {values.name}, from {values.min():g} (dark) to {values.max():g} (light)."


def _own_names(svg: str, name: str) -> str:
    """A drawing whose ids begin with its name: a page that holds several has each id once."""
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)


def width(svg: str) -> int:
    """The width in pixels at which an SVG's text has the size of the page's notes."""
    points = float(svg.split('viewBox="', 1)[1].split('"', 1)[0].split()[2])
    return round(points * 4 / 3 * 1.05)
