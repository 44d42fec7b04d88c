"""Runs that begin from another: named by overrides or by key, trained first, found again, charged for."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_tokenizers import form, saved

from tests.commands import SMALL, text_files, tinylm
from tests.test_keys import job_of, key_of
from tinylm.cli.prune import awaited
from tinylm.compose import keys, ledger, parents, workers
from tinylm.compose.main import invoke
from tinylm.compose.rehearsal import rehearse
from tinylm.errors import Interrupted, UserError
from tinylm.record import RunRecord
from tinylm.runs import initial, lifecycle

INHERIT = ["init=inherit", 'init.parent.overrides=["shape.depth=4"]']

SWEEP = """# @package _global_
claim:
  question: Does a small run begin better from a larger one?
  source: a test
  factor: [init]
  baseline: scratch
  arms:
    scratch: {overrides: [init=scratch]}
    ends: {overrides: [init=inherit, 'init.parent.overrides=["shape.depth=4"]']}
    uniform: {overrides: [init=inherit, init.layers=uniform, 'init.parent.overrides=["shape.depth=4"]']}
  equal: bytes
  delta: 0.01
  seeds: [0, 1]
"""


def records(root: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in root.glob("*/record.json")}


def test_a_parent_keeps_its_childs_overrides_but_for_those_it_names() -> None:
    child = ["init=inherit", "init.layers=ends", "tokenizer=pruned", "tokenizer.vocab=300", "+shape.depth=2", "seed=3"]
    own = ["tokenizer=bpe", "shape.depth=4"]
    assert parents.inherited(child, own) == ["seed=3", "tokenizer=bpe", "shape.depth=4"]
    assert parents.inherited(["model/ffn=gelu", "model.ffn.x=1", "model.norm.y=2"], ["model/ffn=swiglu"]) == [
        "model.norm.y=2",
        "model/ffn=swiglu",
    ]
    nested = ["tokenizer=pruned", "tokenizer@tokenizer.of=file", "rounds=selected", "rounds/selection=uniform"]
    assert parents.inherited(nested, ["tokenizer=bpe", "rounds=single"]) == ["tokenizer=bpe", "rounds=single"]
    assert parents.inherited(nested[:1], nested[1:2]) == nested[:2]


def test_a_childs_key_follows_its_parents_numbers(tmp_path: Path) -> None:
    text = [*text_files(tmp_path), *SMALL]
    child = job_of(*text, *INHERIT)
    assert child.parent is not None
    assert child.parent.key == key_of(*text, "shape.depth=4")
    assert child.parent.config["keep"] == "needed"
    same = ["init=inherit", 'init.parent.overrides=["shape.depth=4","root=/elsewhere","init=scratch"]']
    assert key_of(*text, *same) == child.key
    assert key_of(*text, "init=inherit", 'init.parent.overrides=["shape.depth=5"]') != child.key
    assert key_of(*text, *INHERIT, "init.rescale=false") != child.key
    assert job_of(*text, *INHERIT, "seed=1").parent.key != child.parent.key  # type: ignore[union-attr]
    shared = [job_of(*text, *INHERIT, "init.parent.seed=7", f"seed={seed}").parent for seed in (0, 1)]
    assert shared[0].key == shared[1].key == key_of(*text, "shape.depth=4", "seed=7")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("overrides", "culprit"),
    [
        ([], "name the parent once"),
        (["init.parent.overrides=[]", "init.parent.run=abc"], "name the parent once"),
        (["init.parent.run=abc"], "no ended run's key begins with 'abc'"),
        (['init.parent.overrides=["shape.dept=4"]'], "dept"),
        (["+init.parent.overides=[]"], "did you mean 'overrides'?"),
        (['init.parent.overrides=["shape.depth=1"]'], "too small for its child (depth 1 < 2)"),
        (['init.parent.overrides=["model/ffn=gelu"]'], "GELU in the parent"),
        (['init.parent.overrides=["tokenizer.vocab=290"]'], "neither its parent's (BPE of 290 ids) nor pruned"),
        (['init.parent.overrides=["tokenizer.vocab=10"]'], "its parent: tokenizer.vocab=10 is below"),
    ],
)
def test_a_parent_named_wrongly_is_refused(tmp_path: Path, overrides: list[str], culprit: str) -> None:
    with pytest.raises(UserError) as caught:
        invoke([*text_files(tmp_path), *SMALL, f"root={tmp_path}/runs", "init=inherit", *overrides], command="")
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


def said_of(*words: str) -> str:
    """What is wrong with a run before anything is trained; nothing where nothing is."""
    return rehearse(job_of(*words)) or ""


def test_a_parent_has_room_for_however_many_ids_the_child_keeps(tmp_path: Path) -> None:
    """A coverage tells their number once text is counted: with fewer, equal parameters make a wider body."""
    words = [*text_files(tmp_path), "shape=0.3m", "shape.parameters=60000", "shape.depth=2", "batch.context=32"]
    words += ["tokenizer=pruned", "tokenizer.of.vocab=440", "tokenizer.vocab=null", "tokenizer.coverage=0.2"]
    parent = '"tokenizer=bpe","tokenizer.vocab=440"'
    tight = [*words, "init=inherit", f'init.parent.overrides=[{parent},"shape.parameters=61000"]']
    said = said_of(*tight)
    assert "too small for its child" in said
    assert "not known yet; with 258 this is so" in said
    assert said_of(*tight, "tokenizer.coverage=null", "tokenizer.vocab=440") == ""
    wide = '"shape.parameters=null","shape.width=128","shape.hidden=512"'
    assert said_of(*words, "init=inherit", f"init.parent.overrides=[{parent},{wide}]") == ""


def test_a_tokenizer_of_other_text_is_refused_before_the_parent_is_trained(tmp_path: Path) -> None:
    words = [*text_files(tmp_path), *SMALL, "init=inherit"]
    text_files(tmp_path / "other", 150)

    def with_parent(*own: str) -> list[str]:
        return [*words, f"init.parent.overrides=[{','.join(json.dumps(word) for word in own)}]"]

    elsewhere = with_parent("shape.depth=4", f"data.paths=[{tmp_path}/other/text.txt]")
    said = said_of(*elsewhere)
    assert "BPE of 300 ids of other text is another tokenizer, and data.paths of the child" in said
    assert "tokenizer=file" in said
    assert "data.tune of the child" in said_of(*with_parent("shape.depth=4", "data.tune=0.1"))
    pruned = ["tokenizer=pruned", "tokenizer.of.vocab=320"]
    own = ["tokenizer=bpe", "tokenizer.vocab=320", "shape.depth=4"]
    assert "BPE of 320 ids of other text" in said_of(*with_parent(*own, "data.tune=0.1"), *pruned)
    assert said_of(*with_parent(*own), *pruned) == ""

    # what is not trained on that text may read any: by another split, of other domains, with a given vocabulary
    held_out = [f"data.held_out=[{tmp_path}/other/text.txt]"]
    assert "data.held_out of the child" in said_of(*with_parent("shape.depth=4", *held_out))
    assert said_of(*with_parent("shape.depth=4", f"data.held_out=[{tmp_path}/text.txt]"), *held_out) == ""
    assert said_of(*(word for word in elsewhere if "vocab" not in word), "tokenizer=bytes") == ""
    file = saved(json.loads(form("letters")), tmp_path)
    given = [word for word in elsewhere if "vocab" not in word] + ["tokenizer=file", f"tokenizer.path={file}"]
    assert said_of(*given) == ""


def test_a_sweep_trains_parents_first_and_again_only_where_weights_are_needed(tmp_path: Path) -> None:
    (tmp_path / "mine" / "sweeps").mkdir(parents=True)
    (tmp_path / "mine" / "sweeps" / "begin.yaml").write_text(SWEEP)
    words = ["sweep", "begin", "--config-dir", "mine", *text_files(tmp_path / "text"), *SMALL, "keep=nothing"]
    planned = tinylm(*words, "--plan", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "stage parent: 2 runs, 0 done, 2 to do" in planned.stdout
    assert "its parent has" in planned.stdout

    first = tinylm(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "parents: 2 runs, 0 done, 2 to do" in first.stderr
    done = records(tmp_path / "runs")
    assert len(done) == 8
    assert {record["status"] for record in done.values()} == {"done"}
    children = {key: record for key, record in done.items() if "parent" in record["provenance"]}
    assert len(children) == 4
    for key, record in children.items():
        parent = done[record["provenance"]["parent"]]
        assert parent["config"]["seed"] == record["config"]["seed"]
        assert parent["accounting"]["shape"]["depth"] == 4
        assert record["cost"]["parent_flops"] == parent["cost"]["flops"] > 0
        assert not (tmp_path / "runs" / key / "initial.safetensors").exists()
        details = json.loads((tmp_path / "runs" / key / "inheritance.json").read_text())
        assert "blocks.1.ffn.down.weight" in json.dumps(details)
    manifest = json.loads((tmp_path / "runs" / "sweeps" / "begin.json").read_text())
    assert {entry["stage"] for entry in manifest["jobs"]} == {"parent", "compare"}

    again = tinylm(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "parents: 2 runs, 2 done, 0 to do" in again.stderr
    assert awaited(tmp_path / "runs") == set()

    key, child = next(iter(children.items()))
    shutil.rmtree(tmp_path / "runs" / key)
    assert child["provenance"]["parent"] in awaited(tmp_path / "runs")
    (tmp_path / "runs" / child["provenance"]["parent"] / "weights.safetensors").unlink()
    repaired = tinylm(*words, cwd=tmp_path)
    assert repaired.returncode == 0, repaired.stderr
    assert "parents: 2 runs, 1 done, 1 to do" in repaired.stderr
    assert records(tmp_path / "runs")[key]["metrics"] == child["metrics"]


def test_a_child_waits_for_its_own_parent_alone() -> None:
    """With three parents and two workers no core idles until the third has ended."""

    class Task(SimpleNamespace):
        def ancestors(self) -> list[Task]:
            return self.elders

    old, young = Task(key="old", elders=[], folder=Path("old")), Task(key="young", elders=[], folder=Path("young"))
    son = Task(key="son", elders=[old], folder=Path("son"))
    grandson = Task(key="grandson", elders=[old, son], folder=Path("grandson"))
    jobs: Any = [young, old, grandson, son]
    waiting, running, begun = deque(range(4)), set[int](), list[str]()
    nursery: Any = SimpleNamespace(start=lambda index, task: begun.append(task.key))
    progress: Any = SimpleNamespace(begin=lambda folder: None)
    for ended, now in (
        (None, ["young", "old"]),
        (1, ["young", "old", "son"]),
        (3, ["young", "old", "son", "grandson"]),
    ):
        running.discard(ended)  # type: ignore[arg-type]
        workers._start(jobs, waiting, running, 2, nursery, progress)
        assert begun == now


def test_a_child_of_the_same_shape_begins_where_its_parent_ended(tmp_path: Path) -> None:
    words = [*text_files(tmp_path / "text"), *SMALL, "optim.lr=1e-12", "precision=fp32"]
    child = tinylm(
        "run", *words, "init=inherit", 'init.parent.overrides=["optim.lr=0.01","budget.amount=30"]', cwd=tmp_path
    )
    assert child.returncode == 0, child.stderr
    by_parent = {bool(r["provenance"].get("parent")): r for r in records(tmp_path / "runs").values()}
    ours, theirs = by_parent[True]["metrics"], by_parent[False]["metrics"]
    assert ours["bits_per_byte"] == pytest.approx(theirs["bits_per_byte"], abs=1e-6)

    key = by_parent[False]["key"]
    named = tinylm("run", *words, "init=inherit", f"init.parent.run={key[:6]}", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    assert by_parent[True]["key"] in named.stdout  # the same parent, named otherwise: the same run


def test_children_of_a_parent_that_diverged_fail_by_name(tmp_path: Path) -> None:
    diverging = 'init.parent.overrides=["optim.lr=1e30","update.clip=1e30","precision=fp32"]'
    words = [*text_files(tmp_path / "text"), *SMALL, f"root={tmp_path}/runs", "init=inherit", diverging]
    ended = invoke(words, command="").record
    assert ended is not None
    assert ended.status == "failed"
    assert "diverged at step" in ended.error["message"]  # type: ignore[index]
    with pytest.raises(UserError, match=r"diverged at step .*smaller learning rate"):  # known before anything is read
        invoke(words, command="")


def parent_in(folder: Path, *words: str, **told: Any) -> str:
    """The key of a run in ``folder`` that ended with weights, as far as its children ask before they begin."""
    job = job_of(*words, f"root={folder}")
    made = dataclasses.asdict(RunRecord(job.key, "done", job.config, job.choices))
    made["config"] |= told.pop("config", {})
    RunRecord(**{**made, **told}).write(folder / job.key)
    (folder / job.key / "weights.safetensors").write_bytes(b"")
    return job.key


def test_a_parent_of_an_older_version_is_taken_by_its_key(tmp_path: Path) -> None:
    """Its config names random streams that are gone, at null."""
    words = [*text_files(tmp_path), *SMALL, f"root={tmp_path}/runs"]
    old = {"streams": {"data": None, "router": None, "tune": None}}
    key = parent_in(tmp_path / "runs", *words, "shape.depth=4", config=old)
    assert rehearse(job_of(*words, "init=inherit", f"init.parent.run={key}")) is None
    parent_in(tmp_path / "runs", *words, "shape.depth=4", config={"streams": {"router": 3}})
    said = rehearse(job_of(*words, "init=inherit", f"init.parent.run={key}"))
    assert said is not None
    assert "streams.router: there is no such random stream" in said


def test_a_parent_that_diverged_is_refused_by_its_key_with_the_right_advice(tmp_path: Path) -> None:
    words = [*text_files(tmp_path), *SMALL, f"root={tmp_path}/runs"]
    key = parent_in(tmp_path / "runs", *words, "shape.depth=4", status="diverged", error={"step": 3})
    with pytest.raises(UserError, match="diverged at step 3; give it a smaller learning rate"):
        job_of(*words, "init=inherit", f"init.parent.run={key}")
    parent_in(tmp_path / "runs", *words, "shape.depth=4")
    (tmp_path / "runs" / key / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="kept no weights; train it again with keep=weights"):
        job_of(*words, "init=inherit", f"init.parent.run={key}")


def test_a_committed_record_does_not_hide_the_run_that_kept_its_weights(tmp_path: Path) -> None:
    mine, archive = tmp_path / "runs" / "abcd", tmp_path / "archive" / "abcd"
    for folder in (mine, archive):
        folder.mkdir(parents=True)
        (folder / "record.json").write_text("{}")
    assert ledger.locate("ab", [archive.parent, mine.parent]) == archive
    (mine / "weights.safetensors").write_bytes(b"")
    assert ledger.locate("ab", [archive.parent, mine.parent]) == mine
    assert ledger.locate("ab", [mine.parent, archive.parent]) == mine


def test_only_ancestors_up_to_one_that_ended_are_missing() -> None:
    eldest = keys.Job("a", {}, {}, {}, [])
    elder = dataclasses.replace(eldest, key="b", parent=eldest)
    child = dataclasses.replace(eldest, key="c", parent=elder)
    for ended, missing in ((set(), ["a", "b"]), ({"a"}, ["b"]), ({"b"}, [])):
        assert [job.key for job in child.missing(lambda job, ended=ended: job.key in ended)] == missing


def test_names_of_parents_are_read_by_their_own_grammar() -> None:
    assert parents.key("+model.shortcut=null") == "model.shortcut"
    assert parents.key("~claim.arms.x") == "claim.arms.x"
    with pytest.raises(UserError, match="name the parent once"):
        parents.reference({"init": {"parent": {"overrides": None}}})


def test_a_child_that_goes_on_keeps_its_first_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bitwise, and the weights are chosen anew only where other code chose them."""
    words = [*text_files(tmp_path / "text"), *SMALL, *INHERIT, f"root={tmp_path}/runs"]
    whole = invoke(words, command="").record
    assert whole is not None
    folder, elder = tmp_path / "runs" / whole.key, tmp_path / "runs" / whole.provenance["parent"]
    shutil.rmtree(folder)
    told = json.loads((elder / "record.json").read_text())
    told["cost"] |= {"parent_flops": 10.0, "initialise_flops": 5.0}
    (elder / "record.json").write_text(json.dumps(told))

    filled: list[int] = []
    fill, fit = initial.fill, lifecycle.fit

    def stopped(*given: Any, **named: Any) -> Any:
        return fit(*given, **{**named, "score": lambda model: os.kill(os.getpid(), signal.SIGTERM) or {}})

    monkeypatch.setattr(initial, "fill", lambda *given: (filled.append(1), fill(*given))[1])
    monkeypatch.setattr(lifecycle, "fit", stopped)
    for code, times in (("old", 1), ("old", 1), ("new", 2)):
        monkeypatch.setattr(initial, "code_version", lambda code=code: code)
        with pytest.raises(Interrupted):
            invoke(words, command="")
        assert len(filled) == times
    monkeypatch.setattr(lifecycle, "fit", fit)
    life = json.loads((folder / "wall.json").read_text())
    (folder / "wall.json").write_text(json.dumps({**life, "before": life["before"] + 500}))
    again = invoke(words, command="").record
    assert again is not None
    assert len(filled) == 2
    assert again.cost["resumed"] > 0
    assert again.metrics == whole.metrics
    assert again.cost["parent_flops"] == told["cost"]["flops"] + 15
    assert again.cost["wall_seconds"] > 500
    assert not [*folder.glob("initial.*"), *folder.glob("wall.*")]
