"""The same numbers on a GPU as on the CPU; every variant, found by listing the folders. Skipped where there is none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import SMALL, start, text_files, tinylm
from test_variants import build, each_case, loss
from tiny_model import random_batch

from tinylm.model.grouped import grouped, grouped_outer
from tinylm.model.lm import LanguageModel

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def learned(model: LanguageModel, device: str, precision: str) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one batch."""
    model.to(device).zero_grad()
    batch = random_batch(3, 24).to(device)
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        total = loss(model, batch)
    total.backward()
    held = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return total.item(), {name: gradient.float().cpu() for name, gradient in held.items()}


@each_case
def test_loss_and_gradients_are_those_of_the_cpu(slot: str, name: str, other: dict[str, Any]) -> None:
    model = build(slot, name, other)
    here, ours = learned(model, "cpu", "fp32")
    there, theirs = learned(model, "cuda", "fp32")
    assert there == pytest.approx(here, rel=1e-4)
    assert ours.keys() == theirs.keys()
    for parameter in ours:
        torch.testing.assert_close(theirs[parameter], ours[parameter], rtol=1e-2, atol=1e-4, msg=parameter)
    rounded, gradients = learned(model, "cuda", "bf16")
    assert rounded == pytest.approx(here, rel=0.05)  # a router may choose otherwise
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize("counts", [[16, 16, 16], [0, 7, 0, 33, 1], [5], [0, 0, 9, 0]], ids=str)
def test_grouped_products_take_any_number_of_rows(counts: list[int]) -> None:
    draw = torch.Generator().manual_seed(0)
    E, M, D, F = len(counts), sum(counts), 32, 48
    ends_E = torch.tensor(counts).cumsum(0).int().cuda()
    x_MD, grad_MF, weight_EFD = (
        torch.randn(shape, generator=draw).cuda().bfloat16() for shape in ((M, D), (M, F), (E, F, D))
    )
    rows = x_MD.float().split(counts)
    wanted = torch.cat([part @ matrix.float().T for part, matrix in zip(rows, weight_EFD, strict=True)])
    torch.testing.assert_close(grouped(x_MD, weight_EFD, ends_E).float(), wanted, rtol=2e-2, atol=5e-2)
    outer = torch.stack([g.T @ part for g, part in zip(grad_MF.float().split(counts), rows, strict=True)])
    torch.testing.assert_close(grouped_outer(grad_MF, x_MD, ends_E).float(), outer, rtol=2e-2, atol=5e-2)
    back = grouped(grad_MF, weight_EFD.transpose(1, 2), ends_E).float()
    wanted = torch.cat(
        [g.float() @ matrix.float() for g, matrix in zip(grad_MF.split(counts), weight_EFD, strict=True)]
    )
    torch.testing.assert_close(back, wanted, rtol=2e-2, atol=5e-2)


def records(root: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(root.glob("*/record.json"))]


@pytest.mark.parametrize("compile", ["false", "true"])
@pytest.mark.parametrize("ffn", ["swiglu", "moe"])
def test_a_run_on_the_gpu_ends_as_on_the_cpu(tmp_path: Path, ffn: str, compile: str) -> None:
    words = [word for word in SMALL if not word.startswith(("budget.amount", "compile"))]
    run = ["run", *text_files(tmp_path / "text"), *words, "budget.amount=100", f"model/ffn={ffn}"]
    ended = {}
    for machine, compiled in (("cpu", "false"), ("gpu", compile)):
        done = tinylm(
            *run, f"machine={machine}", f"compile={compiled}", "machine.threads=1", f"root={machine}", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        (ended[machine],) = records(tmp_path / machine)
    assert ended["gpu"]["provenance"]["gpu"] == torch.cuda.get_device_name()
    assert ended["gpu"]["cost"]["compiled"] is (compile == "true")
    here, there = (ended[machine]["metrics"]["bits_per_byte"] for machine in ("cpu", "gpu"))
    assert there == pytest.approx(here, rel=0.03)


def test_an_interrupted_run_goes_on_on_the_gpu(tmp_path: Path) -> None:
    words = [word for word in SMALL if not word.startswith("budget.amount")]
    run = ["run", *text_files(tmp_path / "text"), *words, "budget.amount=600", "machine=gpu", "machine.threads=1"]
    process = start(*run, cwd=tmp_path)
    while process.poll() is None and '"step": 1' not in "".join(
        path.read_text() for path in (tmp_path / "runs").glob("*/history.jsonl")
    ):
        time.sleep(0.01)
    process.terminate()
    process.communicate()
    again = tinylm(*run, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    (record,) = records(tmp_path / "runs")
    assert record["status"] == "done"
    assert record["cost"]["steps"] == 600
    assert record["cost"]["resumed"] == 1
