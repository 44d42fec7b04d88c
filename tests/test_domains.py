"""Text is read by the experts of its own domain, whatever else is read, and by whichever evaluator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import SMALL, text_files
from tinylm.cli.main import dispatch
from tinylm.compose.main import invoke
from tinylm.record import RunRecord

GROUPS = ["model/ffn=random_routed", "model.ffn.groups={code: 2, prose: 3}"]
PROBES = ["evaluate=bits_other_probes", "data/task@evaluate.probes.corpus.task=induction"]
PROBES += ["evaluate.probes.texts=20", "evaluate.probes.corpus.task.lengths=[5]"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file a domain."""
    folder = tmp_path_factory.mktemp("text")
    text_files(folder)
    (folder / "text.txt").rename(folder / "prose.txt")
    lines = [f"def f{n * 7 % 31}(x{n % 5}, y): return g{n % 3}(x{n % 5} + {n}) * y if y else x{n}" for n in range(120)]
    (folder / "code.txt").write_text("\n".join(lines))
    return folder


def mixture(texts: Path, **labels: str) -> list[str]:
    """The words that read some domains' files, each under a label."""
    words = ["data=mixture"]
    for label, name in labels.items():
        part = f"data.parts.{label}"
        words += [f"+data@{part}=files", f"{part}.paths=[{texts}/{name}.txt]", f"{part}.document=line"]
        words += [f"{part}.tune=0.2", f"{part}.test=0.2"]
    return words


@pytest.fixture(scope="module")
def run(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose experts are grouped by domain."""
    text = mixture(texts, code="code", prose="prose")
    root = tmp_path_factory.mktemp("runs")
    record = invoke([*SMALL, *text, *GROUPS, "optim.lr=0.03", f"root={root}"], command="").record
    assert record is not None
    return root / record.key


def told(capfd: pytest.CaptureFixture[str], run: Path, *words: str, code: int = 0) -> str:
    capfd.readouterr()
    assert dispatch(["eval", run.name, f"--root={run.parent}", *words]) == code
    said = capfd.readouterr()
    return said.err if code else said.out


def scores(capfd: pytest.CaptureFixture[str], run: Path, *words: str, name: str = "bits") -> dict:
    return json.loads(told(capfd, run, *words, "--json"))["scores"][name]


def test_a_domain_alone_is_read_by_its_own_experts(run: Path, texts: Path, capfd: pytest.CaptureFixture[str]) -> None:
    known = RunRecord.read(run).metrics
    found = {}
    for name in ("code", "prose"):
        alone = mixture(texts, **{name: name})
        for words in (alone, [*mixture(texts, mine=name), "--domain", name]):
            said = scores(capfd, run, *words)
            assert said["scalars"]["bits_per_byte"] == pytest.approx(known[f"bits_per_byte/{name}"], rel=1e-6)
            assert set(said["items"]["domain"]) == {name}
        found[name] = scores(capfd, run, *alone, "--domain", "code")["scalars"]["bits_per_byte"]
    assert found["code"] == pytest.approx(known["bits_per_byte/code"], rel=1e-6)
    assert abs(found["prose"] - known["bits_per_byte/prose"]) > 1e-4, "other experts say something else"


def test_what_the_model_cannot_tell_is_said_in_a_line(
    run: Path, texts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unlabelled = ["--text", f"{texts}/prose.txt", "data.document=line"]
    for words, said in [
        (mixture(texts, mine="prose"), "domain mine of the text is none that the model routes by (code, prose); --dom"),
        (unlabelled, "by --domain (code, prose)"),
        ([*unlabelled, "--domain", "prse"], "--domain prse: the model knows no such domain, but code, prose"),
    ]:
        error = told(capfd, run, *words, code=2)
        assert said in error
        assert len(error.splitlines()) == 1
    latency = ["evaluate=bits_latency", "evaluate.latency.repeats=1"]
    assert "all_bits_per_byte" in told(capfd, run, *unlabelled, "--domain", "prose", *latency)


def test_a_model_that_routes_by_no_domain_is_asked_for_none(
    texts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = mixture(texts, code="code", prose="prose")
    record = invoke([*SMALL, *text, f"root={tmp_path}"], command="").record
    assert record is not None
    for command in ("eval", "sample"):
        assert dispatch([command, record.key, f"--root={tmp_path}", "--domain", "code"]) == 2
        assert "--domain code: the model routes by no domain; leave it out" in capfd.readouterr().err
    scalars = scores(capfd, tmp_path / record.key, *mixture(texts, code="code", mine="prose"))["scalars"]
    for label, name in (("code", "code"), ("mine", "prose")):
        assert scalars[f"bits_per_byte/{label}"] == pytest.approx(record.metrics[f"bits_per_byte/{name}"], rel=1e-6)


def test_probes_are_read_as_of_the_first_domain_or_of_one_that_is_named(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = {}
    assert scores(capfd, run, *PROBES)["scalars"].items() <= RunRecord.read(run).metrics.items(), (
        "on the run's own text"
    )
    for domain in (None, "code", "prose"):
        said = scores(capfd, run, *PROBES, *(["--domain", domain] if domain else []), name="probes")
        found[domain] = said["scalars"]["probe_bits"]
        note = "evaluate.probes.domain: read as domain code, the first that the model routes by; or name another"
        assert said["notes"] == ([] if domain else [note])
    assert found[None] == found["code"] != found["prose"]


def test_a_domain_that_an_evaluator_names_is_checked_before_training() -> None:
    from tests.test_keys import job_of
    from tinylm.compose.rehearsal import rehearse

    words = [*SMALL, "data=code_and_prose", *PROBES]
    assert rehearse(job_of(*words, *GROUPS, "evaluate.probes.domain=prose")) is None
    for model, said in [
        (GROUPS, "evaluate.probes.domain songs: the model knows no such domain, but code, prose"),
        ([], "evaluate.probes.domain songs: the model routes by no domain; leave it out"),
    ]:
        assert rehearse(job_of(*words, *model, "evaluate.probes.domain=songs")) == said


def test_layers_are_chosen_by_a_parents_loss_on_text_of_domains(texts: Path, tmp_path: Path) -> None:
    text = mixture(texts, code="code", prose="prose")
    words = ["init=inherit", "init.layers=importance", "init.parent.overrides=['shape.depth=3']", "shape.depth=2"]
    record = invoke([*SMALL, *text, *words, f"root={tmp_path}"], command="").record
    assert record is not None
    assert record.status == "done"
