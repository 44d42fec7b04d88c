"""All claims on one page: verdicts, what became of each source's expectations, what it took. Plain HTML, no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tinylm.errors import UserError
from tinylm.files import write_text
from tinylm.report.claims.claim import Claim
from tinylm.report.judgement import wording
from tinylm.report.judgement.verdicts import Comparison, Estimate, Trend, Verdicts
from tinylm.report.pages.page import Report, unbroken, write_report
from tinylm.report.tables.ledger import energy, hours, ledger

OUTCOMES = ("confirmed", "contradicted", "undecided", "no expectation")
_FAR = 1.5  # times: arms that lie farther apart are told by both ends
_CITED = re.compile(r"[^;]*?arXiv:\d{4}\.\d{4,5}")


@dataclass(frozen=True)
class Result:
    """One comparison, trend or estimate of a claim.

    Fields:
        sentence: as the report says it, the outcome left out.
        outcome: what became of the expectation, one of ``OUTCOMES``.
        verdict: ``better`` and so on; empty for a trend or an estimate.
        source: the paper that led to the expectation.
        expected: the expectation in words; empty where the claim gives none.
        strip: where the interval lies, for drawing; None where there is none.
    """

    sentence: str
    outcome: str
    verdict: str
    source: str
    expected: str
    strip: Strip | None


@dataclass(frozen=True)
class Strip:
    """An interval and the band of what is too small to matter, in shares of a strip's width; zero is its middle."""

    low: float
    high: float
    middle: float
    band: float


@dataclass(frozen=True)
class Scale:
    """What the compared runs of a claim had of something: the least, the median and the most."""

    low: float
    middle: float
    high: float

    @property
    def words(self) -> list[str]:
        """The median, or both ends where one is far from the other."""
        ends = (self.low, self.high) if self.high > _FAR * self.low else (self.middle,)
        return [wording.amount(end) for end in ends]


@dataclass(frozen=True)
class Entry:
    """One claim's line: what it asks and found, how large its models were, and what it took.

    ``spent`` is the last row of its ledger; ``hours`` tells which runs that were, and the hours of each.
    """

    name: str
    claim: Claim
    answer: str
    results: list[Result]
    parameters: Scale
    tokens: Scale
    spent: dict[Any, Any] = field(default_factory=dict)
    hours: dict[str, float] = field(default_factory=dict)

    @property
    def outcomes(self) -> list[str]:
        """Those that occur, in the order of ``OUTCOMES``."""
        found = {result.outcome for result in self.results}
        return [outcome for outcome in OUTCOMES if outcome in found]


@dataclass(frozen=True)
class Site:
    """What was written: ``path`` of ``index.html``, its ``entries``, and what was ``left_out`` and why."""

    path: Path
    entries: list[Entry]
    left_out: list[str]


def write_site(roots: Sequence[str | Path], out: Path, say: Callable[[str], None]) -> Site:
    """Write ``out/index.html`` and every claim's report beside it, as ``out/<name>/``.

    Args:
        roots: folders of runs, archives among them.
        say: is told of each report before it is written.

    Raises:
        UserError: no root has a sweep.
    """
    names = sorted({path.stem for root in roots for path in Path(root).glob("sweeps/*.json")})
    if not names:
        places = ", ".join(map(str, roots)) or "runs/ and analysis/results/*/runs"
        raise UserError(f"no sweep under {places}; run one first, or name its root with --root")
    entries, left_out = [], []
    for number, name in enumerate(names, start=1):
        say(f"[{number}/{len(names)}] {name}")
        try:
            entries.append(_entry(name, write_report(name, roots, out / name)))
        except UserError as error:
            left_out.append(f"{name}: {error}")
    room = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    room.filters["unbroken"] = unbroken
    facts = {
        "entries": entries,
        "sources": by_source(entries),
        "outcomes": OUTCOMES,
        "counts": {outcome: sum(outcome in entry.outcomes for entry in entries) for outcome in OUTCOMES},
        "summary": summary(entries),
        "left_out": left_out,
        "amount": wording.amount,
        "energy": energy,
    }
    write_text(out / "index.html", room.get_template("site.html.j2").render(facts))
    return Site(out / "index.html", entries, left_out)


