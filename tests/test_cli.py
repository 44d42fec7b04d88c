"""The command line: what is wrong is one readable line and exit code 2, before anything is trained."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.commands import PROJECT, SMALL, text_files, tinylm
from tinylm.cli import main
from tinylm.compose.main import invoke
from tinylm.errors import UserError

WRONG = [
    (["run", "model/ffn=swglu"], "swiglu"),
    (["run", "model/fnn=swiglu"], "model/ffn"),
    (["run", "shape.dept=3"], "depth"),
    (["run", "sead=3"], "seed"),
    (["run", "shape.depth=abc"], "not an int"),
    (["run", "shape.depth"], "not an override"),
    (["run", "seed=[1"], "seed=[1"),
    (["run", "shape.parameters=1000"], "cannot be met"),
    (["run", "tokenizer.vocab=100"], "tokenizer.vocab=100"),
    (["run", "data=files", "data.paths=[/nowhere/x.txt]"], "/nowhere/x.txt"),
    (["run", "data=files"], "data.paths"),
    (["run", "model/ffn=null"], "tinylm list variants"),
    (["run", "root="], "root:"),
    (["run", "machine.threads=0"], "machine.threads"),
    (["run", "+streams.foo=1"], "streams.foo"),
    (["list", "variants", "--config-dir", "nowhere"], "nowhere"),
    (["run", "batch.unit=bytes", "model/position=learned"], "model/position=rotary"),
    (["run", "+new.key=1"], "new: there is no such key"),
    (["run", "+model.ffm=1"], "ffn"),
    (["run", "~optim"], "optim: a run cannot do without it"),
    (["run", "~batch"], "batch: a run cannot do without it"),
    (["run", "~model/norm"], "model.norm"),
    (["run", "budget.amount=0"], "tinylm: budget.amount: 0 is not a positive number"),
    (["run", "--experimental-rerun=x.pickle"], "--experimental-rerun"),
    (["run", "-m", "seed=0,1", "hydra.launcher._target_=os.system"], "launcher=workers"),
    (["run", "+hydra.callbacks.a={_target_: os.makedirs, name: made}"], "hydra.callbacks: tinylm has none"),
    (["run", "+hydra.hydra_logging.handlers.a.class=a.B"], "'a.B' is not of Python's own"),
    (["sweep", "quickstat"], "quickstart"),
    (["sweep", "smoke", "model/norm=rsm"], "rms"),
    (["sweep", "smoke", "batch.size=2,4"], "one run an arm and seed"),
    (["sweep", "smoke", "seed=0,1", "model/ffn=gelu,swiglu"], "one run an arm and seed"),
    (["show", "ffff"], "ffff"),
    (["show", "ffff", "--json", "--lineage"], "ask for one of them"),
    (["report", "nothing"], "nothing"),
    (["runn"], "run"),
]


@pytest.mark.parametrize(("words", "named"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_input_is_one_line_that_names_the_way_out(
    words: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.dispatch(words) == 2
    said = capfd.readouterr().err.strip()
    assert said.startswith("tinylm: ")
    assert named in said
    assert "\n" not in said
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/record.json"))


def test_a_config_has_hydra_make_nothing_of_its_own_accord(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "sweeps").mkdir(parents=True)
    for name, node in (
        ("callback", "callbacks: {a: {_target_: os.makedirs, name: made}}"),
        ("logger", "job_logging: {version: 1, handlers: {a: {'()': os.makedirs, name: made}}}"),
    ):
        text = f"# @package _global_\nclaim: null\nhydra:\n  {node}\n"
        (tmp_path / "mine" / "sweeps" / f"{name}.yaml").write_text(text, encoding="utf-8")
        assert main.dispatch(["sweep", name, "--config-dir", "mine"]) == 2
        assert capfd.readouterr().err.startswith("tinylm: hydra.")
        assert not (tmp_path / "made").exists()


def test_what_is_broken_on_disk_is_one_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    for name, content in (("runs/torn/record.json", '{"key": '), ("runs/list/record.json", "[]")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    for name in ("my_conf/model/ffn/broken.yaml", "my_conf/sweeps/broken.yaml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("a: [1, {", encoding="utf-8")
    for words, named in [
        (["run", "root=file"], "file: "),
        (["run", "--config-dir", "my_conf", "model/ffn=broken"], "broken.yaml"),
        (["list", "sweeps", "--config-dir", "my_conf"], "broken.yaml"),
        (["show", "torn"], "runs/torn/record.json is not whole"),
        (["diff", "list", "torn"], "runs/list/record.json is not whole"),
    ]:
        assert main.dispatch(words) == 2
        said = capfd.readouterr().err.strip()
        assert said.startswith("tinylm: ")
        assert named in said
        assert "\n" not in said
    assert main.dispatch(["prune"]) == 0
    assert capfd.readouterr().out.count("left alone") == 2


def test_a_pickled_config_is_refused_from_python_too() -> None:
    with pytest.raises(UserError, match="unpickles"):
        invoke(["--experimental-rerun=x.pickle"], command="")


def test_all_bad_jobs_of_a_sweep_are_named_before_any_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [
        "run",
        "-m",
        *text_files(tmp_path / "text"),
        *SMALL,
        f"root={tmp_path}/runs",
        "shape.depth=2,x,y",
        "seed=0,1",
    ]
    assert main.dispatch(words) == 2
    said = capfd.readouterr().err
    assert "4 of 6 jobs cannot run" in said
    assert "'x' is not an int" in said
    assert "'y' is not an int" in said
    assert main.dispatch([*words[:-2], "seed=0,1", "budget.amount=0"]) == 2
    assert capfd.readouterr().err == "tinylm: none of the 2 jobs can run: budget.amount: 0 is not a positive number\n"
    assert not list(tmp_path.glob("runs/*/"))


def test_an_arm_is_not_compared_with_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    twin = "claim.arms.swiglu.overrides=['model/ffn=gelu','shape.hidden=128']"
    words = [*text_files(tmp_path / "text"), f"root={tmp_path}/runs", twin]
    for more in (["--plan"], []):
        assert main.dispatch(["sweep", "smoke", *words, *more]) == 2
        assert "claim.arms.swiglu: its runs are those of gelu, which it is compared with" in capfd.readouterr().err
    assert not list(tmp_path.glob("runs/*/"))


def test_sizes_are_listed_with_the_smallest_first(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Else their trend would be told backwards."""
    words = [*text_files(tmp_path / "text"), f"root={tmp_path}/runs", "~claim.tune", "--plan"]
    for sizes, code in (
        ("{deep:['shape.depth=3'],flat:['shape.depth=2']}", 2),
        ("{a:['budget.amount=9'],b:[]}", 0),
        ("{a:['tokenizer.vocab=390'],b:[]}", 0),  # about as many, as of shapes solved for one budget
    ):
        assert main.dispatch(["sweep", "smoke", *words, f"+claim.sizes={sizes}"]) == code
    said = capfd.readouterr().err
    assert re.search(
        r"claim.sizes: deep \([\d,]+ parameters\) is listed before flat \([\d,]+\); list the smallest", said
    )


