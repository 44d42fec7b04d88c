"""Exports: every option of a model is the same in transformers, to the logit and the greedy token, or refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tiny_model import tiny_model, with_shape
from tiny_tokenizers import TEXTS
from tiny_tokenizers import tokenizer as tiny_tokenizer

from tests.commands import SMALL, text_files
from tinylm.batch import Batch
from tinylm.cli.main import dispatch
from tinylm.compose import schema
from tinylm.compose.main import invoke
from tinylm.compose.parts import model_factory
from tinylm.data.prune import count, prune
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.data.tokens import BOS, EOS, Tokenizer
from tinylm.errors import UserError
from tinylm.exchange.card import card
from tinylm.exchange.checkpoint import read
from tinylm.exchange.export import Proof, counterpart, export
from tinylm.exchange.families import FAMILIES
from tinylm.init.initialiser import fill
from tinylm.init.pretrained import Pretrained
from tinylm.init.scratch import Scratch
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.attention.window import Window
from tinylm.model.ffn.gelu import GELU
from tinylm.model.ffn.moe import MoE
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.layer import Layer
from tinylm.model.position.learned import Learned
from tinylm.record import RunRecord
from tinylm.report.claims.manifest import Job, Manifest
from tinylm.report.records.replicates import replicates
from tinylm.streams import Streams

BYTES = Bytes().train(list)
CONF = Path(__file__).parents[1] / "conf" / "model"
OPTIONS = sorted((path.parent.name, path.stem) for path in CONF.glob("*/*.yaml"))
# Beside what the rest of a model is: an option counts as exportable where it is in either.
LIKE_LLAMA = {"attention": "multihead", "ffn": "swiglu", "norm": "rms", "position": "rotary"}
LIKE_GPT2 = {**LIKE_LLAMA, "ffn": "gelu", "norm": "layer", "position": "learned"}
EXPORTABLE = {
    *(("attention", "multihead"), ("attention", "window"), ("norm", "rms"), ("norm", "layer")),
    *(("position", "rotary"), ("position", "learned"), ("placement", "pre"), ("shortcut", "none")),
    *(("ffn", name) for name in ("swiglu", "gelu", "relu", "relu2", "moe", "frozen_centroid")),
}


def written(model: LanguageModel, folder: Path, tokenizer: Tokenizer = BYTES) -> Path:
    export(model, tokenizer, folder, lambda proof: "")
    return folder


def shaken(model: LanguageModel) -> LanguageModel:
    """No parameter at its constant start, where a part might be as if it were not there."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in model.starts():
            parameter = model.get_parameter(name)
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model.eval()


def tiny(**slots: Any) -> LanguageModel:
    shape = slots.pop("shape", {})
    return shaken(tiny_model(with_shape(vocab=BYTES.vocab_size, **shape), std=0.2, **slots))


@cache
def node_of(slot: str, name: str) -> Any:
    """What the YAML says; Hydra is asked where it is made of others."""
    node = yaml.safe_load((CONF / slot / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    if "defaults" in node:
        with initialize_config_dir(str(CONF.parent), version_base="1.3"):
            node = OmegaConf.to_container(compose("config", [f"model/{slot}={name}"]).model[slot], resolve=True)
    return schema.check(node, f"model.{slot}")


def of_options(**options: str) -> LanguageModel:
    """The model that the config's options make."""
    config = {slot: node_of(slot, name) for slot, name in {**LIKE_LLAMA, **options}.items()}
    heads = {"kv_heads": 4} if options.get("norm") == "layer" else {}
    with torch.device("meta"):
        return model_factory({"model": config})(with_shape(vocab=BYTES.vocab_size, **heads))


@torch.no_grad()
def logits(model: LanguageModel, ids_BT: torch.Tensor) -> torch.Tensor:
    return model.head(model(Batch(ids_BT, ids_BT)).hidden_BTD)


def greedy(model: LanguageModel, ids: list[int], tokens: int) -> list[int]:
    for _ in range(tokens):
        logits_V = logits(model, torch.tensor([ids]))[0, -1]
        logits_V[BYTES.bos] = -torch.inf
        ids = [*ids, int(logits_V.argmax())]
        if ids[-1] == BYTES.eos:
            break
    return ids


def assert_the_same_in_transformers(model: LanguageModel, folder: Path) -> None:
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids_BT = torch.randint(0, model.shape.vocab, (2, 20), generator=torch.Generator().manual_seed(1))
    expected_BTV = logits(model, ids_BT)
    assert expected_BTV.std() > 0.3
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids_BT).logits, expected_BTV, rtol=0, atol=1e-5)
    prompt = [BYTES.bos, *BYTES.encode("the sea")]
    begun = loaded.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=8)[0].tolist()
    assert begun == greedy(model, prompt, 8)


