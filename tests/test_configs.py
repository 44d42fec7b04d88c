"""Every shipped config composes, and every sweep's jobs; the first of each runs at smoke size."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from tiny_tokenizers import form, saved

from tests.commands import PROJECT, SMALL, text_files
from tinylm.compose.catalogue import sweeps, variants
from tinylm.compose.main import invoke
from tinylm.report.claims.claim import Claim
from tinylm.report.judgement.guards import drifted
from tinylm.report.tables.ladder import rungs

OPTIONS = [(group, option) for group, options in variants().items() for option in options.split(", ")]


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=["=".join(pair) for pair in OPTIONS])
def test_every_option_makes_a_job(group: str, option: str, tmp_path: Path) -> None:
    """Composed, validated against constructors, its parts built and its shape solved."""
    from tests.test_keys import job_of
    from tinylm.compose.rehearsal import rehearse

    text = text_files(tmp_path) if group != "data" or option == "files" else []
    if (group, option) == ("data", "mixture"):
        text = ["+data@data.parts.code=stdlib"]
    if (group, option) == ("data", "glam"):
        domains = ("web", "wikipedia", "conversations", "forums", "books", "news")
        (paths,) = [word for word in text_files(tmp_path) if word.startswith("data.paths")]
        text = [paths.replace("data.paths", f"data.parts.{domain}.paths") for domain in domains]
    if (group, option) == ("tokenizer", "file"):
        text.append(f"tokenizer.path={saved(json.loads(form('letters')), tmp_path)}")
    if group == "rounds/selection":
        text.append("rounds=selected")
    if (group, option) == ("init", "inherit"):
        text.append("init.parent.overrides=[]")
    if option == "product_key":  # a whole model of memories has no hidden size to meet a budget with
        text += ["shape.parameters=null", "shape.width=64"]
    if (group, option) == ("init", "moefy"):
        text += ["model/ffn=moefied", 'init.parent.overrides=["model/ffn=relu"]']
        text += ["shape.parameters=null", "shape.width=64", "shape.hidden=64"]
    if option == "moefied":  # its parts divide the hidden units
        text += ["shape.parameters=null", "shape.width=64", "shape.hidden=64"]
    if (group, option) == ("init", "upcycle"):
        text += ["model/ffn=moe", 'init.parent.overrides=["model/ffn=swiglu","shape.parameters=null","shape.width=64"]']
        text += ["shape.parameters=null", "shape.width=64"]
    if (group, option) == ("init", "pretrained"):
        from tests.test_pretrained import begun_words

        text += begun_words(tmp_path)[1]
    if group == "data/task" or option in ("probes", "bits_probes"):
        text = ["data=probe"]
    if option in ("floor", "bits_floor"):
        text = ["data=world"]
    if option in ("lm_eval", "bits_lm_eval"):
        (tmp_path / "copa_val.jsonl.gz").write_bytes(gzip.compress(b'{"query": "a", "choices": ["b", "c"], "gold": 0}'))
        text += ["evaluate.lm_eval.tasks=[local_copa]", f"evaluate.lm_eval.data={tmp_path}"]
    if option == "hub":
        pytest.skip("asks the hub for its commit: tests/test_data_corpus.py stands in for it")
    assert rehearse(job_of(f"{group}={option}", *text)) is None


@pytest.mark.parametrize("option", ["workers", "serial", "slurm"])
def test_every_launcher_composes(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    invoke(["--cfg", "hydra", f"hydra/launcher={option}"], command="")
    assert "_target_" in capsys.readouterr().out


@pytest.mark.parametrize("name", sweeps())
def test_every_sweep_composes_whole_and_its_first_job_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = text_files(tmp_path / "text")
    if "groups=" in (PROJECT / "sweeps" / f"{name}.yaml").read_text(encoding="utf-8"):  # it asks for domains
        text = [f"data.parts.{part}.limit_bytes=300000" for part in ("code", "prose")]
    if "override /data: probe" in (PROJECT / "sweeps" / f"{name}.yaml").read_text(encoding="utf-8"):  # for its task
        text = ["data.size=1000"]
    if "override /data: world" in (PROJECT / "sweeps" / f"{name}.yaml").read_text(encoding="utf-8"):  # writes its own
        text = []
    words = [f"sweeps={name}", *text, f"root={tmp_path / 'runs'}", "archives=[]"]  # kept results are no work to do
    # One seed an arm: the others' jobs are the same but for that number, and composing is what takes time here.
    invoke([*words, "hydra.mode=MULTIRUN", "hydra.sweeper.plan=true", "seed=0"], command="")
    claim = Claim.parse(yaml.safe_load((PROJECT / "sweeps" / f"{name}.yaml").read_text())["claim"])
    arms = len({tuple(arm.overrides) for arm in claim.arms.values()})  # two comparisons may share a run
    assert f"{arms} to do" in capsys.readouterr().out
    assert claim.question.endswith("?")
    small = [word for word in SMALL if word != "shape=smoke"]
    first = [word.replace("6000000", "600") for word in next(iter(claim.arms.values())).overrides]  # a parent's tokens
    record = invoke([*words, "hydra.mode=RUN", *first, *small], command="").record
    assert record is not None
    assert record.status == "done", record.error


@pytest.mark.parametrize("name", sweeps())
def test_no_comparison_of_a_sweep_is_refused_by_construction(name: str) -> None:
    """One that differs in more than the factor would be refused, and cost the others their power all the same."""
    claim = Claim.parse(yaml.safe_load((PROJECT / "sweeps" / f"{name}.yaml").read_text())["claim"])
    for variant, against in claim.comparisons.items():
        made = [set(claim.arms[arm].overrides) for arm in (variant, against)]
        # Of a group that is put elsewhere (``model/ffn@model.ffn.sparse``) the place counts.
        keys = {word.split("=")[0].split("@")[-1].replace("/", ".") for word in made[0] ^ made[1]}
        assert not drifted(dict.fromkeys(keys, ("one", "other")), claim), (variant, against)
    assert bool(rungs(claim)) == (name == "ladder")
