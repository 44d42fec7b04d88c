"""The index beside a root's runs: what it gives is what the records say, whatever became of either."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import scale
from tests.synthetic_sweep import D4, Sweep
from tinylm.record import RunRecord
from tinylm.report.judgement.compare import compare
from tinylm.report.records import index
from tinylm.report.records.collect import collect
from tinylm.report.records.history import history
from tinylm.report.records.index import NAME, columns, joined


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(index, "WORTH", 1)
    sweep = Sweep(tmp_path / "runs")
    for arm in ("d4", "d8", "d16"):
        sweep.arm(arm, [*D4, None])
    for key in ("d4-compare-0", "d8-compare-1"):
        sweep.tell(key, only_here=0.25)
    return sweep.root


def _plain(root: Path) -> pd.DataFrame:
    """Read without an index."""
    names = [path.parent.name for path in sorted(root.glob("*/record.json"))]
    return collect(root, keys=names)


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The records that are parsed from now on."""
    read: list[Path] = []
    real = RunRecord.read.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(RunRecord, "read", classmethod(lambda cls, folder: (read.append(folder), real(cls, folder))[1]))
    return read


def test_the_index_gives_what_the_records_say_and_parses_none_twice(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _plain(root)
    assert not (root / NAME).exists()
    cold = collect(root)
    read = _counted(monkeypatch)
    warm = collect(root)
    assert read == []
    for frame in (cold, warm):
        pd.testing.assert_frame_equal(frame, plain)
    assert warm["config"].map(type).eq(dict).all()


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten at the same length": lambda folder: _tell(folder, bits_per_byte=9.125),
    "gone": lambda folder: (folder / "record.json").unlink(),
    "torn": lambda folder: (folder / "record.json").write_text("{", encoding="utf-8"),
    "new": lambda folder: _copy(folder),
    "the index lost": lambda folder: (folder.parent / NAME).unlink(),
    "the index torn": lambda folder: (folder.parent / NAME).write_bytes((folder.parent / NAME).read_bytes()[:900]),
    "the index another file": lambda folder: (folder.parent / NAME).write_text("no index", encoding="utf-8"),
}


def _tell(folder: Path, **metrics: float) -> None:
    record = RunRecord.read(folder)
    record.metrics |= metrics
    record.write(folder)


def _copy(folder: Path) -> None:
    record = RunRecord.read(folder)
    record.key = "d9-compare-0"
    record.metrics["a_new_metric"] = 1.0
    record.write(folder.parent / record.key)


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_since_is_read_anew(root: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    collect(root)
    CHANGES[change](root / "d8-compare-2")
    again, third = collect(root), collect(root)
    plain = _plain(root)
    for frame in (again, third):
        assert set(frame) >= set(plain)
        pd.testing.assert_frame_equal(frame[list(plain)], plain, check_dtype=False)
        assert frame.attrs == plain.attrs
    read = _counted(monkeypatch)
    collect(root)
    assert [folder.name for folder in read] == (["d8-compare-2"] if change == "torn" else [])


def test_other_code_makes_another_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collect(root)
    read = _counted(monkeypatch)
    monkeypatch.setattr(index, "_code", lambda: b"of another version")
    assert len(collect(root)) == len(read) == 18


def _reader(root: str, rounds: int, told: Any) -> None:
    index.WORTH = 1
    for _ in range(rounds):
        frame = collect(root)
        told.put((len(frame), len(frame.attrs["warnings"]), bool((frame["bits_per_byte"].dropna() > 1.8).all())))


def test_many_may_read_and_write_it_at_once(root: Path) -> None:
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "fork")
    told = context.Queue()
    others = [context.Process(target=_reader, args=(str(root), 6, told)) for _ in range(3)]
    for other in others:
        other.start()
    for turn in range(30):
        _tell(root / f"d4-compare-{turn % 5}", bits_per_byte=2.0 + turn)
    said = [told.get(timeout=60) for _ in range(18)]
    for other in others:
        other.join()
    assert said == [(18, 0, True)] * 18
    pd.testing.assert_frame_equal(collect(root), _plain(root), check_dtype=False)
    assert not list(root.glob(f".{NAME}*"))


def test_a_small_root_and_one_that_may_not_be_written_have_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise PermissionError(13, "may not be written", str(path))

    monkeypatch.setattr(index, "write_bytes", refuse)
    assert len(collect(root)) == 18
    monkeypatch.undo()
    assert len(collect(root)) == 18
    assert not (root / NAME).exists()


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("ab", max_size=2)
    | st.lists(st.integers(0, 9), max_size=2)
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1, max_size=6), st.integers(0, 6))
def test_columns_below_one_another_are_the_columns_of_all(items: list[dict[str, Any]], cut: int) -> None:
    whole = columns(items)
    cut = min(cut, len(items))
    parts = joined([(columns(items[:cut]), cut), (columns(items[cut:]), len(items) - cut)])
    assert set(parts) == set(whole)
    for name, values in whole.items():
        coded = index._decoded(index._encoded(values))
        for other in (parts[name], coded):
            for one, two in zip(values.tolist(), other.tolist(), strict=True):
                assert one == two or {str(one), str(two)} <= {"None", "nan"} or np.isclose(one, two)


def test_the_root_of_the_benchmark_is_one_that_reports_read(tmp_path: Path) -> None:
    scale.fill(tmp_path, scale.Size(runs=40, points=3, seeds=4))
    assert collect(tmp_path)["seed"].tolist() == [seed for seed in range(8) for _ in range(5)]
    verdicts = compare(scale.NAME, tmp_path)
    assert [item.verdict for item in verdicts.comparisons] == ["worse", "equivalent", "better", "better"]
    assert len(history(tmp_path, keys={f"{0:016x}"}).query("name == 'loss'")) == 3