def summary(entries: Sequence[Entry]) -> str:
    """The whole site in one sentence; a run that serves several claims counts once."""
    results = [result for entry in entries for result in entry.results]
    expected = [result.outcome for result in results if result.outcome != "no expectation"]
    counted = ", ".join(f"{expected.count(outcome)} {outcome}" for outcome in OUTCOMES[:3])
    runs = {key: told for entry in entries for key, told in entry.hours.items()}
    claims = f"{_number(len(entries), 'claim')} with {_number(len(expected), 'expectation')}"
    return f"{claims}: {counted}. {_number(len(runs), 'run')}, {sum(runs.values()):.1f} hours."


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def by_source(entries: Iterable[Entry]) -> dict[str, dict[str, list[tuple[str, Result]]]]:
    """Source -> outcome -> (claim, result) of everything that was expected, the most told source first."""
    found: dict[str, dict[str, list[tuple[str, Result]]]] = {}
    for entry in entries:
        for result in entry.results:
            if result.outcome != "no expectation":
                place = found.setdefault(result.source, {outcome: [] for outcome in OUTCOMES[:3]})
                place[result.outcome].append((entry.name, result))
    return dict(sorted(found.items(), key=lambda item: (-sum(map(len, item[1].values())), item[0])))


def paper(source: str) -> str:
    """The work that a source names first, without what is said of it.

    Example: ``paper("Su et al. 2021, arXiv:2104.09864 (rotary)") == "Su et al. 2021, arXiv:2104.09864"``
    """
    cited = _CITED.match(source)
    return (cited.group() if cited else re.split(r"[;:]", source, maxsplit=1)[0]).strip()


def _entry(name: str, report: Report) -> Entry:
    verdicts, claim = report.verdicts, report.claim
    reach = max([_reach(item, verdicts.smallest_effect) for item in verdicts.comparisons], default=1.0)
    results = [_compared(item, verdicts, claim, reach) for item in verdicts.comparisons]
    results += [_over_sizes(item, verdicts, claim) for item in verdicts.trends]
    results += [_estimated(item, verdicts, claim) for item in verdicts.estimates]
    compared = report.runs[report.runs["stage"] == "compare"]
    return Entry(
        name=name,
        claim=claim,
        answer=wording.answer(verdicts),
        results=results,
        parameters=_scale(compared, "accounting.parameters.total"),
        tokens=_scale(compared, "cost.tokens"),
        spent=ledger(report.runs).to_dict("records")[-1],
        hours=hours(report.runs),
    )


def _compared(item: Comparison, verdicts: Verdicts, claim: Claim, reach: float) -> Result:
    strip = None
    if item.delta is not None and item.ci_low is not None and item.ci_high is not None:
        low, middle, high = (_share(value, reach) for value in (item.ci_low, item.delta, item.ci_high))
        strip = Strip(low, high, middle, verdicts.smallest_effect / reach / 2)
    arm = claim.arms[item.variant]
    outcome = item.outcome or "no expectation"
    told = wording.sentence(item, verdicts).removesuffix(f": {outcome}")
    said = _expected(item, arm.size)
    return Result(told, outcome, item.verdict, paper(arm.source or claim.source), said, strip)


_VERBS = {"better": "beats", "worse": "is worse than", "equivalent": "equals"}


def _expected(item: Comparison, size: str | None) -> str:
    """The expectation in words; those of a claim over sizes are of every size, the outcome is of this one."""
    if item.claim:
        return item.claim + (f" at {size}" if size else "")
    return f"{item.variant_label} {_VERBS[item.expected]} {item.against_label}" if item.expected else ""


def _over_sizes(item: Trend, verdicts: Verdicts, claim: Claim) -> Result:
    """A trend; where it is expected, an estimate says so."""
    return Result(wording.trend_sentence(item, verdicts), "no expectation", "", paper(claim.source), "", None)


def _estimated(item: Estimate, verdicts: Verdicts, claim: Claim) -> Result:
    outcome = item.verdict or "no expectation"
    said = item.claim or (f"{item.name.replace('_', ' ')} {wording.region(item)}" if item.region else "")
    told = wording.estimate_sentence(item, verdicts).removesuffix(f": {outcome}")
    return Result(told, outcome, "", paper(item.source or claim.source), said, None)


def _reach(item: Comparison, delta: float) -> float:
    """How far from zero a strip has to reach; an interval that would dwarf all others is cut."""
    ends = [abs(end) for end in (item.ci_low, item.ci_high) if end is not None]
    return max([1.5 * delta, *(min(end, 3 * max(abs(item.delta or 0), delta)) for end in ends)])


def _share(value: float, reach: float) -> float:
    return min(max(0.5 + value / reach / 2, 0.0), 1.0)


def _scale(runs: pd.DataFrame, column: str) -> Scale:
    values = pd.to_numeric(runs[column], errors="coerce") if column in runs else pd.Series([float("nan")])
    return Scale(float(values.min()), float(values.median()), float(values.max()))
