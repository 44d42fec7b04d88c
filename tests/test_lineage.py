"""What a run derives from, as text and as a graph."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.synthetic_sweep import Sweep
from tinylm.cli.main import dispatch
from tinylm.record import RunRecord
from tinylm.report.figures.graph import graph
from tinylm.report.tables.lineage import Node, lineage, tree

HOSTILE = "<b>&amp;"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A child of two rounds and its parent, which read the same text by another tokenizer."""
    sweep = Sweep(tmp_path / "runs")
    for arm, tokenizer, parent in (("d8", "aaaa", None), ("d4", "bbbb", "d8-compare-0")):
        key = sweep.run(arm, 0, 1.9, history=4)
        record = RunRecord.read(sweep.root / key)
        shape = {"depth": int(arm[1:]), "width": 64, "vocab": 300}
        record.accounting |= {"shape": shape}
        record.choices |= {"tokenizer": HOSTILE, "data": "files"}
        record.provenance |= {"corpus": "cccc", "tokenizer": tokenizer * 8, "store": tokenizer[:2] * 16}
        made = {"bytes": 21_000_000, "tokens": 7_000_000, "tokenizer_seconds": 90.0, "store_seconds": 12.0}
        record.provenance |= {"prepared": made | ({"tokenizer_seconds": None} if parent else {})}  # of an older cache
        record.provenance |= {"evaluators": {"bits": "1"}, "initialisation": [{"initialiser": "inherit"}]}
        if parent:
            record.provenance["parent"] = parent
            record.provenance["tokenizer_pruning"] = {"original": "aaaa" * 8}
            record.config["rounds"] = {"number": 2}
            record.rounds = [{"round": 1, "units": 40, "drawn": 20}]
            record.cost |= {"parent_flops": 7.5e13}
            lines = [
                {"round": 0, "seconds": 90.0, "flops": 3e9, "tokens": 5},
                {"round": 1, "seconds": 120.0, "flops": 4e9},
            ]
            text = "\n".join(map(json.dumps, lines))
            (sweep.root / key / "history.jsonl").write_text(text, encoding="utf-8")
        record.write(sweep.root / key)
    return sweep.root


def _of(root: Path) -> list[Node]:
    return lineage(root / "d4-compare-0", lambda key: root / key if (root / key).is_dir() else None)


def test_a_lineage_goes_from_the_text_to_the_scores(root: Path) -> None:
    nodes = _of(root)
    place = {node.name: index for index, node in enumerate(nodes)}
    assert len(place) == len(nodes)
    assert all(place[source] < place[node.name] for node in nodes for source in node.sources)
    by_kind: dict[str, list[Node]] = {}
    for node in nodes:
        by_kind.setdefault(node.kind, []).append(node)
    assert {kind: len(found) for kind, found in by_kind.items()} == {
        "data": 1,
        "tokenizer": 2,  # the child's was pruned from the parent's
        "tokens": 2,
        "initialisation": 2,
        "parent run": 1,
        "round": 2,
        "run": 1,
        "evaluation": 1,
    }
    assert all(node.hash for node in nodes)
    assert by_kind["data"][0].cost == "21 M bytes"
    assert sorted(node.cost for node in by_kind["tokenizer"]) == ["", "1.5 min"]
    assert [node.cost for node in by_kind["tokens"]] == ["12 s, 7 M tokens"] * 2
    rounds = [(node.title, node.cost) for node in by_kind["round"]]
    assert rounds == [
        ("round 1: the whole text", "1.5 min, 3 G FLOPs"),
        ("round 2: 20 of 40 units drawn anew", "30 s, 1 G FLOPs"),
    ]
    child = next(node for node in by_kind["initialisation"] if node.sources)
    assert child.sources == ["run d8-compare-0"]
    assert "21 M bytes read" in by_kind["parent run"][0].cost


def test_a_parent_that_is_not_at_hand_is_named_by_its_key_and_what_it_cost(root: Path) -> None:
    nodes = lineage(root / "d4-compare-0", lambda key: None)
    (parent,) = [node for node in nodes if node.kind == "parent run"]
    assert (parent.hash, parent.cost, parent.sources) == ("d8-compare-0", "75 T FLOPs", [])


def test_text_and_graph_tell_every_thing_once(root: Path) -> None:
    nodes = _of(root)
    told, drawn = tree(nodes), ElementTree.fromstring(graph(nodes))
    texts = ["".join(item.itertext()) for item in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for node in nodes:
        assert told.count(f"{node.kind}: {node.title}") == sum(other.title == node.title for other in nodes)
        assert node.hash in texts
    assert any(HOSTILE in text for text in texts)
    arrows = [item for item in drawn.iter("{http://www.w3.org/2000/svg}path") if item.get("marker-end")]
    assert len(arrows) == sum(len(node.sources) for node in nodes)
    boxes = [
        tuple(float(item.attrib[name]) for name in ("x", "y", "width", "height"))
        for item in drawn.iter("{http://www.w3.org/2000/svg}rect")
        if item.get("rx") == "5"
    ]
    assert len(boxes) == len(nodes)
    for index, (x, y, wide, high) in enumerate(boxes):
        for u, v, wider, higher in boxes[:index]:
            assert x + wide <= u or u + wider <= x or y + high <= v or v + higher <= y, "no box hides another"
    for arrow in arrows:  # every one goes from left to right
        steps = [float(number) for number in re.findall(r"[ MH]([\d.]+)", arrow.attrib["d"])]
        assert steps[-1] > steps[0]


def test_the_command_prints_and_draws_it(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["show", "d4-compare-0", "--root", str(root), "--lineage", "--svg", str(tmp_path / "out.svg")]
    assert dispatch(words) == 0
    assert capsys.readouterr().out.startswith(tree(_of(root)))
    assert (tmp_path / "out.svg").read_text("utf-8") == graph(_of(root))
    assert dispatch([word for word in words if word != "--lineage"]) == 2
    assert "--lineage --svg FILE" in capsys.readouterr().err
