"""The benchmark compares like with like, and the faster path gives the same losses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import machine, peer, table, training, turns, workload
from tinylm.model.accounting import flops_per_token, parameters

SMALL = replace(workload.SHAPE, depth=1, width=64, heads=2, kv_heads=2, head_dim=32, hidden=96, vocab=128, context=32)
TOLERANCE = 0.005  # of the loss, bf16 with its 8 bits against fp32


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # of torch itself
def test_the_fastest_path_has_the_losses_of_eager_fp32(tmp_path: Path) -> None:
    losses = {}
    for name, precision, compiled in (("eager fp32", "fp32", False), ("compiled bf16", "bf16", True)):
        batches, model = workload.Words(SMALL, size=8), workload.our_model(SMALL)
        fitted = workload.train(
            model, batches, tmp_path / name, precision=precision, compile=compiled, steps=15, threads=1
        )
        assert fitted.compiled == compiled, fitted.warnings
        history = (tmp_path / name / "history.jsonl").read_text(encoding="utf-8").splitlines()
        losses[name] = [json.loads(line)["loss"] for line in history]
    assert losses["compiled bf16"] == pytest.approx(losses["eager fp32"], rel=TOLERANCE)
    assert losses["compiled bf16"] != losses["eager fp32"], "two different paths were taken"
    assert losses["eager fp32"][-1] < losses["eager fp32"][0] - 10 * TOLERANCE, "the losses moved by more"


def test_the_peer_has_the_same_parameters_and_flops() -> None:
    pytest.importorskip("transformers")
    ours, theirs = workload.our_model(), peer.llama()
    assert sum(p.numel() for p in theirs.parameters()) == parameters(ours)["total"]
    assert parameters(ours)["total"] == pytest.approx(5.9e6, rel=0.01)

    theirs.set_attn_implementation("eager")  # its products are counted one by one; the fused kernel's are the same
    batch = workload.Words(size=1)[0]
    with FlopCounterMode(display=False) as counter:
        theirs(input_ids=batch.ids_BT, labels=batch.ids_BT).loss.backward()
    T = workload.SHAPE.context
    assert counter.get_total_flops() == pytest.approx(T * flops_per_token(ours, T)["training"], rel=1e-6)


def test_all_sides_read_as_many_tokens_a_step() -> None:
    batch = workload.Words()[3]
    assert batch.ids_BT.shape == (16, 256)
    assert batch.tokens == batch.ids_BT.numel() == training.TOKENS
    assert torch.equal(batch.ids_BT[:, 1:], batch.targets_BT[:, :-1])
    rows = [peer.Sequences()[index] for index in range(workload.SIZE)]
    assert sum(len(row) for row in rows) == training.TOKENS


SIDE = """
import argparse, time
from benchmarks.turns import Gate
gate = Gate(warm=2, least=2)
for step in range({steps}):
    gate()
    print("noise of a library")
    time.sleep({pause})
raise ValueError("no more steps")
"""


def _side(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, steps: int = 10**6, pause: float = 0.02
) -> turns.Side:
    (folder / f"{name}.py").write_text(SIDE.format(steps=steps, pause=pause), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return turns.Side(name, threads=1, ours=False)


def test_turns_are_measured_alone_and_without_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _side(tmp_path, monkeypatch, "quick", pause=0.01) as quick, _side(tmp_path, monkeypatch, "slow") as slow:
        monkeypatch.setattr(training, "disturbance", iter([None, 0.25, 0.5, None, None, None]).__next__)
        first, second, disturbed = training.interleaved(quick, slow, training.Pace(0.2, 3))
        short = slow.turn(0.0)
    assert len(first) == len(second) == 3
    assert all(rate < 101 for rate in first)
    assert all(rate < 51 for rate in second)
    assert "2 of 6" in training.busy(disturbed, 6)
    assert "50%" in training.busy(disturbed, 6)
    assert short.steps == 2, "as few as a turn may have"
    assert short.seconds > 0.04


def test_a_side_that_ends_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        _side(tmp_path, monkeypatch, "short", steps=4) as short,
        pytest.raises(turns.SideFailed, match="no more steps"),
    ):
        short.turn(10.0)
    with pytest.raises(turns.SideFailed, match="no more steps"):
        _side(tmp_path, monkeypatch, "none", steps=0).__enter__()


def test_without_the_peer_its_rows_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "find_spec", lambda name: None)
    against = [wanted for wanted in training.ratios() if wanted.other == training.PEER]
    monkeypatch.setattr(training, "ratios", lambda: against)
    monkeypatch.setattr(training, "Side", lambda *words, **options: pytest.fail(f"{words} was started"))
    rows = training.training(1, training.Pace(0.1, 1), lambda what: None)
    assert [(row.value, row.passed) for row in rows] == [(None, None)] * len(against)
    assert all("tinylm[hf]" in row.note for row in rows)


def test_rows_know_whether_they_reached_their_target(tmp_path: Path) -> None:
    rows = [
        table.Row("faster", 2.6, "x", 2.5),
        table.Row("slower", 2.4, "x", 2.5),
        table.Row("overhead", 0.1, "of time", 0.15, "at most"),
        table.Row("too much", 0.2, "of time", 0.15, "at most", "BUSY MACHINE"),
        table.Row("told", 12345.0, "tokens/s"),
        table.Row("absent", None, "x", 1.4, note="not installed"),
    ]
    table.write(tmp_path / "bench.json", rows)
    written = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert [row["passed"] for row in written] == [True, False, True, False, None, None]
    assert {"name", "value", "unit", "target", "passed"} <= set(written[0])
    text = table.render(rows)
    assert text.count("MISSED") == 2
    assert text.count("reached") == 2
    assert "12,345 tokens/s" in text
    assert "not installed" in text
    assert all(table.quick(row).passed is None for row in rows)


def test_a_process_beside_us_is_noticed() -> None:
    """More threads than cores ask for the cores at once, as other programs would."""
    with ThreadPoolExecutor(4 * machine.cores()) as others:
        spinning = [others.submit(machine.taken, 0.5) for _ in range(4)]
        assert machine.taken(0.2) > machine.BUSY
        assert all(0 <= other.result() < 1 for other in spinning)
    assert machine.taken(0.05) < 1


def test_a_median_is_no_mean() -> None:
    assert table.middle([1.0, 100.0, 1.2345]) == 1.23