def test_an_option_of_the_wrong_kind_of_command_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.dispatch(["report", "quickstart", "root=elsewhere"]) == 2
    assert "unrecognized arguments: root=elsewhere; did you mean --root elsewhere;" in capfd.readouterr().err


def test_a_run_is_shown_found_sampled_and_pruned(tmp_path: Path) -> None:
    """A user's first quarter of an hour: run, list, show, diff, sample, prune; a finished run is not run again."""
    text = text_files(tmp_path / "text")
    first = tinylm("run", *text, *SMALL, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "bits per byte" in first.stdout
    key = first.stdout.split(":")[0]
    record = tmp_path / "runs" / key / "record.json"
    written = record.stat().st_mtime_ns
    assert tinylm("run", *text, *SMALL, cwd=tmp_path).stdout.startswith(key)
    assert record.stat().st_mtime_ns == written

    second = tinylm("run", *text, *SMALL, "model/ffn=gelu", cwd=tmp_path)
    other = second.stdout.split(":")[0]
    listed = tinylm("list", "runs", cwd=tmp_path).stdout
    assert key in listed
    assert other in listed
    shown = tinylm("show", key[:6], cwd=tmp_path).stdout
    assert "bits_per_byte" in shown
    assert json.loads(tinylm("show", key, "--json", cwd=tmp_path).stdout)["key"] == key
    difference = tinylm("diff", key[:6], other[:6], cwd=tmp_path).stdout
    assert "config.model.ffn._target_" in difference
    assert "config.seed" not in difference

    greedy = ["sample", key, "--prompt", "the cat", "--tokens", "8", "--temperature", "0"]
    said = tinylm(*greedy, cwd=tmp_path)
    assert said.stdout.startswith("the cat")
    assert said.stdout == tinylm(*greedy, cwd=tmp_path).stdout
    drawn = ["--samples", "2", "--temperature", "1", "--top-p", "0.9", "--speed"]
    both = tinylm("sample", key, "--prompt", "the cat", "--prompt", "a", *drawn, cwd=tmp_path)
    assert [line for line in both.stdout.splitlines() if line.startswith("--- ")] == [
        f"--- prompt {place} of 2, text {number} of 2" for place in (1, 2) for number in (1, 2)
    ]
    assert "ms a token with the cache" in both.stderr

    weights = record.parent / "weights.safetensors"
    assert "would delete" in tinylm("prune", "--dry-run", "--weights", cwd=tmp_path).stdout
    assert weights.exists()
    tinylm("prune", "--weights", cwd=tmp_path)
    assert not weights.exists()
    gone = tinylm("sample", key, cwd=tmp_path)
    assert gone.returncode == 2
    assert "keep=weights" in gone.stderr


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.dispatch([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"tinylm {command}" in said
    assert "example" in said


def test_cfg_job_prints_the_config_and_trains_nothing(tmp_path: Path) -> None:
    for words in (["run"], ["sweep", "smoke"]):
        printed = tinylm(*words, "--cfg", "job", "optim=muon", f"root={tmp_path}/runs", cwd=tmp_path)
        assert printed.returncode == 0, printed.stderr
        assert "tinylm.train.optim.muon.Muon" in printed.stdout
    assert not (tmp_path / "runs").exists()


def test_a_variant_of_ones_own_takes_two_files(tmp_path: Path) -> None:
    """docs/adding-a-variant.md, followed to the letter: its first two blocks are files named in their first line."""
    page = (PROJECT / "docs" / "adding-a-variant.md").read_text(encoding="utf-8")
    files = re.findall(r"```(?:python|yaml)\n# (my_\S+)\n(.*?)```", page, flags=re.DOTALL)
    assert len(files) == 2
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    words = ["run", *text_files(tmp_path / "text"), *SMALL, "--config-dir", "my_conf", "model/ffn=squared_gelu"]
    refused = tinylm(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert refused.returncode == 2
    assert "TINYLM_ALLOW=my_parts" in refused.stderr
    ran = tinylm(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path), TINYLM_ALLOW="my_parts")
    assert ran.returncode == 0, ran.stderr
