"""What a notebook calls: the same as the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinylm
from tests.commands import SMALL, text_files
from tinylm.errors import UserError


def test_run_sweep_collect_compare_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = [*text_files(tmp_path / "text"), *SMALL]
    record = tinylm.run(*small, "model/ffn=gelu")
    assert record.status == "done"
    model, tokenizer = tinylm.load(record.key[:8])
    assert sum(p.numel() for p in model.parameters()) == record.accounting["parameters"]["total"]
    assert tokenizer.decode(tokenizer.encode("the cat")) == "the cat"

    outcome = tinylm.sweep("smoke", *small, "seed=0", "claim.tune=null")
    assert set(outcome.statuses.values()) == {"done"}
    runs = tinylm.collect("runs")
    assert set(runs["key"]) == {record.key, *outcome.statuses}
    assert set(tinylm.history("runs")["name"]) >= {"loss", "learning_rate", "tune_bits_per_byte"}
    (comparison,) = tinylm.compare("smoke", "runs").comparisons
    assert comparison.verdict == "refused"  # one seed, where two were declared
    assert "1 of 2 declared pairs" in str(tinylm.compare("smoke", "runs"))
    placed = tinylm.arms("smoke", "runs")
    assert set(placed["arm"]) == {"gelu", "swiglu"}
    assert placed["bits_per_byte"].notna().all()
    with pytest.raises(UserError, match="did you mean 'swiglu'"):
        tinylm.run("model/ffn=swglu")
