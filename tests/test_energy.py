"""Energy is what counters tell, or nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.commands import SMALL, text_files
from tests.test_keys import job_of
from tinylm.compose.execute import run_job
from tinylm.files import write_text
from tinylm.runs import energy
from tinylm.runs.energy import Energy

SPAN = 65_000_000


def _package(folder: Path, number: int, value: int, name: str | None = None) -> Path:
    place = folder / (f"intel-rapl:{number}" if name is None else f"intel-rapl:0:{number}")
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name or f'package-{number}'}\n", encoding="utf-8")
    (place / "max_energy_range_uj").write_text(f"{SPAN}\n", encoding="utf-8")
    (place / "energy_uj").write_text(f"{value}\n", encoding="utf-8")
    return place / "energy_uj"


def test_packages_are_summed_and_come_round(tmp_path: Path) -> None:
    first, second = _package(tmp_path, 0, 60_000_000), _package(tmp_path, 1, 1_000_000)
    _package(tmp_path, 0, 1_000_000, "core")
    _package(tmp_path, 2, 60_000_500)  # another die that shows the counter of the first
    meter = Energy(powercap=tmp_path)
    assert meter.names() == ["package-0", "package-1"]
    assert meter.joules() == 0
    first.write_text("1000000", encoding="utf-8")  # past its end: 5 J, then 1 J
    second.write_text("3000000", encoding="utf-8")
    assert meter.joules() == pytest.approx(8.0)
    second.write_text("4500000", encoding="utf-8")
    assert meter.joules() == pytest.approx(9.5)


def test_a_counter_is_looked_at_before_it_comes_round_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _package(tmp_path, 0, 0)
    monkeypatch.setattr(energy, "SECONDS", 0.01)
    before = threading.active_count()
    with Energy(powercap=tmp_path) as meter:
        for value in (40_000_000, 10_000_000, 60_000_000, 5_000_000):
            write_text(path, str(value))
            time.sleep(0.1)
        assert meter.joules() == pytest.approx(135.0)
    assert threading.active_count() == before


def test_without_a_counter_there_is_no_number(tmp_path: Path) -> None:
    assert Energy(powercap=tmp_path / "nowhere").joules() is None
    path = _package(tmp_path, 0, 5)
    assert Energy(gpus=1, powercap=tmp_path).joules() is None or energy.torch.cuda.is_available()
    meter = Energy(powercap=tmp_path)
    path.unlink()
    assert meter.joules() is None
    assert meter.names() == []


def test_a_run_keeps_what_was_measured_and_its_logger_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _package(tmp_path / "powercap", 0, 0)
    read = energy._reader(path)

    def counting() -> int:
        path.write_text(str(read() + 250_000), encoding="utf-8")
        return read()

    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "powercap")
    monkeypatch.setattr(energy, "_reader", lambda path: counting)
    record = run_job(job_of(*text_files(tmp_path), *SMALL, f"root={tmp_path}", "logger=csv"))
    assert record.status == "done", record.error
    assert record.cost["energy_joules"] == pytest.approx(0.25)
    assert record.provenance["energy_counters"] == ["package-0"]
    folder = tmp_path / record.key
    rows = (folder / "csv" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + len((folder / "history.jsonl").read_text(encoding="utf-8").splitlines())
