"""Claims, frames, pages and archives: what goes in comes out, and bad input is named."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_sweep import CLAIM, D4, D8, Sweep

from tinylm.errors import UserError
from tinylm.record import RunRecord
from tinylm.report.claims.claim import Claim
from tinylm.report.claims.manifest import read_manifest
from tinylm.report.claims.portable import command, portable
from tinylm.report.figures.style import spread
from tinylm.report.judgement.verdict_tables import terminal_table
from tinylm.report.judgement.wording import amount, answer, sentence, signed
from tinylm.report.pages.page import write_report
from tinylm.report.records.archive import CHARACTERS, LINES, archive, shortened, thinned
from tinylm.report.records.arms import by_arm
from tinylm.report.records.collect import collect, flatten
from tinylm.report.records.history import history
from tinylm.report.tables.costs import spent_table
from tinylm.report.tables.markdown import list_item, markdown
from tinylm.report.tables.training import training_table
from tinylm.report.tables.vocabularies import vocabulary_table
from tinylm.runs.items import write_items

HOSTILE = '<script>alert("x")</script> --> & $5 | 中'


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    arms = {"d2": {"expect": "worse"}, "d4": {"label": HOSTILE}, "d8": {"expect": "better"}}
    grid = [0.001, 0.002, 0.004]
    tune = {"params": {"optim.lr": grid}, "seeds": [100]}
    made = Sweep(tmp_path_factory.mktemp("page") / "runs", arms=arms, tune=tune, question=HOSTILE)
    for arm, shift in (("d2", 0.03), ("d4", 0.0), ("d8", -0.02)):
        made.tune(arm, {rate: 1.9 + 10 * abs(rate - 0.002) for rate in grid[:2]} | {0.004: None})
        for seed, score in enumerate(D4):
            score = None if (arm, seed) == ("d2", 4) else score + shift * (1 + 0.05 * seed) + 0.001 * ((seed * 7) % 3)
            status = "done" if score is not None else "diverged"
            made.run(arm, seed, score, params={"optim.lr": 0.002}, status=status, history=200)
    made.manifest()
    return made


@pytest.fixture(scope="module")
def page(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_report(sweep.name, [sweep.root], out)
    return out


BAD_CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"basline": "d4"}, "unknown key 'basline'; did you mean 'baseline'?"),
    "unknown key of an arm": ({"arms": {"d4": {}, "d8": {"expct": "better"}}}, "claim.arms.d8: unknown key 'expct'"),
    "unknown expectation": ({"arms": {"d4": {}, "d8": {"expect": "beter"}}}, "did you mean 'better'"),
    "unknown unit": ({"equal": "parameter"}, "did you mean 'parameters'"),
    "unknown baseline": ({"baseline": "d5"}, "claim.baseline: no arm is called 'd5'"),
    "unknown opponent": ({"arms": {"d4": {}, "d8": {"against": "d9"}}}, "no arm is called 'd9'"),
    "own opponent": ({"arms": {"d4": {}, "d8": {"against": "d8"}}}, "cannot be compared with itself"),
    "one arm": ({"arms": {"d4": {}}}, "one arm alone"),
    "expecting baseline": ({"arms": {"d4": {"expect": "better"}, "d8": {}}}, "the baseline is compared with nothing"),
    "seed twice": ({"seeds": [1, 1]}, "claim.seeds: seed 1 is named twice"),
    "no seeds": ({"seeds": []}, "at least one seed"),
    "seed as text": ({"seeds": [0, "1"]}, "claim.seeds[1]: expected int, got '1'"),
    "flag as number": ({"delta": True}, "claim.delta: expected float, got True"),
    "no effect worth having": ({"delta": 0}, "claim.delta: 0.0 is not above 0"),
    "factor as text": ({"factor": "shape.depth"}, "claim.factor: expected a list"),
    "tuned on compared seeds": ({"tune": {"params": {"optim.lr": [1]}, "seeds": [4]}}, "seed 4 is compared on too"),
    "empty grid": ({"tune": {"params": {"optim.lr": []}, "seeds": [9]}}, "claim.tune.params.optim.lr: the grid"),
}


@pytest.mark.parametrize(("text", "item"), [("+ norm wins", r"- \+ norm wins"), ("1e-3 wins", "- 1e-3 wins")])
def test_a_label_of_a_plus_makes_no_list_within_the_list(text: str, item: str) -> None:
    assert list_item(text) == item


@pytest.mark.parametrize("case", BAD_CLAIMS)
def test_a_bad_claim_is_one_line_that_names_the_culprit(case: str) -> None:
    change, message = BAD_CLAIMS[case]
    with pytest.raises(UserError) as caught:
        Claim.parse({**copy.deepcopy(CLAIM), **change})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_claim_must_declare_what_decides() -> None:
    for key in ("question", "source", "factor", "baseline", "arms", "equal", "delta", "seeds"):
        with pytest.raises(UserError, match=f"the key '{key}' is missing"):
            Claim.parse({name: value for name, value in CLAIM.items() if name != key})


def test_a_manifest_keeps_its_claim_and_the_order_of_its_arms(sweep: Sweep) -> None:
    manifest = read_manifest(sweep.name, sweep.root)
    assert manifest.claim == Claim.parse(sweep.claim)
    assert manifest.claim is not None
    assert list(manifest.claim.arms) == ["d2", "d4", "d8"]
    ordered = Sweep(sweep.root.parent / "ordered", arms={"d8": {}, "d4": {}, "d16": {}}).arm("d8", D8).arm("d4", D4)
    claim = ordered.arm("d16", D8).manifest().claim
    assert claim is not None
    assert list(claim.arms) == ["d8", "d4", "d16"]


def test_collect_has_a_row_a_run_with_everything_by_name(sweep: Sweep) -> None:
    frame = collect(sweep.root, sweep.root)
    assert len(frame) == len(sweep.jobs) == frame["key"].nunique()
    row = frame.set_index("key").loc["d8-compare-0-0.002"]
    assert (row["shape.depth"], row["seed"], row["model/ffn"], row["status"]) == (8, 0, "swiglu", "done")
    assert row["accounting.parameters.total"] == 1_000_800
    assert (row["cost.tokens"], row["provenance.packages.torch"]) == (6_000_000, "2.13.0")
    assert row["bits_per_byte"] == pytest.approx(D4[0] - 0.02)
    diverged = frame.set_index("key").loc["d2-compare-4-0.002"]
    assert pd.isna(diverged["bits_per_byte"])
    assert diverged["error"]["step"] == 7


def test_of_two_copies_the_one_that_got_further_counts(tmp_path: Path) -> None:
    for place, status in (("a", "failed"), ("b", "done")):
        Sweep(tmp_path / place).run("d4", 0, 1.9, status=status)
    frame = collect(tmp_path / "a", tmp_path / "b")
    assert frame[["status", "root"]].to_numpy().tolist() == [["done", str(tmp_path / "b")]]


def test_torn_files_are_named_and_left_out(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs").arm("d4", D4, history=5)
    (sweep.root / "d4-compare-0" / "record.json").write_text('{"key": "d4', encoding="utf-8")
    (sweep.root / "d4-compare-1" / "record.json").write_text("[]", encoding="utf-8")
    with (sweep.root / "d4-compare-2" / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 60, "los')
    (sweep.root / "unfinished").mkdir()
    frame, curves = collect(sweep.root), history(sweep.root)
    assert len(frame) == 3
    assert [text.split("runs/")[1].split("/")[0] for text in frame.attrs["warnings"]] == [
        "d4-compare-0",
        "d4-compare-1",
    ]
    assert "d4-compare-2/history.jsonl:6" in curves.attrs["warnings"][0]
    assert (curves.query("key == 'd4-compare-2' and name == 'loss'")["step"] == [10, 20, 30, 40, 50]).all()
    with pytest.raises(UserError, match="no such folder"):
        collect(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert collect(tmp_path / "empty").empty
    assert history(tmp_path / "empty").empty


def test_many_metrics_are_no_cause_for_complaint(sweep: Sweep) -> None:
    """As a sparse model of four domains has; pandas warns of 100 columns that lie apart, and warnings fail here."""
    runs = sweep.frame()
    mixed = pd.DataFrame({f"m{i}": pd.Series([1 if i % 2 else 0.5] * len(runs)) for i in range(300)})
    many = pd.concat([runs, mixed], axis=1)
    assert "more" in by_arm(many[::-1], sweep.manifest()).assign(more=1.0)


def test_history_is_long_and_reads_only_the_keys_asked_for(sweep: Sweep) -> None:
    curves = history(sweep.root, sweep.root, keys={"d8-compare-0-0.002"})
    assert list(curves.columns) == ["key", "root", "round", "step", "tokens", "name", "value"]
    assert (curves["name"] == "loss").sum() == 200
    assert curves["key"].unique().tolist() == ["d8-compare-0-0.002"]


@given(st.dictionaries(st.text("abc", min_size=1), st.integers() | st.dictionaries(st.text("de"), st.integers())))
def test_flattening_keeps_every_leaf(tree: dict[str, Any]) -> None:
    leaves = sum(len(value) if isinstance(value, dict) and value else 1 for value in tree.values())
    assert len(flatten(tree)) == leaves


class _Text(HTMLParser):
    """Collects tags and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_answers_first_escapes_and_needs_nothing_else(page: Path, sweep: Sweep) -> None:
    html = (page / "report.html").read_text(encoding="utf-8")
    read = _Text()
    read.feed(html)
    names = {tag for tag, _ in read.tags}
    assert "script" not in names
    assert not {"img", "link", "iframe"} & names
    assert not any(str(value).startswith(("http", "//")) for tag, a in read.tags if tag == "a" for value in a.values())
    assert any(tag == "meta" and attrs.get("name") == "viewport" for tag, attrs in read.tags)
    words = " ".join(read.words)
    assert HOSTILE in words
    assert "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}" in words, "a number parts from its name at no line's end"
    words = words.replace("\N{NO-BREAK SPACE}", " ")
    shown = sweep.verdicts()
    assert words.index(answer(shown)) < words.index("Every seed")
    assert all(words.count(sentence(comparison, shown)) == 1 for comparison in shown.comparisons)
    assert html.count("<svg") == 4
    for seed, score in enumerate(D4):
        assert f"{score + 0.001 * ((seed * 7) % 3):.4f}" in words  # every seed of the baseline
    assert "diverged" in words


