"""The page of all claims: what it says, and what a browser makes of it."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from tests.synthetic_sweep import D4, D8, Sweep
from tinylm.cli.main import dispatch
from tinylm.errors import UserError
from tinylm.record import wall_seconds
from tinylm.report.pages.site import Scale, Site, by_source, paper, summary, write_site
from tinylm.report.records.arms import by_arm
from tinylm.report.tables.ledger import ledger, ledger_table

HOSTILE = '<script>alert("x")</script> & $5 | 中'
OTHER = "Other et al. 2021, arXiv:2101.00001, table 2; more"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three claims in two roots: held, fallen, and half undecided, half not expected; a plan that claims nothing.

    They share runs, as claims share a baseline.
    """
    folder = tmp_path_factory.mktemp("site")
    held = Sweep(folder / "runs", name="held", question=HOSTILE)
    held.arm("d4", D4).arm("d8", D8).manifest()
    fell = Sweep(
        folder / "archive", name="fell", source=OTHER, arms={"d4": {}, "d8": {"expect": "worse", "claim": "d8 loses"}}
    )
    fell.arm("d4", D4).arm("d8", D8).manifest()
    open_ = Sweep(folder / "archive", name="open", source=OTHER, arms={"d4": {}, "d8": {"expect": "better"}, "d16": {}})
    open_.arm("d4", D4[:2]).arm("d8", D8[:2]).arm("d16", D8[:2]).manifest()
    silent = Sweep(folder / "runs", name="silent")
    silent.claim = None  # type: ignore[assignment]
    silent.manifest()
    told: list[str] = []
    made = write_site([folder / "runs", folder / "archive"], folder / "site", told.append)
    assert told == ["[1/4] fell", "[2/4] held", "[3/4] open", "[4/4] silent"]
    return made


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]


def test_every_claim_stands_on_it_with_its_outcome_its_source_and_its_report(site: Site) -> None:
    assert {entry.name: entry.outcomes for entry in site.entries} == {
        "fell": ["contradicted"],
        "held": ["confirmed"],
        "open": ["undecided", "no expectation"],
    }
    assert len(site.left_out) == 1
    assert site.left_out[0].startswith("silent: ")
    found = by_source(site.entries)
    assert {source: {kind: len(items) for kind, items in kinds.items()} for source, kinds in found.items()} == {
        "Other et al. 2021, arXiv:2101.00001": {"confirmed": 0, "contradicted": 1, "undecided": 1},
        "Someone et al. 2024, section 3": {"confirmed": 1, "contradicted": 0, "undecided": 0},
    }
    assert summary(site.entries).startswith(
        "3 claims with 3 expectations: 1 confirmed, 1 contradicted, 1 undecided. 12 runs, "
    )  # the runs of d4 and d8 serve all three
    text = site.path.read_text(encoding="utf-8")
    page = _Links(text)
    assert page.tags.count("script") == 1, "what a claim says is no code"
    assert {"fell/report.html", "held/report.html", "open/report.html"} == set(page.links)
    assert all((site.path.parent / link).is_file() for link in page.links)
    assert "http" not in re.sub(r"http-equiv", "", text), "nothing is fetched"
    for word in ("d8 loses", "beats", "&lt;script&gt;"):
        assert word in text


def test_a_scale_has_both_ends_where_they_lie_apart() -> None:
    assert Scale(9.9e5, 1e6, 1.01e6).words == ["1 M"]
    assert Scale(3e5, 1e6, 3e6).words == ["300 k", "3 M"]
    assert Scale(math.nan, math.nan, math.nan).words == ["–"]


def test_an_arm_may_have_a_source_of_its_own_and_an_expectation_at_each_size(tmp_path: Path) -> None:
    arms = {"d4": {}, "d8": {"expect": "better", "claim": "deep wins", "source": OTHER}, "d16": {"expect": "better"}}
    sized = Sweep(tmp_path / "runs", name="sized", arms=arms, sizes={"1m": ["shape=1m"], "3m": ["shape=3m"]})
    for size in ("1m", "3m"):
        for arm in arms:
            sized.arm(f"{arm}@{size}", D4)
    sized.manifest()
    (entry,) = write_site([sized.root], tmp_path / "site", print).entries
    first, second = (item for item in entry.results if item.expected.startswith("deep wins"))
    assert (first.expected, first.source) == ("deep wins at 1m", "Other et al. 2021, arXiv:2101.00001")
    assert second.expected == "deep wins at 3m"
    others = {item.source for item in entry.results} - {first.source}
    assert others == {paper(sized.claim["source"])}
    report = (tmp_path / "site" / "sized" / "report.md").read_text(encoding="utf-8")
    assert f"better (deep wins; {OTHER})" in report


