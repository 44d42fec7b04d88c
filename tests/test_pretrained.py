"""Checkpoints of other houses give the logits that transformers gives, and nothing pickled is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_model import tiny_model
from tiny_tokenizers import TEXTS, tokenizer
from tiny_tokenizers import form as letters
from tiny_tokenizers import saved as written

from tests.commands import text_files
from tests.test_keys import job_of
from tinylm.batch import IGNORE, Batch
from tinylm.compose.main import invoke
from tinylm.compose.rehearsal import rehearse
from tinylm.data.prune import count, prune
from tinylm.data.tokenizer.bpe import BPE
from tinylm.data.tokenizer.file import File
from tinylm.data.tokenizer.pruned import Pruned
from tinylm.errors import UserError
from tinylm.exchange.checkpoint import INDEX, outline, read
from tinylm.init.cut import spans
from tinylm.init.initialiser import Sources, fill
from tinylm.init.pretrained import Pretrained
from tinylm.model.attention.multihead import MultiHead
from tinylm.model.ffn.gelu import GELU
from tinylm.model.lm import LanguageModel
from tinylm.model.norm.layer import Layer
from tinylm.model.norm.rms import RMS
from tinylm.model.position.learned import Learned
from tinylm.model.position.rotary import Rotary
from tinylm.model.shape import Shape
from tinylm.streams import Streams
from tinylm.train.descent import descend

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "vocab_size": 61,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
}
OURS: dict[str, Any] = {"norm": partial(RMS, epsilon=1e-5), "position": partial(Rotary, base=500000.0)}  # llama's
IDS_BT = torch.randint(0, 61, (2, 20), generator=torch.Generator().manual_seed(0))


def llama(**options: Any) -> transformers.PreTrainedModel:
    config = transformers.LlamaConfig(**{**SIZES, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, **options})
    return transformers.LlamaForCausalLM(config)


def qwen2(**options: Any) -> transformers.PreTrainedModel:
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**{**SIZES, "tie_word_embeddings": True, **options}))


def mistral(**options: Any) -> transformers.PreTrainedModel:
    return transformers.MistralForCausalLM(transformers.MistralConfig(**{**SIZES, "sliding_window": 5, **options}))


def mixtral(**options: Any) -> transformers.PreTrainedModel:
    sizes = {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2}
    return transformers.MixtralForCausalLM(transformers.MixtralConfig(**{**sizes, **options}))


def gpt2(**options: Any) -> transformers.PreTrainedModel:
    sizes = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 61, "n_positions": 24, "initializer_range": 0.3}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**sizes, **options}))


def trained(make: Callable[..., transformers.PreTrainedModel]) -> transformers.PreTrainedModel:
    """A stand-in for a trained model: its biases and gains are not those of a fresh one."""
    torch.manual_seed(0)
    made = make()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn(parameter.shape)
    return made.eval()


def saved(made: transformers.PreTrainedModel, folder: Path, **options: Any) -> Path:
    made.save_pretrained(folder, **options)
    return folder


def begun_words(folder: Path) -> tuple[Path, list[str]]:
    """A checkpoint with room for the smallest shape, and the overrides of a run that begins from it."""
    sizes = {"hidden_size": 64, "head_dim": 16, "num_key_value_heads": 4, "intermediate_size": 200, "vocab_size": 600}
    made = trained(partial(llama, tie_word_embeddings=True, max_position_embeddings=64, **sizes))
    checkpoint, own = saved(made, folder / "checkpoint"), written(json.loads(letters("letters")), folder)
    return checkpoint, [
        *("init=pretrained", f"init.path={checkpoint}", "tokenizer=file", f"tokenizer.path={own}"),
        *("shape=smoke", "batch.context=32", "model.norm.epsilon=1e-5", "model.position.base=500000"),
    ]


@torch.no_grad()
def logits(model: LanguageModel) -> torch.Tensor:
    return model.head(model(Batch(IDS_BT, IDS_BT)).hidden_BTD)


@pytest.mark.parametrize(
    "make",
    [
        llama,
        partial(llama, tie_word_embeddings=True, head_dim=16, attention_bias=True),
        qwen2,
        mistral,
        mixtral,
        gpt2,
        partial(gpt2, activation_function="gelu", n_inner=48),
    ],
    ids=["llama", "llama-tied", "qwen2", "mistral", "mixtral", "gpt2", "gpt2-gelu"],
)
def test_logits_are_those_of_transformers(make: Any, tmp_path: Path) -> None:
    made = trained(make)
    folder = saved(made, tmp_path)
    with torch.no_grad():
        expected = made(IDS_BT).logits
    assert expected.std() > 0.3
    torch.testing.assert_close(logits(read(folder).model), expected, rtol=0, atol=1e-4)


def test_shards_and_the_short_names_of_gpt2_are_read(tmp_path: Path) -> None:
    made = trained(gpt2)
    sharded = saved(made, tmp_path / "shards", max_shard_size="20KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    short = saved(made, tmp_path / "short")
    tensors = load_file(short / "model.safetensors")
    renamed = {name.removeprefix("transformer."): tensor.clone() for name, tensor in tensors.items()}
    renamed["h.0.attn.bias"] = torch.ones(1)
    save_file(renamed, short / "model.safetensors")
    with torch.no_grad():
        expected = made(IDS_BT).logits
    for folder in (sharded, short):
        torch.testing.assert_close(logits(read(folder).model), expected, rtol=0, atol=1e-4)


def test_a_child_is_cut_out_of_a_checkpoint(tmp_path: Path) -> None:
    folder = saved(trained(partial(llama, tie_word_embeddings=True, bos_token_id=1)), tmp_path / "tiny")
    whole = read(folder)
    same = tiny_model(whole.model.shape, **OURS)
    said = fill(same, [Pretrained(str(folder))], Streams(0))
    assert said[0].initialiser == "pretrained"
    assert torch.equal(logits(same.eval()), logits(whole.model))
    shape = Shape(2, 24, 2, 1, 8, 32, 63, 20, tied=True)  # two ids more: those that open and close documents
    small = tiny_model(shape, **OURS)
    said = fill(small, [Pretrained(str(folder))], Streams(0), Sources())
    assert said[0].details["layers"] == {"0": 0, "1": 2}
    assert said[0].details["parent"] == "tiny"
    assert torch.equal(small.embedding.weight[61], small.embedding.weight[1])
    with pytest.raises(UserError, match=r"position has base=10000\.0 in the child and 500000\.0"):
        fill(tiny_model(whole.model.shape), [Pretrained(str(folder))], Streams(0))
    with pytest.raises(UserError, match="64 ids and the checkpoint 61"):
        fill(tiny_model(Shape(2, 24, 2, 1, 8, 32, 64, 20, tied=True), **OURS), [Pretrained(str(folder))], Streams(0))


def test_gpt2s_parts_are_options_of_ours(tmp_path: Path) -> None:
    checkpoint = read(saved(trained(gpt2), tmp_path)).model
    parts = {"norm": Layer, "position": Learned, "ffn": partial(GELU, bias=True, unit="tanh")}
    model = tiny_model(checkpoint.shape, attention=partial(MultiHead, bias="all"), **parts)
    fill(model, [Pretrained(str(tmp_path))], Streams(0))
    assert torch.equal(logits(model.eval()), logits(checkpoint))


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = saved(trained(llama), tmp_path / "llama")
    plain = json.loads((made / "config.json").read_text())
    refused = {
        "not known; valid: llama, qwen2, mistral, mixtral, gpt2": {"model_type": "bert"},
        "rope_type=linear is not supported": {"rope_parameters": {"rope_type": "linear", "factor": 2.0}},
        "hidden_act=relu is not supported": {"hidden_act": "relu"},
        "and its config asks for": {"intermediate_size": 48},
        "for which our model of its family has no place": {"num_hidden_layers": 2},
        "it lacks model.layers.3": {"num_hidden_layers": 4},
    }
    for complaint, change in refused.items():
        (made / "config.json").write_text(json.dumps({**plain, **change}))
        with pytest.raises(UserError, match=complaint) as caught:
            read(made)
        assert "\n" not in str(caught.value)
    for lacking in ("num_attention_heads", "vocab_size"):
        (made / "config.json").write_text(json.dumps({key: plain[key] for key in plain.keys() - {lacking}}))
        with pytest.raises(UserError, match=f"config.json does not say {lacking}"):
            read(made)
    (made / "config.json").write_text(json.dumps({**plain, "hidden_size": None}))
    with pytest.raises(UserError, match=r"config\.json makes no model"):
        read(made)
    (made / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"config\.json holds no object"):
        read(made)
    (made / "config.json").write_text(json.dumps(plain))
    whole = (made / "model.safetensors").read_bytes()
    (made / "model.safetensors").write_bytes(whole[:-100])
    for reader in (read, outline):
        with pytest.raises(UserError, match=r"model\.safetensors is torn") as caught:
            reader(made)
        assert "\n" not in str(caught.value)
    for index in ("{}", "{"):
        (made / INDEX).write_text(index)
        with pytest.raises(UserError, match=INDEX):
            read(made)
    (made / INDEX).unlink()
    (made / "model.safetensors").rename(made / "pytorch_model.bin")
    (made / "config.json").write_text(json.dumps(plain))
    with pytest.raises(UserError, match="never loaded"):
        read(made)
    with pytest.raises(UserError, match="no such folder"):
        Pretrained(str(tmp_path / "nowhere"))

    def refuse(*words: Any, **options: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(UserError, match=r"came from the hub \(ConnectionError\)"):
        Pretrained("someone/something")


def test_a_pruned_tokenizer_leads_to_the_rows_of_its_own_ids(tmp_path: Path) -> None:
    original = tokenizer("letters", tmp_path)  # opens a document by an id of its own
    pruned = prune(original, count(original, TEXTS), vocab=300)
    assert pruned.origin is not None
    ids_V = torch.from_numpy(pruned.origin.ids_V)
    assert not torch.equal(ids_V, torch.arange(300))
    for rows in (original.vocab_size, original.vocab_size + 8, 300):  # its own, padded, and as many as the child has
        checkpoint = saved(trained(partial(llama, vocab_size=rows)), tmp_path / str(rows))
        child = tiny_model(replace(read(checkpoint).model.shape, vocab=300), **OURS)
        if rows == 300:
            with pytest.raises(UserError, match="600 ids and the checkpoint 300"):
                fill(child, [Pretrained(str(checkpoint))], Streams(0), Sources(tokenizer=pruned))
            continue
        fill(child, [Pretrained(str(checkpoint))], Streams(0), Sources(tokenizer=pruned))
        assert torch.equal(child.embedding.weight, read(checkpoint).model.embedding.weight[ids_V])


def test_an_id_that_was_added_takes_no_row_of_padding(tmp_path: Path) -> None:
    made = json.loads(letters("letters"))
    opening, closing = made["added_tokens"]
    made["added_tokens"] = [{**closing, "id": opening["id"]}]
    checkpoint = saved(trained(partial(llama, vocab_size=640, eos_token_id=598)), tmp_path)
    own = File(written(made, tmp_path)).tokenizer
    assert (own.eos, own.bos) == (598, 599)
    for vocab in (600, 640):  # of the tokenizer, and with the padding
        child = tiny_model(replace(read(checkpoint).model.shape, vocab=vocab), **OURS)
        fill(child, [Pretrained(str(checkpoint))], Streams(0), Sources(tokenizer=own))
        table_VD = read(checkpoint).model.embedding.weight
        assert torch.equal(child.embedding.weight[:599], table_VD[:599])
        assert torch.equal(child.embedding.weight[599], table_VD[read(checkpoint).start])


def test_a_tokenizer_that_is_not_the_checkpoints_is_refused_before_training(tmp_path: Path) -> None:
    form = json.loads(letters("letters"))
    own = File(written(form, tmp_path))
    checkpoint = saved(trained(partial(llama, vocab_size=640)), tmp_path / "checkpoint")
    child = tiny_model(read(checkpoint).model.shape, **OURS)
    pretrained = Pretrained(str(checkpoint))
    for suited in (own, Pruned(own, vocab=300)):
        pretrained.suits(child, suited)
    for foreign in (BPE(600), Pruned(BPE(600), vocab=300)):
        with pytest.raises(UserError, match="tokenizer=file"):
            pretrained.suits(child, foreign)
    (tmp_path / "other").mkdir()
    pieces = form["model"]["vocab"]
    first, second = [piece for piece in pieces if len(piece) == 1 and piece.isalpha()][:2]
    swapped = {**pieces, first: pieces[second], second: pieces[first]}
    other = File(written({**form, "model": {**form["model"], "vocab": swapped}}, tmp_path / "other"))
    pretrained.suits(child, other)  # its number of ids would do
    written(form, checkpoint)
    pretrained.suits(child, own)
    with pytest.raises(UserError, match=r"has id .* and in the checkpoint's"):
        pretrained.suits(child, other)
    unlike = {**form, "normalizer": {"type": "NFC"}}  # as Qwen2's: no tokenizer of ours, but a copy without it is
    written(unlike, checkpoint)
    pretrained.suits(child, own)
    fill(child, [pretrained], Streams(0))
    (checkpoint / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match=r"tokenizer\.json: no tokenizer\.json"):
        pretrained.suits(child, own)
    written(form, checkpoint)
    large = saved(trained(partial(llama, vocab_size=1700)), tmp_path / "large")
    with pytest.raises(UserError, match="1100 of the checkpoint's 1700 rows have no id"):
        Pretrained(str(large)).suits(child, own)
    with pytest.raises(UserError, match="base=10000"):
        pretrained.suits(tiny_model(child.shape), own)


def test_a_run_tells_what_it_took_of_a_checkpoint(tmp_path: Path) -> None:
    """From config to rows: the tokenizer's map reaches the table, and a misfit is found without training."""
    checkpoint, begin = begun_words(tmp_path)
    words = [
        *(*text_files(tmp_path / "text"), *begin, "budget=steps", "budget.amount=1", "compile=false"),
        *("batch.size=2", "tokenizer=pruned", "tokenizer.vocab=300", "tokenizer@tokenizer.of=file"),
        *("init.layers=importance", "init.neurons=taylor", "init.batches=2", "data.tune=0.2"),
        *(f"root={tmp_path}/runs", f"cache={tmp_path}/cache"),
    ]
    words = [word.replace("tokenizer.path", "tokenizer.of.path") for word in words if word != "tokenizer=file"]
    ended = invoke(words, command="").record
    assert ended is not None
    assert ended.status == "done", ended.error
    told = json.loads(next((tmp_path / "runs").glob("*/inheritance.json")).read_text())["pretrained"]
    (origin,) = (tmp_path / "cache" / "tokenizers").rglob("*.origin.json")
    assert told["kept"]["ids"] == spans(json.loads(origin.read_text())["ids"])
    costs = told["layer_losses"]["without"]
    kept = sorted(sorted(range(3), key=lambda layer: -costs[layer])[:2])
    assert told["tensors"]["blocks.1.ffn.up.weight"]["from"] == f"blocks.{kept[1]}.ffn.up.weight"
    assert ended.cost["initialise_flops"] > 0
    assert "is GELU in the child" in (rehearse(job_of(*words, "model/ffn=gelu")) or "")
    (checkpoint / "config.json").write_text('{"model_type": "bert"}')
    assert "a model of type 'bert' is not known" in (rehearse(job_of(*words)) or "")