def test_the_other_files_say_the_same(page: Path, sweep: Sweep) -> None:
    verdicts = json.loads((page / "verdicts.json").read_text(encoding="utf-8"))
    assert verdicts == json.loads(json.dumps(sweep.verdicts().as_json()))
    table = pd.read_csv(page / "results.csv")
    assert len(table) == len(sweep.jobs)
    assert {"arm", "stage", "seed", "bits_per_byte", "cost.seconds", "optim.lr"} <= set(table.columns)
    text = (page / "report.md").read_text(encoding="utf-8")
    assert "`tinylm sweep depth_width`" in text
    assert "Example CPU" in text
    assert "\\label{tab:depth_width-verdict}" in (page / "tables.tex").read_text(encoding="utf-8")
    names = {path.name for path in (page / "figures").iterdir()}
    figures = ("differences", "learning_curves", "quality", "sensitivity")
    assert names == {f"{name}.{kind}" for name in figures for kind in ("png", "svg")}


def test_a_report_made_again_from_its_archive_says_the_same(page: Path, sweep: Sweep, tmp_path: Path) -> None:
    where = archive(sweep.name, [sweep.root], tmp_path)
    archive(sweep.name, [where], tmp_path)  # onto itself: nothing is lost
    again = write_report(sweep.name, [where], tmp_path / "again")
    assert again.verdicts == sweep.verdicts()
    assert (tmp_path / "again" / "verdicts.json").read_bytes() == (page / "verdicts.json").read_bytes()
    lines = (where / "d8-compare-0-0.002" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert LINES <= len(lines) <= LINES + 15
    assert sum("tune_bits_per_byte" in line for line in lines) == 12
    assert not list(where.rglob("*.parquet"))


def test_thinning_keeps_both_ends() -> None:
    lines = [{"step": step} for step in range(1, 1001)]
    kept = thinned(lines)
    assert (len(kept), kept[0], kept[-1]) == (LINES, lines[0], lines[-1])
    assert thinned(lines[:7]) == lines[:7]


def test_an_archive_keeps_what_a_run_inherited(tmp_path: Path) -> None:
    small = {"parent": "p", "layers": {"0": 0, "1": 7}, "layer_losses": {"whole": 2.0, "without": [2.5, 2.1]}}
    large = {"tensors": {f"blocks.{n}.weight": {"from": "x" * 40} for n in range(400)}, "kept": {"ids": "1,3," * 5000}}
    sweep = Sweep(tmp_path / "runs").arm("d4", D4[:2]).arm("d8", D8[:2])
    for seed, told in enumerate((small, small | large)):
        text = json.dumps({"inherit": told, "scratch": {}})
        (sweep.root / f"d8-compare-{seed}" / "inheritance.json").write_text(text, encoding="utf-8")
    sweep.manifest()
    where = archive(sweep.name, [sweep.root], tmp_path / "out")
    whole, thin = (json.loads((where / f"d8-compare-{n}" / "inheritance.json").read_text("utf-8")) for n in range(2))
    assert whole == {"inherit": small, "scratch": {}}
    assert thin == {"inherit": {**small, "left_out": ["tensors", "kept"]}, "scratch": {}}
    assert len(json.dumps(thin)) < CHARACTERS
    assert shortened(thin) == thin
    assert not (where / "d4-compare-0" / "inheritance.json").exists()


def test_an_archive_keeps_tables_that_are_not_of_documents(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs").arm("d4", D4[:2]).arm("d8", D8[:2])
    sweep.manifest()
    scored = {"document": [0, 1, 2], "bits": [1.0, 2.0, 3.0]}
    routed = {"layer": [1, 1], "expert": [0, 1], "share": [0.25, 0.75]}
    for key, tables in {"d8-compare-0": {"bits": scored, "routing": routed}, "d8-compare-1": {"bits": scored}}.items():
        record = RunRecord.read(sweep.root / key)
        record.items = write_items(sweep.root / key, tables)
        record.write(sweep.root / key)
    where = archive(sweep.name, [sweep.root], tmp_path / "out")
    kept = pd.read_parquet(where / "d8-compare-0" / "items.parquet")
    assert kept.to_dict("list") == {"evaluator": ["routing", "routing"], **routed}
    assert RunRecord.read(where / "d8-compare-0").items == "items.parquet"
    assert RunRecord.read(where / "d8-compare-1").items is None
    assert len(list(where.rglob("*.parquet"))) == 1


def test_what_is_shared_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    def told(folder: str) -> dict[str, Any]:
        return {"data.paths": [f"{folder}/wiki.txt.gz"], "cache": f"{tmp_path}/cache"}

    sweep = Sweep(tmp_path / "runs")
    for arm, scores in (("d4", D4[:2]), ("d8", D8[:2])):
        for seed, score in enumerate(scores):
            sweep.run(arm, seed, score, config=told("/home/someone/text"))
    sweep.manifest()
    path = sweep.root / "sweeps" / f"{sweep.name}.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    plan["command"] = "tinylm sweep depth_width 'data.paths=[../text/wiki.txt.gz]'"
    plan["jobs"][0]["overrides"] = ["data.paths=[/home/someone/text/wiki.txt.gz]"]
    path.write_text(json.dumps(plan), encoding="utf-8")
    report = write_report(sweep.name, [sweep.root], tmp_path / "out")
    archive(sweep.name, [sweep.root], tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".csv", ".md", ".html")]
    assert len(files) >= 8
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not any(word in text for word in ("/home/", "../text", str(tmp_path))), file
    assert "data.paths=[wiki.txt.gz]" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    again = write_report(sweep.name, [tmp_path / "out" / "runs", sweep.root], tmp_path / "again")  # joined: one text
    assert again.verdicts.comparisons == report.verdicts.comparisons


def test_a_report_says_what_was_trained_on_what(tmp_path: Path) -> None:
    """A verdict holds at its size, budget and text, so the page has to tell all three."""
    sweep = Sweep(tmp_path / "runs")
    for arm, scores, width in (("d4", D4, 128), ("d8", D8, 96)):
        sweep.arm(arm, scores, accounting={"shape": {"depth": int(arm[1:]), "width": width, "hidden": 2 * width}})
    sweep.tune("d4", {0.5: 2.0})
    placed = by_arm(sweep.frame(), sweep.manifest())
    told = training_table(placed).set_index("part")["settings"]
    assert told["data"] == "Files, paths *.txt, hash c0ffee"
    assert told["model"] == "ffn SwiGLU, ffn.multiple 8"
    assert (told["budget"], told["shape"]) == ("tokens 6,000,000", "depth 4 | 8, parameters 1,000,000")
    assert told["optim"] == "betas 0.9 0.95, lr 0.002", "of runs that are compared, not of those that tuned"
    shapes = spent_table(placed)["layers × width × hidden"]
    assert list(shapes) == ["4 × 128 × 256", "8 × 96 × 192"]
    write_report(sweep.name, [sweep.root], tmp_path / "out")
    for file in ("report.md", "report.html"):
        assert all(word in (tmp_path / "out" / file).read_text(encoding="utf-8") for word in (*shapes, told["data"]))


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("tinylm sweep x root=/a/runs data.paths=[/b/c.txt]", "tinylm sweep x data.paths=[c.txt]"),
        ("tinylm sweep x 'archives=[/a b/runs]' cache=c seed=1", "tinylm sweep x seed=1"),
        ("tinylm sweep x data.root=a", "tinylm sweep x data.root=a"),
    ],
)
def test_a_shown_command_does_not_say_where_results_lie(typed: str, shown: str) -> None:
    assert command(typed) == shown


