"""Freezing: what is named stays, and the rest is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_model import tiny_model

import tinylm as package
from tests.commands import SMALL, text_files, tinylm
from tests.test_keys import job_of, key_of
from tinylm.batch import Batch
from tinylm.compose.rehearsal import rehearse
from tinylm.errors import UserError
from tinylm.model.freezing import freeze
from tinylm.model.lm import LanguageModel
from tinylm.report.records.collect import collect


def test_what_is_named_has_no_gradient() -> None:
    model = tiny_model()
    freeze(model, ["embedding.*", "blocks.0.*"])
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith(("embedding.", "blocks.0."))}


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        (["blocks.0.attn.q.*"], r"no parameter is called .*; near it are blocks\.0\.attention\.q\.weight, "),
        (["embedding.*", "*"], "leaves nothing to train"),
        ([], "freezes nothing"),
    ],
)
def test_what_freezes_nothing_or_all_is_refused(patterns: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        freeze(tiny_model(), patterns)


def test_a_frozen_run_has_a_key_of_its_own_and_its_parent_has_not(tmp_path: Path) -> None:
    text = [*text_files(tmp_path), *SMALL]
    assert key_of(*text, "freeze=null") == key_of(*text) != key_of(*text, "freeze=[embedding.*]")
    child = job_of(*text, "init=inherit", "init.parent.overrides=[]", "freeze=[embedding.*]")
    assert child.parent is not None
    assert child.parent.key == key_of(*text)
    said = rehearse(job_of(*text, "freeze=[blocks.9.*]"))
    assert said is not None
    assert "no parameter is called 'blocks.9.*'" in said


def test_a_domain_is_learned_and_the_other_stays(tmp_path: Path) -> None:
    """A child of a parent of two domains, trained on one: with what they share frozen, the other's logits stay."""
    text = ["data=code_and_prose", *(f"data.parts.{part}.limit_bytes=300000" for part in ("code", "prose"))]
    text += [f"data.parts.{part}.test=0.2" for part in ("code", "prose")]
    text += ["model/ffn=random_routed", "model.ffn.groups={code: 2, prose: 3}", "data.weights={code: 1, prose: 0}"]
    own = ["init=inherit", 'init.parent.overrides=["data.weights=null"]', "optim=adamw", "optim.weight_decay=0"]
    ran = tinylm("run", *SMALL, *text, *own, 'freeze=[embedding.*,"*.attention.*","*norm.*"]', cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    runs = collect(tmp_path / "runs").set_index("init")["key"]
    (parent, tokenizer), (child, _) = (package.load(runs[init], tmp_path / "runs") for init in ("scratch", "inherit"))
    ids_BT = torch.tensor([tokenizer.encode("def f(x): return x")])

    def logits(model: LanguageModel, domain: str) -> torch.Tensor:
        number = torch.tensor([model.shape.domains.index(domain)])
        return model.head(model(Batch(ids_BT, ids_BT, domain_B=number)).hidden_BTD)

    assert torch.equal(logits(child, "prose"), logits(parent, "prose"))
    assert not torch.equal(logits(child, "code"), logits(parent, "code"))
