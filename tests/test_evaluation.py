"""`tinylm eval`: a run again, and models of other houses, on any text."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_tokenizers import form, saved

from tests.commands import SMALL, text_files
from tinylm.cli.main import dispatch
from tinylm.compose.main import invoke
from tinylm.data.tokenizer.file import File
from tinylm.evaluate.bits import standard_error


def scored(capfd: pytest.CaptureFixture[str], *words: str) -> dict:
    assert dispatch(["eval", *words, "--json"]) == 0
    return json.loads(capfd.readouterr().out)["scores"]["bits"]


def test_a_run_scores_again_what_its_record_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text, root = text_files(tmp_path / "text"), f"--root={tmp_path}/runs"
    record = invoke([*text, *SMALL, f"root={tmp_path}/runs"], command="").record
    assert record is not None
    again = scored(capfd, record.key[:6], root)
    assert {name: record.metrics[name] for name in again["scalars"]} == again["scalars"]
    path = f"{tmp_path}/text/text.txt"
    every = scored(capfd, record.key, root, "--text", path, "data.document=line", "precision=fp32")
    assert every["scalars"]["all_documents"] == 120
    assert dispatch(["eval", record.key, root, "--split", "tune"]) == 0
    assert "tune_bits_per_byte" in capfd.readouterr().out
    for words, said in [
        (["optim=muon"], "optim=muon: a trained"),
        (["--text", "/nowhere.txt"], "/nowhere.txt"),
        (["--context", "0"], "--context 0: give 1"),
        *([] if torch.cuda.is_available() else [(["machine=gpu"], "machine=gpu: PyTorch finds no GPU here")]),
    ]:
        assert dispatch(["eval", record.key, root, *words]) == 2
        assert said in capfd.readouterr().err


def test_a_model_of_another_house_is_scored_as_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each document from the id that opens it: for a tokenizer without one, the config's."""
    text_files(tmp_path / "text", documents=8)
    lines = (tmp_path / "text" / "text.txt").read_text().splitlines()
    made = json.loads(form("letters"))
    closing = made["added_tokens"][1]
    del made["added_tokens"][0]  # as in GPT-2, where one token closes and opens
    closing |= {"content": "<|endoftext|>", "id": 598}
    config = transformers.GPT2Config(
        n_embd=32,
        n_layer=2,
        n_head=2,
        vocab_size=604,
        n_positions=128,
        initializer_range=0.2,
        bos_token_id=598,
        eos_token_id=598,
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(tmp_path / "model")
    tokenizer = File(saved(made, tmp_path / "model")).tokenizer
    assert tokenizer.bos == 599  # added; the table has a row of that number, which is padding
    bits = []
    for line in lines:
        ids = torch.tensor([[598, *tokenizer.encode(line)]])
        with torch.no_grad():
            logits_TV = model(ids).logits[0, :-1]
        bits.append(torch.nn.functional.cross_entropy(logits_TV, ids[0, 1:], reduction="sum").item() / math.log(2))
    found = scored(capfd, f"hf:{tmp_path}/model", "--text", f"{tmp_path}/text/text.txt")
    assert found["items"]["bits"] == pytest.approx(bits, rel=1e-5)
    assert dispatch(["eval", f"hf:{tmp_path}/text"]) == 2
    assert "there is no tokenizer.json" in capfd.readouterr().err


def test_the_standard_error_is_that_of_drawing_documents_anew() -> None:
    draw = np.random.default_rng(0)
    bytes_N = draw.integers(50, 2000, 400).astype(float)
    bits_N = bytes_N * draw.normal(2.0, 0.3, 400)
    picks = draw.integers(0, 400, (4000, 400))
    again = bits_N[picks].sum(1) / bytes_N[picks].sum(1)
    assert standard_error(bits_N, bytes_N) == pytest.approx(again.std(), rel=0.05)
    assert standard_error(bits_N[:1], bytes_N[:1]) is None
