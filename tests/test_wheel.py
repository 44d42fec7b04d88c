"""The wheel, installed in a folder of its own, composes and runs a sweep from elsewhere."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.commands import PROJECT, tinylm

SMOKE = [
    "shape=smoke",
    "budget=steps",
    "budget.amount=4",
    "data.limit_bytes=300000",
    "data.tune=0.2",
    "data.test=0.2",
    "tokenizer.vocab=384",
    "batch.size=4",
    "batch.context=64",
    "compile=false",
    "seed=0",
]
WHERE = """
import json, tinylm
from hydra_plugins import tinylm_plugin
from tinylm.compose.root import config_root, sweeps_parent
print(json.dumps([tinylm.__file__, tinylm_plugin.__file__, str(config_root()), str(sweeps_parent())]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs, and nothing else."""
    built, folder = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("clean") / "packages"
    _python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(PROJECT))
    (wheel,) = built.glob("*.whl")
    install = ["-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-index"]
    _python(*install, "--target", str(folder), str(wheel))
    return folder


def test_the_wheel_holds_no_top_level_names_but_its_own(installed: Path) -> None:
    """A module named ``conf`` or ``tests`` would shadow other people's."""
    names = {path.name for path in installed.iterdir() if path.suffix != ".dist-info" and path.name != "bin"}
    assert names == {"tinylm", "hydra_plugins"}
    assert (installed / "tinylm" / "_hydra" / "tasks" / "blimp.yaml").is_file()
    assert {path.name for path in (installed / "hydra_plugins").glob("*.py")} == {"tinylm_plugin.py"}, "a namespace"


def test_what_is_imported_at_once_is_installed_without_extras() -> None:
    """These tests run where all extras are: that a newcomer lacks one would not be seen."""
    had, holders = _without_extras("tinylm"), packages_distributions()
    missing = set()
    for file in sorted((PROJECT / "tinylm").rglob("*.py")):
        for statement in ast.parse(file.read_text()).body:  # imports inside of functions may be of extras
            if isinstance(statement, ast.Import):
                modules = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and not statement.level:
                modules = [str(statement.module)]
            else:
                continue
            for package in {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"tinylm"}:
                if had.isdisjoint(canonicalize_name(holder) for holder in holders.get(package, [package])):
                    missing.add((package, file.relative_to(PROJECT).as_posix()))
    # lm-eval asks for the class of a model of its own, so there is no other way; only `tinylm lm-eval` reads it.
    assert missing == {("lm_eval", "tinylm/evaluate/harness/model.py")}


def _without_extras(distribution: str) -> set[str]:
    """Names of all that is installed with a distribution."""
    had, asked = set[str](), [distribution]
    while asked:
        name = asked.pop()
        if name not in had:
            had.add(name)
            wanted = [Requirement(line) for line in requires(name) or []]
            asked += [canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate()]
    return had


def test_a_sweep_runs_from_the_wheel_in_another_folder(installed: Path, tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", WHERE], cwd=tmp_path, env=_environment(installed), capture_output=True, text=True
    )
    assert asked.returncode == 0, asked.stderr
    for place in json.loads(asked.stdout):
        assert Path(place).is_relative_to(installed)

    swept = tinylm("sweep", "quickstart", *SMOKE, cwd=tmp_path, PYTHONPATH=str(installed))
    assert swept.returncode == 0, swept.stdout + swept.stderr
    arms = json.loads((tmp_path / "runs" / "sweeps" / "quickstart.json").read_text(encoding="utf-8"))["jobs"]
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "runs").glob("*/record.json")]
    assert {job["key"] for job in arms} == {record["key"] for record in records}
    assert {job["arm"] for job in arms} == {"none", "rotary"}
    assert {record["status"] for record in records} == {"done"}
    assert all(record["metrics"]["bits_per_byte"] > 0 for record in records)
    (page,) = tmp_path.rglob("report.html")
    assert str(page.relative_to(tmp_path)) in swept.stdout or str(page) in swept.stdout


def _python(*words: str) -> None:
    done = subprocess.run([sys.executable, *words], cwd=PROJECT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _environment(installed: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed)}