def test_what_is_measured_is_measured_on_the_childs_text_in_the_checkpoints_ids(tmp_path: Path) -> None:
    original = tokenizer("letters", tmp_path)
    pruned = prune(original, count(original, TEXTS), vocab=300)
    assert pruned.origin is not None
    ids_V = torch.from_numpy(pruned.origin.ids_V)
    checkpoint = saved(trained(partial(llama, vocab_size=original.vocab_size)), tmp_path / "checkpoint")
    whole = read(checkpoint).model
    rng = torch.Generator().manual_seed(3)
    read_BT = torch.randint(0, 300, (4, 2, 20), generator=rng)
    shape = replace(whole.shape, vocab=300, depth=1, hidden=16)
    asked: dict[str, list[Batch]] = {"child": [], "checkpoint": []}

    def own(step: int) -> Batch:
        targets_BT = read_BT[step % 4].roll(-1, 1)
        targets_BT[:, -1] = IGNORE
        asked["child"].append(Batch(read_BT[step % 4], targets_BT))
        return asked["child"][-1]

    def fit(parameters: Any, loss: Any, batches: Callable[[int], Batch], **options: Any) -> None:
        asked["checkpoint"].append(batches(0))
        descend(parameters, loss, batches, **options)

    details = {}
    for neurons in ("taylor", "mask"):
        sources = Sources(tokenizer=pruned, own=own, fit=fit)
        begun = Pretrained(str(checkpoint), layers="importance", neurons=neurons, steps=3)
        (said,) = fill(tiny_model(shape, **OURS), [begun], Streams(0), sources)
        details[neurons] = said.details
        assert said.flops > 0
    (seen,) = asked["checkpoint"]
    assert torch.equal(seen.ids_BT, ids_V[read_BT[0]])
    assert torch.equal(seen.targets_BT[:, :-1], ids_V[read_BT[0]][:, 1:])
    assert (seen.targets_BT[:, -1] == IGNORE).all()
    with torch.no_grad():
        loss = sum(
            torch.nn.functional.cross_entropy(
                whole.head(whole(Batch(ids_V[ids_BT], ids_V[ids_BT])).hidden_BTD)[:, :-1].flatten(0, 1),
                ids_V[ids_BT][:, 1:].flatten(),
            )
            for ids_BT in read_BT
        )
    assert details["taylor"]["layer_losses"]["whole"] == pytest.approx(float(loss) / 4, rel=1e-4)
    assert len(details["mask"]["mask"]) > 0


def test_a_key_holds_the_content_and_not_the_place(tmp_path: Path) -> None:
    here = Pretrained(str(saved(trained(llama), tmp_path / "here"))).content()
    assert Pretrained(str((tmp_path / "here").rename(tmp_path / "there"))).content() == here
    other = saved(trained(partial(llama, rms_norm_eps=1e-4)), tmp_path / "other")  # the same weights
    assert Pretrained(str(other)).content() != here