@pytest.mark.parametrize(("slot", "name"), OPTIONS, ids=[f"{slot}-{name}" for slot, name in OPTIONS])
def test_every_option_is_exported_as_it_is_or_refused_by_name(slot: str, name: str, tmp_path: Path) -> None:
    refusals = []
    for context in (LIKE_LLAMA, LIKE_GPT2):
        model = of_options(**{**context, slot: name})
        if refusal := refused(model):
            refusals.append(refusal)
            continue
        fill(model, [Scratch(std=0.2)], Streams(0))
        assert_the_same_in_transformers(shaken(model), written(model, tmp_path / "out"))
        break
    assert (len(refusals) < 2) is ((slot, name) in EXPORTABLE), refusals
    if len(refusals) == 2:
        assert f"model/{slot}={'moe in some layers' if name == 'mixed' else name}" in refusals[0]


def refused(model: LanguageModel) -> str:
    """Why a model cannot be written; nothing where it can."""
    try:
        counterpart(model)
    except UserError as error:
        return str(error)
    return ""


LIKE_GPT2_MODEL: dict[str, Any] = {"norm": Layer, "position": Learned, "shape": {"kv_heads": 4}}


@pytest.mark.parametrize(
    "model",
    [
        partial(tiny, shape={"tied": False, "head_dim": 16}),
        partial(tiny, attention=partial(MultiHead, bias="all")),
        partial(tiny, attention=partial(MultiHead, bias="qkv")),
        partial(tiny, ffn=partial(MoE, experts=3, k=1, normalise=True, hidden=16, capacity=1.0)),
        partial(tiny, ffn=partial(MoE, experts=3), attention=partial(Window, window=5)),
        partial(
            tiny, attention=partial(MultiHead, bias="all"), ffn=partial(GELU, bias=True, unit="tanh"), **LIKE_GPT2_MODEL
        ),
    ],
    ids=["untied", "biases", "biases-qkv", "moe-one", "moe-window", "gpt2"],
)
def test_options_of_parts_are_kept_and_what_comes_back_is_bitwise_the_same(model: Any, tmp_path: Path) -> None:
    original = model()
    folder = written(original, tmp_path / "out")
    assert_the_same_in_transformers(original, folder)
    back = read(folder).model
    theirs = dict(back.named_parameters())
    for name, parameter in original.named_parameters():
        assert torch.equal(parameter, theirs.pop(name)), name
    assert all(name.endswith("o.bias") and not parameter.any() for name, parameter in theirs.items())
    ids_BT = torch.arange(20)[None]
    assert torch.equal(logits(original, ids_BT), logits(back, ids_BT))
    if not theirs:
        fill(back, [Pretrained(str(folder))], Streams(0))  # as init=pretrained does
        assert torch.equal(logits(original, ids_BT), logits(back.eval(), ids_BT))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (partial(tiny, ffn=partial(MoE, k=2, normalise=False)), "model.ffn.normalise=false"),
        (partial(tiny, ffn=partial(MoE, k=1)), "model.ffn.normalise=false"),
        (partial(tiny, ffn=partial(MoE, shared=True)), "model.ffn.shared=true"),
        (partial(tiny, ffn=partial(MoE, unit="relu")), "model.ffn.unit=relu"),
        (partial(tiny, ffn=MoE, attention=partial(MultiHead, bias="qkv")), "model.attention.bias is set"),
        (partial(tiny, shape={"heads": 3, "kv_heads": 3}), "shape.width=32"),
        (partial(tiny, ffn=GELU, norm=Layer, position=Learned), "shape.kv_heads=2"),
        (partial(tiny, ffn=GELU, norm=Layer, position=Learned, shape={"kv_heads": 4, "head_dim": 16}), "shape.heads=4"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_its_option(model: Any, says: str) -> None:
    refusal = refused(model())
    assert says in refusal
    assert "\n" not in refusal


@pytest.mark.parametrize("kind", ["letters", "llama", "unigram"])
@pytest.mark.parametrize("pruned", [False, True])
def test_texts_get_the_same_ids_and_come_back(kind: str, pruned: bool, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(kind, tmp_path)
    if pruned:
        tokenizer = prune(tokenizer, count(tokenizer, TEXTS), vocab=tokenizer.vocab_size - 60)
    model = tiny_model(with_shape(vocab=tokenizer.vocab_size)).eval()
    theirs = transformers.AutoTokenizer.from_pretrained(written(model, tmp_path / "out", tokenizer))
    assert (theirs.bos_token_id, theirs.eos_token_id) == (tokenizer.bos, tokenizer.eos)
    specials = [f"{BOS}a{EOS}"] if kind == "letters" else []
    plain = [text.replace("<s>", "").replace("</s>", "") if kind == "unigram" else text for text in TEXTS]
    for text in [*plain, "", " ", "\n\n x", "\x00é中🙂", "don't  stop", *specials]:
        assert theirs(text)["input_ids"] == [tokenizer.bos, *tokenizer.encode(text)]
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert theirs.decode(ids) == text


def test_nothing_stands_there_unless_transformers_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").touch()
    with pytest.raises(UserError, match="something already"):
        written(model, tmp_path / "full")
    family = FAMILIES["llama"]
    wrong = replace(family, told=lambda model: {**family.told(model), "rope_theta": 500.0})
    monkeypatch.setitem(FAMILIES, "llama", wrong)
    with pytest.raises(UserError, match="gives other logits"):
        written(model, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'tinylm\[hf\]'"):
        written(model, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_run_is_exported_told_and_scored_alike(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text, root = text_files(tmp_path / "text"), f"--root={tmp_path}/runs"
    lines = (tmp_path / "text" / "text.txt").read_text().splitlines()
    rows = [{"text": line, "domain": ("odd", "even")[len(line) % 2]} for line in lines]
    (tmp_path / "text" / "text.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text[1:3] = [f"data.paths=[{tmp_path}/text/text.jsonl]", "data.domain_field=domain"]
    small = [word for word in SMALL if not word.startswith("tokenizer")]
    pruned = ["tokenizer=pruned", "tokenizer.vocab=280", "tokenizer.of.vocab=320"]
    record = invoke([*text, *small, *pruned, f"root={tmp_path}/runs"], command="").record
    assert record is not None
    out = tmp_path / "there" / "mine"
    assert dispatch(["export", record.key[:8], str(out), root]) == 0
    told = (out / "README.md").read_text()
    for fact in (record.key, f"{record.metrics['bits_per_byte']:.4f} | ± ", "standard error over", "text.jsonl", "280"):
        assert fact in told
    for domain in ("odd", "even"):
        assert f"| bits_per_byte/{domain} | {record.metrics[f'bits_per_byte/{domain}']:.4f} | ± " in told
    assert str(tmp_path) not in told
    assert "\nlicense" not in told
    data = [*text, "--split", "test", "--json"]
    capfd.readouterr()
    scores = []
    for subject in (record.key, f"hf:{out}"):
        assert dispatch(["eval", subject, root, "precision=fp32", "--context=32", *data]) == 0
        scores.append(json.loads(capfd.readouterr().out)["scores"]["bits"]["items"]["bits"])
    assert scores[0] == scores[1]
    assert dispatch(["export", record.key, str(out), root]) == 2


def test_a_card_has_the_interval_of_its_seeds_and_no_html(tmp_path: Path) -> None:
    shape = {"depth": 1, "width": 8, "heads": 1, "head_dim": 8, "kv_heads": 1, "vocab": 9, "context": 4, "tied": True}
    accounting = {"shape": shape, "parameters": {"total": 10, "active": 10}}
    config = {"data": {"paths": ["a|b`.txt"]}, "budget": {}, "optim": {}, "precision": "fp32", "seed": 0}
    records = [
        RunRecord(key, "done", config, {}, {"bits_per_byte": value}, accounting=accounting, sweeps=["s"])
        for key, value in (("k0", 1.0), ("k1", 2.0), ("k2", 3.0))
    ]
    for record in records:
        record.write(tmp_path / record.key)
    jobs = [Job(record.key, "arm", "compare", seed) for seed, record in enumerate(records)]
    Manifest("s", "", None, jobs).write(tmp_path)
    found = replicates(records[0], tmp_path)
    assert found is not None
    mean, half, n = found.interval("bits_per_byte") or (0, 0, 0)
    assert (mean, n) == (2.0, 3)
    assert half == pytest.approx(4.302653 / 3**0.5, rel=1e-6)  # t of two degrees of freedom
    records[0].warnings = ["<script>alert(1)</script>"]
    page = card(records[0], Proof("LlamaForCausalLM", 1e-6, 9.0, "5"), "<b>", {"bits_per_byte": "2 ± 1"})
    assert "<script>" not in page
    assert "<b>" not in page
    assert "| bits_per_byte | 1.0000 | 2 ± 1 |" in page
    assert "a\\|b'.txt" in page
