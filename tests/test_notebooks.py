"""Every notebook runs from its first cell to its last, on the results that are kept or on a sweep made here."""

from __future__ import annotations

import os
from pathlib import Path

import jupytext
import nbclient
import pytest

from tests.commands import PROJECT
from tests.synthetic_sweep import D4, D8, Sweep

NOTEBOOKS = sorted((PROJECT / "analysis").glob("*.py"))


@pytest.fixture(autouse=True)
def quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished quickstart, which notebooks about it read; those about kept results do not look at it."""
    sweep = Sweep(tmp_path / "runs", name="quickstart")
    sweep.arm("d4", D4, history=40).arm("d8", D8, history=40).manifest()
    monkeypatch.setenv("TINYLM_ROOT", str(sweep.root))
    monkeypatch.setenv("TINYLM_SWEEP", "quickstart")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def test_there_is_a_notebook() -> None:
    assert (PROJECT / "analysis" / "quickstart.py") in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    runs(path)


def test_without_runs_of_ones_own_kept_ones_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first claim by name, which has no baseline."""
    monkeypatch.setenv("TINYLM_ROOT", str(tmp_path / "none"))
    runs(PROJECT / "analysis" / "quickstart.py")


def runs(path: Path) -> None:
    """A notebook runs without a complaint, and draws unless it has nothing to draw."""
    notebook = jupytext.read(path)
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.execute(cwd=str(path.parent))
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    complaints = [o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == "stderr"]
    assert complaints == []
    said = "".join(o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == "stdout")
    drawn = any("image/png" in output.get("data", {}) for output in outputs)
    assert drawn or "no results are kept yet; `tinylm sweep" in said


def test_a_wrong_cell_fails(tmp_path: Path) -> None:
    """The test above can fail."""
    path = tmp_path / "wrong.py"
    path.write_text("# %%\nimport tinylm\ntinylm.collect('nowhere')\n", encoding="utf-8")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="nowhere"):
        nbclient.NotebookClient(jupytext.read(path), timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
