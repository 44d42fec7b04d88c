"""A sub-model of one domain says what the whole model says there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

import tinylm as package
from tests.commands import SMALL, tinylm
from tinylm.batch import Batch
from tinylm.report.records.collect import collect

GROUPS = ["model/ffn=mixed", "model/ffn@model.ffn.sparse=random_routed", "model.ffn.sparse.groups={code: 2, prose: 3}"]


def test_an_extracted_model_is_the_whole_one_on_its_domain(tmp_path: Path) -> None:
    text = ["data=code_and_prose", *(f"data.parts.{part}.limit_bytes=300000" for part in ("code", "prose"))]
    text += [f"data.parts.{part}.test=0.2" for part in ("code", "prose")]
    ran = tinylm("run", *SMALL, *text, *GROUPS, "keep=weights", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (key,) = collect(tmp_path / "runs")["key"]
    whole, tokenizer = package.load(key, tmp_path / "runs")
    assert whole.shape.domains == ("code", "prose")
    ids_BT = torch.tensor([tokenizer.encode("def f(x): return x")])
    for number, domain in enumerate(whole.shape.domains):
        told = tinylm("extract", key, "--domain", domain, cwd=tmp_path)
        assert told.returncode == 0, told.stderr
        folder = Path(told.stdout.split(":")[0])
        part, _ = package.load(folder.name, tmp_path / folder.parent)
        batch = Batch(ids_BT, ids_BT)
        logits = part.head(part(batch).hidden_BTD)
        same, other = (
            whole.head(whole(replace(batch, domain_B=torch.tensor([place]))).hidden_BTD)
            for place in (number, 1 - number)
        )
        torch.testing.assert_close(logits, same, rtol=1e-5, atol=1e-6)
        assert (logits - other).abs().max() > 1e-4
        assert sum(p.numel() for p in part.parameters()) < sum(p.numel() for p in whole.parameters())
    sampled = tinylm("sample", folder.name, "--root", "extracted", "--tokens", "3", cwd=tmp_path)
    assert sampled.returncode == 0, sampled.stderr
    refused = tinylm("extract", key, "--domain", "prse", cwd=tmp_path)
    assert refused.returncode == 2
    assert "did you mean 'prose'" in refused.stderr
