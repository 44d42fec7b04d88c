"""Text is read by the experts of its own domain, whatever else is read, and by whichever evaluator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import SMALL, text_files
from tinylm.cli.main import dispatch
from tinylm.compose.main import invoke
from tinylm.record import RunRecord

TEXT = ["data=code_and_prose"]
TEXT += [f"data.parts.{part}.{said}" for part in ("code", "prose") for said in ("limit_bytes=300000", "test=0.2")]
GROUPS = ["model/ffn=random_routed", "model.ffn.groups={code: 2, prose: 3}"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose experts are grouped by domain, far enough from its first weights for the groups to differ."""
    root = tmp_path_factory.mktemp("runs")
    words = [*SMALL, *TEXT, *GROUPS, "evaluate=bits_latency", "evaluate.latency.repeats=1", "optim.lr=0.03"]
    record = invoke([*words, "keep=weights", f"root={root}"], command="").record
    assert record is not None
    return root / record.key


def told(capfd: pytest.CaptureFixture[str], run: Path, *words: str, code: int = 0) -> str:
    capfd.readouterr()
    assert dispatch(["eval", run.name, f"--root={run.parent}", *words]) == code
    said = capfd.readouterr()
    return said.err if code else said.out


def of(name: str, labelled: str) -> list[str]:
    """The text of one domain of the run's, alone, under a label."""
    words = ["data=mixture", f"+data@data.parts.{labelled}=stdlib", f"data.parts.{labelled}.only={name}"]
    return [*words, f"data.parts.{labelled}.limit_bytes=300000", f"data.parts.{labelled}.test=0.2", "evaluate=bits"]


def test_a_domain_alone_is_read_by_its_own_experts(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    known = RunRecord.read(run).metrics
    found = {}
    for name in ("code", "prose"):
        for words in (of(name, name), [*of(name, "mine"), "--domain", name]):
            scores = json.loads(told(capfd, run, *words, "--json"))["scores"]["bits"]
            assert scores["scalars"]["bits_per_byte"] == pytest.approx(known[f"bits_per_byte/{name}"], rel=1e-6)
            assert set(scores["items"]["domain"]) == {name}
        others = json.loads(told(capfd, run, *of(name, name), "--domain", "code", "--json"))["scores"]["bits"]
        found[name] = others["scalars"]["bits_per_byte"]
    assert found["code"] == pytest.approx(known["bits_per_byte/code"], rel=1e-6)
    assert abs(found["prose"] - known["bits_per_byte/prose"]) > 1e-4, "other experts say something else"


def test_what_the_model_cannot_tell_is_said_in_a_line(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text_files(tmp_path)
    unlabelled = ["--text", f"{tmp_path}/text.txt", "data.document=line"]
    for words, said in [
        (of("prose", "mine"), "domain mine of the text is none that the model routes by (code, prose); --domain"),
        (unlabelled, "by --domain (code, prose)"),
        ([*unlabelled, "--domain", "prse"], "--domain prse: the model knows no such domain, but code, prose"),
    ]:
        error = told(capfd, run, *words, code=2)
        assert said in error
        assert len(error.splitlines()) == 1
    assert "all_bits_per_byte" in told(capfd, run, *unlabelled, "--domain", "prose", "evaluate=bits_latency")


def test_a_model_that_routes_by_no_domain_is_asked_for_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = invoke([*SMALL, *TEXT, "keep=weights", f"root={tmp_path}"], command="").record
    assert record is not None
    for command in ("eval", "sample"):
        assert dispatch([command, record.key, f"--root={tmp_path}", "--domain", "code"]) == 2
        assert "--domain code: the model routes by no domain; leave it out" in capfd.readouterr().err
    any_name = told(capfd, tmp_path / record.key, *of("prose", "mine"), "--json")
    scalars = json.loads(any_name)["scores"]["bits"]["scalars"]
    assert scalars["bits_per_byte/mine"] == pytest.approx(record.metrics["bits_per_byte/prose"], rel=1e-6)
