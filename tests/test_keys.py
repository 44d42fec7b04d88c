"""Keys: the same numbers have the same key, other numbers another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from tests.commands import SMALL, text_files
from tinylm.compose import keys, schema
from tinylm.compose.root import config_root
from tinylm.errors import UserError


def job_of(*overrides: str) -> keys.Job:
    with initialize_config_dir(str(config_root()), version_base="1.3"):
        return keys.job(compose("config", list(overrides), return_hydra_config=True))


def key_of(*overrides: str) -> str:
    return job_of(*overrides).key


def test_golden_keys(tmp_path: Path) -> None:
    """Keys of three configs never change by accident: results that users have would be orphaned."""
    text = text_files(tmp_path)
    assert key_of(*text) == "df25bc474f585a98"
    assert key_of(*text, *SMALL) == "0a0c736f8bb0db58"
    assert (
        key_of(*text, "model/ffn=gelu", "optim=muon", "budget=bytes", "batch.unit=bytes", "seed=3")
        == "548872b12b0ca816"
    )


def test_moving_text_leaves_the_key_and_editing_a_byte_changes_it(tmp_path: Path) -> None:
    here, there = text_files(tmp_path / "here"), text_files(tmp_path / "there")
    assert key_of(*here) == key_of(*there)
    path = tmp_path / "there" / "text.txt"
    path.write_bytes(path.read_bytes().replace(b"day 7,", b"day 8,"))
    keys._content.cache_clear()  # what a new process begins with
    assert key_of(*here) != key_of(*there)


def test_a_tokenizer_counts_by_its_content(tmp_path: Path) -> None:
    from tiny_tokenizers import form, saved

    from tinylm.compose.parts import planned_shape
    from tinylm.compose.rehearsal import rehearse

    text = text_files(tmp_path)
    made = json.loads(form("letters"))
    (tmp_path / "there").mkdir()
    paths = [saved(made, tmp_path), saved(made, tmp_path / "there")]
    plain = [key_of(*text, "tokenizer=file", f"tokenizer.path={path}") for path in paths]
    nested = ["tokenizer=pruned", "tokenizer@tokenizer.of=file", "tokenizer.vocab=300"]
    pruned = [key_of(*text, *nested, f"tokenizer.of.path={path}") for path in paths]
    assert len({*plain, *pruned}) == 2
    saved({**made, "padding": None, "model": {**made["model"], "fuse_unk": True}}, tmp_path / "there")
    keys._content.cache_clear()  # what a new process begins with
    assert key_of(*text, *nested, f"tokenizer.of.path={paths[1]}") not in pruned

    covering = [*nested, f"tokenizer.of.path={paths[0]}", "tokenizer.vocab=null", "tokenizer.coverage=0.9"]
    job = job_of(*text, *covering)
    assert rehearse(job) is None
    assert planned_shape(job).note.endswith("if 600 of at most 600 ids are kept")
    job = job_of(*text, "tokenizer=pruned", "tokenizer.of.vocab=400", "tokenizer.vocab=300")
    assert job.identity["tokenizer"]["of"] == job_of(*text, "tokenizer.vocab=400").identity["tokenizer"]
    assert planned_shape(job).shape.vocab == 300


def test_where_and_why_a_run_goes_are_not_in_the_key(tmp_path: Path) -> None:
    text = text_files(tmp_path)
    elsewhere = ["root=/somewhere", "machine.threads=2", "keep=nothing", "checkpoint_seconds=5", "machine=gpu"]
    assert key_of(*text) == key_of(*text, *elsewhere)


def test_what_changes_numbers_is_in_the_key(tmp_path: Path) -> None:
    text = text_files(tmp_path)
    changes = [
        "seed=1",
        "precision=fp32",
        "compile=false",
        "optim.lr=0.005",
        "batch.within_documents=false",
        "init.std=0.03",
    ]
    found = [key_of(*text), *(key_of(*text, change) for change in changes)]
    assert len(set(found)) == len(found)


def test_a_new_axis_at_its_neutral_option_leaves_keys_alone(tmp_path: Path) -> None:
    text = text_files(tmp_path)
    assert key_of(*text) == key_of(*text, "+model.memory=null", "+teacher={}")
    assert key_of(*text) == key_of(*text, "model/shortcut=none", "model/placement=pre")
    assert key_of(*text) == key_of(*text, "streams.data=null")


def test_an_int_where_a_float_is_asked_for_is_the_same_number(tmp_path: Path) -> None:
    text = text_files(tmp_path)
    assert key_of(*text, "optim.lr=1") == key_of(*text, "optim.lr=1.0")
    assert key_of(*text, "budget.amount=2e6") == key_of(*text, "budget.amount=2000000")


@pytest.mark.parametrize(
    ("override", "culprit"),
    [
        ("shape.depth=abc", "shape.depth: 'abc' is not an int"),
        ("precision=fp16", "precision: 'fp16' is not one of bf16, fp32"),
        ("batch.within_documents=2", "batch.within_documents: 2 is not true or false"),
        ("+optim.momentum=0.9", "optim.momentum: AdamW has no such option"),
        ("+shape.dept=3", "did you mean 'depth'?"),
        ("optim._target_=os.system", "outside the allowed packages"),
        ("+optim._args_=[{_target_: collections.OrderedDict}]", "optim._args_: options are named"),
        ("optim._target_=tinylm.train.optim.adamw.Adam", "has no 'Adam'"),
        ("data.paths=[/nowhere/*.txt]", "/nowhere/*.txt"),
    ],
)
def test_wrong_values_are_refused_by_name(tmp_path: Path, override: str, culprit: str) -> None:
    with pytest.raises(UserError) as caught:
        key_of(*text_files(tmp_path), override)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_package_of_the_users_own_is_allowed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="TINYLM_ALLOW=collections"):
        schema.target("collections.OrderedDict", "model")
    monkeypatch.setenv("TINYLM_ALLOW", "collections")
    assert schema.target("collections.OrderedDict", "model").__name__ == "OrderedDict"
