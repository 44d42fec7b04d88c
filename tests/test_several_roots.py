"""One sweep under several roots: what was declared first and what was added in which turn, whichever comes first."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_sweep import D4, D8, Sweep

from tinylm.compose.restart import continued, earlier
from tinylm.errors import UserError
from tinylm.files import write_json
from tinylm.report.claims.manifest import read_manifest
from tinylm.report.judgement.compare import compare
from tinylm.report.records.archive import archive


def nine_seeds(root: Path, count: int) -> Sweep:
    """The same runs every time; three seeds are declared."""
    rng = np.random.default_rng(3)
    d4 = 1.9 + 0.003 * rng.standard_normal(9)
    d8 = d4 - 0.004 + 0.004 * rng.standard_normal(9)
    built = Sweep(root, seeds=[0, 1, 2], delta=0.005)
    return built.arm("d4", list(d4[:count])).arm("d8", list(d8[:count]))


def amended(root: Path) -> Path:
    """A root whose claim was declared anew, and whose seeds came in three turns."""
    built = nine_seeds(root, 9)
    path = built.manifest() and built.root / "sweeps" / f"{built.name}.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    told["first"] = {**copy.deepcopy(told["claim"]), "delta": 0.001}
    write_json(path, {**told, "added": [[3, 4, 5], [6, 7, 8]]})
    return built.root


def test_an_archive_tells_the_past_of_what_runs_here(tmp_path: Path) -> None:
    """Else a fresh clone would forget that its claim was declared anew, and pool seeds of several turns."""
    old, here = amended(tmp_path / "old"), nine_seeds(tmp_path / "here", 3)
    here.manifest()
    for roots in ([old], [here.root, old], [old, here.root]):
        found = compare("depth_width", *roots)
        assert found.amended
        assert read_manifest("depth_width", *roots).added == [[3, 4, 5], [6, 7, 8]]
        assert [sorted(item.differences) for item in found.comparisons] == [[6, 7, 8]]
    kept = archive("depth_width", [here.root, old], tmp_path / "out")
    assert read_manifest("depth_width", kept).amended == ["delta: 0.001 -> 0.005"]
    assert read_manifest("depth_width", kept).added == [[3, 4, 5], [6, 7, 8]]


def test_a_start_in_a_new_root_knows_what_an_archive_had_seen(tmp_path: Path) -> None:
    old, here = amended(tmp_path / "old"), tmp_path / "here"
    told = read_manifest("depth_width", old)
    assert told.claim is not None
    plan = dataclasses.replace(told, first=None, added=[], claim=dataclasses.replace(told.claim, seeds=[0, 1, 2, 3]))
    begun = continued(plan, None, [here, tmp_path / "none", old])
    assert begun.claim is not None
    assert (begun.claim.seeds, begun.added) == ([0, 1, 2], [[3, 4, 5], [6, 7, 8]])
    assert begun.amended == ["delta: 0.001 -> 0.005"]
    assert continued(plan, None, [here]) == plan, "nothing is known here"
    # A start narrowed to a fresh seed, tuning alone, and a start after either that forgot: all know.
    jobs = plan.jobs
    fresh = dataclasses.replace(jobs[0], key="d4-compare-9", seed=9)
    tuning = dataclasses.replace(jobs[0], key="d4-tune-100", stage="tune", seed=100)
    for start in ([fresh], [tuning, dataclasses.replace(tuning, arm="d8", key="d8-tune-100")]):
        narrow = continued(dataclasses.replace(plan, jobs=start), None, [here, old])
        assert narrow.amended == ["delta: 0.001 -> 0.005"]
        assert narrow.jobs == start, "the archive's runs stay where they are"
    forgot = dataclasses.replace(plan, jobs=[fresh])
    assert continued(plan, forgot, [here, old]).amended == ["delta: 0.001 -> 0.005"]
    assert continued(plan, forgot, [here, old]).added[:2] == [[3, 4, 5], [6, 7, 8]]
    other = dataclasses.replace(plan, jobs=[dataclasses.replace(job, key=f"other-{job.key}") for job in plan.jobs])
    assert continued(other, None, [here, old]) == other, "other runs: a plan of its own"
    (here / "sweeps").mkdir(parents=True)
    (here / "sweeps" / "depth_width.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"depth_width.json is not whole .*; take it away and start the sweep again"):
        earlier("depth_width", here)


def test_seeds_that_no_root_tells_of_are_a_turn(tmp_path: Path) -> None:
    """Two looks err in 10% of cases, not in 5%."""
    few, more = nine_seeds(tmp_path / "few", 3), nine_seeds(tmp_path / "more", 5)
    more.claim["seeds"] = [0, 1, 2, 3, 4]
    few.manifest()
    more.manifest()
    for roots in ([few.root, more.root], [more.root, few.root]):
        assert read_manifest("depth_width", *roots).added == [[3, 4]]
        warnings = " ".join(compare("depth_width", *roots).warnings)
        assert "errs in 10% of cases by 2 looks" in warnings


def test_turns_that_one_root_tells_are_not_pooled_by_one_that_does_not(tmp_path: Path) -> None:
    here, old = amended(tmp_path / "here"), nine_seeds(tmp_path / "old", 9)
    old.manifest()
    for roots in ([here, old.root], [old.root, here]):
        assert read_manifest("depth_width", *roots).added == [[3, 4, 5], [6, 7, 8]]


def test_seeds_that_were_declared_and_never_run_are_no_look(tmp_path: Path) -> None:
    built = Sweep(tmp_path, seeds=[0, 1, 2]).arm("d4", D4, first=3).arm("d8", D8, first=3)
    assert not [text for text in built.verdicts().warnings if "looks" in text]


def test_an_archive_cuts_the_folders_of_files_and_no_words(tmp_path: Path) -> None:
    built = Sweep(tmp_path / "runs").arm("d4", D4).arm("d8", D8)
    built.claim["arms"]["d8"] |= {"label": "depth 8 /width 2", "overrides": ["data.paths=[/home/me/text/a.txt]"]}
    built.manifest()
    kept = archive("depth_width", [built.root], tmp_path / "out")
    claim = read_manifest("depth_width", kept).claim
    assert claim is not None
    assert claim.arms["d8"].overrides == ["data.paths=[a.txt]"]
    assert claim.arms["d8"].label == "depth 8 /width 2"
    both = read_manifest("depth_width", built.root, kept)
    assert both.warnings == [], "they differ in nothing but the folders of one machine"
    assert dataclasses.replace(both, first=claim).amended == []