def test_arms_left_out_on_the_command_line_are_told(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs").arm("d4", D4[:2]).arm("d8", D8[:2])
    sweep.manifest()
    path = sweep.root / "sweeps" / f"{sweep.name}.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    words = ["~claim.arms.body_d2", "~claim.arms.body-d8={}", "~claim.tune", "claim.arms.d8.label=x"]
    for typed, told in (
        (["tinylm", "sweep", "depth_width", *words], "left out on the command line: body_d2, body-d8\n"),
        (["tinylm", "sweep", "depth_width", "~claim.tune"], None),
    ):
        path.write_text(json.dumps(plan | {"command": shlex.join(typed)}), encoding="utf-8")
        write_report(sweep.name, [sweep.root], tmp_path / "out")
        text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
        assert ("left out" in text) == (told is not None)
        assert told is None or f"- {told}" in text


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("../data/a.txt.gz", "a.txt.gz"),
        ("~/data/a.txt", "a.txt"),
        ("paths=[/data/a.gz, ./b/c.gz]", "paths=[a.gz, c.gz]"),
        ({"root": "/home/someone/runs", "n": 1}, {"root": "runs", "n": 1}),
        ("runs/cache", "runs/cache"),
        ("<b>x</b>", "<b>x</b>"),
        ("model/ffn=moe", "model/ffn=moe"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("9,000 tokens/s, 1 / 2, 3/4", "9,000 tokens/s, 1 / 2, 3/4"),
    ],
)
def test_only_folders_of_this_machine_are_left_out(told: object, kept: object) -> None:
    assert portable(told) == kept


