"""Files that others read: whole, named where they cannot be written, and readable by colleagues."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from torch import nn

from tinylm.cli.main import main
from tinylm.files import write_text
from tinylm.runs.weights import save_weights


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write does, without a file's name

    path = tmp_path / "record.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(path, "new")
    assert caught.value.filename == str(path)
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("record.json", "old")]


@pytest.mark.parametrize("name", [None, "runs/record.json"])
def test_a_full_disk_is_one_line(
    name: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(words: list[str]) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", *([name] if name else []))

    monkeypatch.setattr("tinylm.cli.listing.list_command", full)
    with pytest.raises(SystemExit, match="2"):
        main(["list", "runs"])
    said = capsys.readouterr().err
    assert said == f"tinylm: {f'{name}: ' if name else ''}No space left on device\n"


def test_weights_and_records_are_readable_by_colleagues(tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 2), tmp_path / "weights.safetensors", {"note": "kept"})
    write_text(tmp_path / "record.json", "{}")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
