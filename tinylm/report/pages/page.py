"""A sweep's report: a page, its text, its numbers and its figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tinylm.files import write_text
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.claims.portable import command
from tinylm.report.claims.sample import Sample
from tinylm.report.figures.drawing import caption, figures_of, width
from tinylm.report.judgement import signal, verdict_tables, wording
from tinylm.report.judgement.compare import decide
from tinylm.report.judgement.curves import counted, curves_of
from tinylm.report.judgement.decisions import decision_note, decision_table
from tinylm.report.judgement.scaling import laws, scaling_table
from tinylm.report.judgement.trends import label, trend_notes, trend_table
from tinylm.report.judgement.verdicts import Verdicts
from tinylm.report.records.archive import archive
from tinylm.report.records.arms import by_arm
from tinylm.report.records.collect import collect
from tinylm.report.records.history import history
from tinylm.report.records.raw import as_csv, surroundings
from tinylm.report.tables import costs, rounds
from tinylm.report.tables.factors import arm_table, confounded, correlation_table, factors, matrix
from tinylm.report.tables.ladder import ladder_table
from tinylm.report.tables.latex import TABLES, document
from tinylm.report.tables.ledger import ledger, ledger_table
from tinylm.report.tables.markdown import list_item, markdown
from tinylm.report.tables.routing import routing_table
from tinylm.report.tables.scores import seed_table
from tinylm.report.tables.training import training_table
from tinylm.report.tables.vocabularies import vocabulary_table

__all__ = ["Report", "archive", "write_report"]


@dataclass(frozen=True)
class Report:
    """What was written, and what it says.

    Fields:
        path: of ``report.html``; the other files lie beside it.
        verdicts: as in ``verdicts.json``.
        claim: what was declared.
        runs: those of the sweep, as `tinylm.report.records.arms.by_arm` gives them.
    """

    path: Path
    verdicts: Verdicts
    claim: Claim
    runs: pd.DataFrame


def write_report(name: str, roots: Sequence[str | Path], out: Path) -> Report:
    """Write a sweep's report into ``out``.

    That is ``report.html``, ``report.md``, ``tables.tex``, ``results.csv``, ``verdicts.json`` and ``figures/``.

    Args:
        name: the sweep.
        roots: folders that hold its runs and its manifest.
        out: a folder; files of an earlier report in it are replaced.

    Raises:
        UserError: no root has the sweep, or it declares no claim.
    """
    manifest = read_manifest(name, *roots)
    runs = collect(*roots, keys=manifest.needed)
    verdicts = decide(runs, manifest)
    assert manifest.claim is not None  # or `decide` had refused
    claim = manifest.claim
    placed = by_arm(runs, manifest)
    curves = history(*roots, keys=set(placed["key"]))
    arms = factors(placed, claim)
    counting = counted(placed, claim, manifest)
    fitted = laws(curves_of(counting, claim))
    figures = figures_of(verdicts, claim, placed, curves, arms, fitted, out / "figures")
    verdicts.write(out / "verdicts.json")
    write_text(out / "results.csv", as_csv(placed))
    facts = _facts(verdicts, manifest, claim, placed, arms) | {
        "ladder_table": ladder_table(verdicts, manifest, runs),
        "reported_unit": claim.reported_unit,
        "trend_table": trend_table(verdicts, {item.variant: item for item in verdicts.comparisons}),
        "trend_notes": trend_notes(verdicts),
        "decision_table": decision_table(counting, claim),
        "decision_note": decision_note(counting, claim),
        "scaling_table": scaling_table(fitted, {arm: label(claim, arm) for arm in fitted}, claim),
        "signal_table": signal.signal_table(placed, curves, claim),
        "notes": {"signal": signal.NOTE, "spent": costs.SPENT_NOTE, "rounds": rounds.NOTE},
        "figures": [
            {
                "name": key,
                "caption": caption(key, claim, arms, placed, curves),
                "svg": Markup(svg),
                "width": width(svg),
            }
            for key, svg in figures.items()
        ],
        "warnings": [*verdicts.warnings, *curves.attrs["warnings"]],
    }
    loader = FileSystemLoader(Path(__file__).parent)
    for file, escape in (("report.html", True), ("report.md", False)):
        room = Environment(
            loader=loader, autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        room.globals |= {"markdown": markdown, "list_item": list_item}
        room.filters["unbroken"] = unbroken
        write_text(out / file, room.get_template(f"{file}.j2").render(facts))
    frames = {key: facts[f"{key}_table"] for key in TABLES}
    write_text(out / "tables.tex", document(name, frames, claim.reported_unit))
    return Report(out / "report.html", verdicts, claim, placed)


def unbroken(sentence: str) -> str:
    """Without line breaks around ± and =, where they would part a number from its interval or its name."""
    return re.sub(" ([±=]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", sentence)


def _facts(
    verdicts: Verdicts, manifest: Manifest, claim: Claim, placed: pd.DataFrame, arms: pd.DataFrame | None
) -> dict[str, Any]:
    ended = placed[placed["status"] != "not run"].drop_duplicates("key")
    hours = float(pd.to_numeric(ended["cost.seconds"]).sum()) / 3600 if "cost.seconds" in ended else 0.0
    declared = {
        "question": claim.question,
        "source": claim.source,
        "factor": ", ".join(claim.factor),
        "derived": ", ".join(claim.derived) or "nothing",
        "equal": f"{wording.equal_in_words(claim.equal)}, within {claim.tolerance:.1%}",
        "metric": f"{wording.unit(claim.metric)}, {claim.direction} is better",
        "smallest effect worth having": f"{claim.delta:g}",
        "alpha": "; ".join(
            [f"{claim.alpha:g} over {_families(claim)}, {wording.errors(claim.errors)}"] * bool(claim.comparisons)
            + [f"{claim.alpha:g} for each of {len(claim.estimates)} estimate(s)"] * bool(claim.estimates)
        ),
        "seeds": ", ".join(map(str, claim.seeds)),
        "tuned": "nothing" if claim.tune is None else _tuned(claim),
        "cost, as declared": claim.cost or "not stated",
    }
    if manifest.left_out:
        declared["left out on the command line"] = ", ".join(manifest.left_out)
    if claim.sample is not None:
        declared["sampled"] = _sampled(claim.sample)
    expected = [
        f"{claim.label(arm)} against {claim.label(against)}: "
        f"{claim.arms[arm].expect or 'no expectation'}{_said(claim.arms[arm].claim, claim.arms[arm].source)}"
        for arm, against in claim.comparisons.items()
    ]
    expected += [
        f"{item.name.replace('_', ' ')}: {wording.region(item) if item.region else 'no expectation'}{_said(item.claim)}"
        for item in verdicts.estimates
    ]
    return {
        "name": manifest.name,
        "command": command(manifest.command),
        "answer": wording.answer(verdicts),
        "sentences": _sentences(verdicts),
        "claim": declared,
        "arms": [] if claim.sample else [(claim.label(arm), " ".join(claim.arms[arm].overrides)) for arm in claim.arms],
        "expected": expected,
        "detectable": verdicts.minimum_detectable_effect,
        "unit": wording.unit(verdicts.metric),
        "correlation_table": correlation_table(None if arms is None else matrix(arms, claim)),
        "confounded": [] if arms is None else confounded(matrix(arms, claim)),
        "arm_table": arm_table(arms, claim),
        "estimate_table": verdict_tables.estimate_table(verdicts),
        "source_table": verdict_tables.source_table(verdicts),
        "verdict_table": verdict_tables.verdict_table(verdicts),
        "detail_table": verdict_tables.detail_table(verdicts),
        "divergence_table": verdict_tables.divergence_table(verdicts),
        "training_table": training_table(placed),
        "seed_table": seed_table(placed, claim),
        "charged_table": costs.charged_table(placed, claim),
        "spent_table": costs.spent_table(placed),
        "rounds_table": rounds.rounds_table(placed),
        "routing_table": routing_table(placed),
        "vocabulary_table": vocabulary_table(placed),
        "ledger_table": ledger_table(ledger(placed)),
        "machine": surroundings(ended),
        "runs": len(ended),
        "hours": f"{hours:.2f}",
    }


def _sentences(verdicts: Verdicts) -> list[tuple[str, str]]:
    """Verdict and sentence of every result; none where the answer has them all in full."""
    if wording.in_full(verdicts):
        return []
    told: list[tuple[str, str]] = [(item.verdict, wording.sentence(item, verdicts)) for item in verdicts.comparisons]
    told += [("", wording.trend_sentence(item, verdicts)) for item in verdicts.trends]
    told += [(item.verdict or "", wording.estimate_sentence(item, verdicts)) for item in verdicts.estimates]
    return told


def _families(claim: Claim) -> str:
    """What shares one alpha: all comparisons, or those of each size."""
    at_each = f" at each of {len(claim.families)} sizes" if len(claim.families) > 1 else ""
    return f"{claim.largest_family} comparison(s){at_each}"


def _sampled(sample: Sample) -> str:
    ranges = "; ".join(f"{key} from {span.low:g} to {span.high:g} ({span.kind})" for key, span in sample.ranges.items())
    return f"{sample.number} arms, draws of seed {sample.seed}: {ranges}"


def _tuned(claim: Claim) -> str:
    assert claim.tune is not None
    grids = "; ".join(f"{key} of {', '.join(map(str, grid))}" for key, grid in claim.tune.params.items())
    return f"{grids}, on seeds {', '.join(map(str, claim.tune.seeds))} by {wording.unit(claim.tune.metric)}"


def _said(*texts: str | None) -> str:
    told = "; ".join(text for text in texts if text)
    return f" ({told})" if told else ""