def test_a_sweep_that_has_not_run_yet_still_has_a_report(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs")
    for arm in ("d4", "d8"):
        sweep.run(arm, 0, None, record=False)
    sweep.manifest()
    report = write_report(sweep.name, [sweep.root], tmp_path / "out")
    assert [item.verdict for item in report.verdicts.comparisons] == ["refused"]
    assert not (tmp_path / "out" / "figures").exists()


def test_the_terminal_table_shows_verdict_reason_and_warnings(sweep: Sweep) -> None:
    shown = terminal_table(sweep.verdicts())
    assert "worse" in shown
    assert "confirmed" in shown
    assert "1 of 5 against 0 of 5 diverged" in shown
    assert markdown(pd.DataFrame({"a|b": ["c|d"]})).splitlines()[-1] == "| c\\|d |"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_labels_never_touch_and_stay_inside(heights: list[float]) -> None:
    placed = spread(heights, 0.1, 0.0, 1.0)
    ordered = np.sort(placed)
    assert (np.diff(ordered) >= 0.1 - 1e-9).all()
    assert ordered[0] >= -1e-9
    assert ordered[-1] <= 1 + 1e-9
    assert np.array(placed)[np.argsort(heights, kind="stable")].tolist() == ordered.tolist()


def test_numbers_in_words() -> None:
    assert (amount(6e6), amount(3.6e13), amount(1234.0), amount(float("nan"))) == ("6 M", "36 T", "1,234", "–")
    assert (amount(999_600.0), amount(9_999.6), amount(12_345.0)) == ("1 M", "10,000", "12.3 k")
    assert signed(-0.5, 2) == "\N{MINUS SIGN}0.50"


def test_results_are_read_without_torch() -> None:
    code = (
        "import sys, tinylm.report.pages.page, tinylm.report.judgement.power, tinylm.report.judgement.compare\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_a_report_tells_what_pruning_the_tokenizer_did(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "runs").arm("d4", D4)
    pruning = {"original": "ab12", "original_vocab": 4096, "vocab": 2048, "closure": 31, "unreachable": 0}
    for seed, score in enumerate(D8):
        told = {"tokenizer_pruning": {**pruning, "coverage": 0.88 + 0.01 * seed, "vocabulary_share": 0.25}}
        sweep.run("d8", seed, score, provenance=told)
    (row,) = vocabulary_table(by_arm(sweep.frame(), sweep.manifest())).to_dict("records")  # none of the other arm
    assert row == {
        "arm": "d8",
        "ids before": "4,096",
        "ids kept": "2,048",
        "of them for merges alone": "31",
        "unreachable": "0",
        "coverage": "90.0%",
        "share of parameters": "25.0%",
    }
    write_report(sweep.name, [sweep.root], tmp_path / "out")
    for file in ("report.md", "report.html"):
        said = (tmp_path / "out" / file).read_text(encoding="utf-8")
        assert all(cell in said for cell in ("Pruned tokenizers", *row, *row.values()))
