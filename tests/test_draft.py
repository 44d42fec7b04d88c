"""Drafts run as they are written: a variant keeps its folder's contract, a claim composes."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands import PROJECT
from tinylm.cli.main import dispatch
from tinylm.compose.catalogue import variants
from tinylm.compose.draft import CONF, PARTS, claim, variant
from tinylm.errors import UserError
from tinylm.report.claims.claim import Claim

TRIED = """
import sys, pytest
from tinylm.cli.main import dispatch
written = ["tests/test_drawn.py", "tests/test_variants.py", "-k", "ffn-drawn or its_option or it_trains"]
code = pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", "--deselect", COMPILED, *written])
sys.exit(code or dispatch(["sweep", "drafted", "--plan"]))
""".replace("COMPILED", repr("tests/test_variants.py::test_compiles_as_one_graph[ffn-drawn]"))


def test_in_a_checkout_a_variant_keeps_its_contract_and_a_claim_composes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tinylm", "conf", "sweeps", "hydra_plugins", "tests"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert dispatch(["new", "variant", "model/ffn/drawn"]) == 0
    assert dispatch(["new", "claim", "drafted"]) == 0
    assert "tests/test_drawn.py" in capsys.readouterr().out
    assert (tmp_path / "tinylm/model/ffn/drawn.py").is_file()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", TRIED], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-2000:]
    assert "6 runs" in ended.stdout
    block = yaml.safe_load((tmp_path / "sweeps" / "drafted.yaml").read_text(encoding="utf-8"))["claim"]
    assert Claim.parse(block).comparisons == {"other": "plain"}


@pytest.mark.parametrize(
    "group", [group for group in variants() if group not in ("budget", "machine", "shape", "evaluate")]
)
def test_every_group_of_classes_has_a_draft(group: str, tmp_path: Path) -> None:
    if group in ("data/task", "rounds"):
        pytest.skip("its options are not a class each")
    files = variant(f"{group}/my_own", tmp_path)
    assert [path.relative_to(tmp_path).parts[0] for path in files] == [PARTS, CONF, "tests"]
    code, config, test = (path.read_text(encoding="utf-8") for path in files)
    assert yaml.safe_load(config)["_target_"] == f"{PARTS}.my_own.MyOwn"
    (drawn,) = [node for node in ast.parse(code).body if isinstance(node, ast.ClassDef) and node.name == "MyOwn"]
    assert not re.search(r"arXiv:? ?\d", (ast.get_docstring(drawn) or "").split("Args:")[0]), (
        "the source of another is not its own"
    )
    assert "activation" not in {node.name for node in ast.walk(drawn) if isinstance(node, ast.FunctionDef)}
    ast.parse(test)


REFUSED = {
    "model/fn/x": "did you mean 'model/ffn'",
    "model/ffn/gelu": "there is one of that name",
    "model/ffn/My-Own": "is no name for a file",
    "model/ffn/class": "is a word of Python",
    "init/none": "is a word of Python",
    "model/norm/null": "is a value on a command line",
    "shape/huge": "copy a file of conf/shape/ instead",
}


@pytest.mark.parametrize("where", REFUSED)
def test_what_cannot_be_drafted_is_told(where: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=REFUSED[where].replace("?", ".")):
        variant(where, tmp_path)
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    claim("mine", tmp_path)
    with pytest.raises(UserError, match="is there already"):
        claim("mine", tmp_path)
    with pytest.raises(UserError, match="there is one of that name"):
        claim("quickstart", tmp_path)
    with pytest.raises(UserError, match="did you mean 'gelu'"):
        variant("model/ffn/x", tmp_path, like="glu")