def test_a_source_is_the_work_that_it_names() -> None:
    assert paper("Su et al. 2021, arXiv:2104.09864 (rotary); others") == "Su et al. 2021, arXiv:2104.09864"
    assert paper("none: this tests the harness") == "none"


def test_the_command_writes_it_or_says_in_a_line_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no sweep under"):
        write_site([tmp_path], tmp_path / "site", print)
    for words, said in ((["x", "--all"], "tinylm report NAME"), ([], "tinylm report NAME"), (["--all"], "no sweep")):
        code, told = dispatch(["report", *words]), capsys.readouterr().err
        assert (code, said in told, told.count("\n")) == (2, True, 1)
    sweep = Sweep(tmp_path / "runs", name="planned")
    for arm in ("d4", "d8"):
        sweep.run(arm, 0, None, record=False)
    sweep.manifest()
    assert dispatch(["report", "--all"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("1 claim with 1 expectation: 0 confirmed, 0 contradicted, 1 undecided. 0 runs, 0.0 hours.")
    assert str(tmp_path / "reports" / "index.html") in told
    assert (tmp_path / "reports" / "planned" / "report.html").is_file()
    assert ">0 of 2</td>" in (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")


def test_hours_are_never_fewer_than_their_parts(tmp_path: Path) -> None:
    """Records of runs that went on from a checkpoint told the last process's time as that of the whole."""
    resumed = {"seconds": 3600.0, "watch_seconds": 360.0, "wall_seconds": 900.0}
    sweep = Sweep(tmp_path / "runs")
    sweep.run("d4", 0, 1.9, cost=resumed)
    sweep.run("d8", 0, 1.9, cost={**resumed, "wall_seconds": 7200.0})
    (row,) = ledger(by_arm(sweep.frame(), sweep.manifest())).query("stage == 'all'").to_dict("records")
    assert row["hours"] == pytest.approx(1.1 + 2)
    assert [wall_seconds(cost) for cost in (resumed, {"seconds": 5}, {}, {"wall_seconds": 7.0})] == [3960, 5, 0, 7]


def test_the_whole_site_counts_a_run_of_two_claims_once(tmp_path: Path) -> None:
    for name, arm in (("one", "d8"), ("two", "d16")):
        sweep = Sweep(tmp_path / "runs", name=name, arms={"d4": {}, arm: {}})
        sweep.arm("d4", D4[:2], cost={"wall_seconds": 3600.0}).arm(arm, D8[:2], cost={"wall_seconds": 7200.0})
        sweep.run(arm, 2, None, record=False)
        sweep.manifest()
    entries = write_site([tmp_path / "runs"], tmp_path / "site", lambda told: None).entries
    assert [entry.spent["hours"] for entry in entries] == pytest.approx([6, 6])
    assert summary(entries).endswith(". 6 runs, 10.0 hours.")


def test_the_ledger_counts_every_run_once_and_energy_only_where_it_was_measured(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs", tune={"params": {"optim.lr": [0.001, 0.002]}, "seeds": [100]})
    sweep.tune("d4", {0.001: 2.0, 0.002: None}, cost={"seconds": 1800.0})
    sweep.arm("d4", D4[:2], cost={"seconds": 3600.0, "wall_seconds": 7200.0, "energy_joules": 1.8e6})
    sweep.run("d8", 0, 1.9, status="failed", cost={"seconds": 360.0})
    sweep.run("d8", 1, None, record=False)
    sweep.jobs.append({**sweep.jobs[2], "arm": "d8"})  # one run in two arms
    sweep.jobs.append({**sweep.jobs[2], "stage": "parent"})  # and at once a parent
    frame = ledger(by_arm(sweep.frame(), sweep.manifest()))
    rows = frame.set_index("stage").to_dict("index")
    assert list(rows) == ["comparing", "tuning", "all"]
    assert [rows["all"][name] for name in ("planned", "done", "diverged", "failed")] == [6, 3, 1, 1]
    assert rows["tuning"]["hours"] == pytest.approx(1.0)
    assert rows["comparing"]["hours"] == pytest.approx(2 * 2 + 0.1)
    assert rows["all"]["training hours"] == pytest.approx(1 + 2 + 0.1)
    assert rows["all"]["FLOPs"] == pytest.approx(5 * 3.6e13)
    assert rows["all"]["energy"] == pytest.approx(1.0)
    assert math.isnan(rows["tuning"]["energy"])
    shown = ledger_table(frame)["energy (kWh)"].tolist()
    assert shown == ["1", "–", "1 (2 of 3 runs)"]
    for hours, told in ((1, "≤ 1"), (2, "1")):  # each takes two, and each counts all that the machine took
        for seed in (0, 1):
            started = f"2026-01-01T{10 + hours * seed}:00:00+00:00"
            cost = {"wall_seconds": 7200.0, "energy_joules": 1.8e6}
            sweep.run("d4", seed, D4[seed], cost=cost, provenance={"started": started})
        assert ledger_table(ledger(by_arm(sweep.frame(), sweep.manifest())))["energy (kWh)"][0] == told
    assert ledger(pd.DataFrame({"stage": [], "key": [], "status": []})).empty


SCRIPT = """<script>
const told = {}, rows = () => [...document.querySelectorAll("#claims tbody tr")];
const names = () => rows().filter(row => row.offsetParent).map(row => row.querySelector("a").textContent);
const words = document.getElementById("words"), heads = document.querySelectorAll("#claims thead button");
const type = text => { words.value = text; words.dispatchEvent(new Event("input")); };
told.all = names();
type("table CONTRADICTED"); told.search = [names(), document.getElementById("shown").textContent]; type("");
document.querySelector("input[value=contradicted]").click(); told.unchecked = names();
document.querySelector("input[value=contradicted]").click();
heads[5].click(); told.most_runs = [names(), heads[5].parentNode.ariaSort];
heads[5].click(); told.fewest_runs = [names(), heads[5].parentNode.ariaSort];
heads[0].click(); told.by_name = [names(), heads[5].parentNode.ariaSort];
told.unnamed = [...document.querySelectorAll("button, a, input")].filter(
  item => !(item.textContent || item.closest("label")?.textContent || "").trim()).length;
told.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
const frame = document.createElement("iframe");
frame.width = 360; frame.src = "plain.html";
frame.onload = () => {
  const page = frame.contentDocument.documentElement;
  told.phone = page.scrollWidth - page.clientWidth;
  told.cards = getComputedStyle(frame.contentDocument.querySelector("#claims tr")).display;
  const told_ = document.createElement("pre");
  told_.id = "told"; told_.textContent = JSON.stringify(told); document.body.append(told_);
};
document.body.append(frame);
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to open the page with")
def test_a_browser_sorts_filters_and_fits_it_to_a_phone(site: Site, tmp_path: Path) -> None:
    html = site.path.read_text(encoding="utf-8").replace("default-src 'none'", "default-src 'none'; frame-src file:")
    (tmp_path / "plain.html").write_text(html, encoding="utf-8")
    (tmp_path / "tried.html").write_text(html.replace("</body>", f"{SCRIPT}</body>"), encoding="utf-8")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--enable-logging=stderr"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,900", "--virtual-time-budget=5000"]
    ended = subprocess.run(
        [str(CHROMIUM), *words, "--dump-dom", f"file://{tmp_path}/tried.html"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in ended.stderr, ended.stderr
    found = re.search(r'<pre id="told">(.*?)</pre>', ended.stdout, re.DOTALL)
    assert found is not None, ended.stderr
    assert json.loads(found.group(1)) == {
        "all": ["fell", "held", "open"],
        "search": [["fell"], "1 of 3 claims"],
        "unchecked": ["held", "open"],
        "most_runs": [["fell", "held", "open"], "descending"],
        "fewest_runs": [["open", "fell", "held"], "ascending"],
        "by_name": [["fell", "held", "open"], None],
        "unnamed": 0,
        "wide": 0,
        "phone": 0,
        "cards": "block",
    }
