"""Seeds and documents: the interval over both, its coverage, what an archive keeps of the documents."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_sweep import D4, Sweep

from tinylm.record import RunRecord
from tinylm.report.judgement.compare import compare
from tinylm.report.pages.page import write_report
from tinylm.report.records.archive import archive
from tinylm.report.statistics.documents import BLOCKS, in_blocks, text_error
from tinylm.runs.items import write_items

BITS = {"evaluate.bits": {"_target_": "tinylm.evaluate.bits.BitsPerByte", "prefix": ""}}


def scored(sweep: Sweep, key: str, bits_N: np.ndarray, bytes_N: np.ndarray) -> None:
    """Give a run document scores, and the metric that they sum to."""
    record = RunRecord.read(sweep.root / key)
    columns: dict[str, Any] = {"document": list(range(len(bits_N))), "bits": list(bits_N), "bytes": list(bytes_N)}
    record.items = write_items(sweep.root / key, {"bits": columns})
    record.metrics["bits_per_byte"] = float(bits_N.sum() / bytes_N.sum())
    record.write(sweep.root / key)


def documents(sweep: Sweep, number: int, text_sd: float, other_text: bool = False) -> Sweep:
    """Two arms whose difference is -0.02 bits a byte on average, and another one on every document."""
    rng = np.random.default_rng(1)
    bytes_N = rng.integers(500, 4000, number)
    effect_N = -0.02 + rng.normal(0, text_sd, number)
    for arm, scores in (("d4", D4), ("d8", D4)):
        for seed, score in enumerate(scores):
            key = sweep.run(arm, seed, score, config=BITS)
            own = bytes_N + int(other_text and arm == "d8")
            noise = rng.normal(0, 0.002)
            scored(sweep, key, (score + noise + (effect_N if arm == "d8" else 0.0)) * own, own)
    return sweep


def test_the_text_widens_the_interval_by_as_much_as_documents_differ(tmp_path: Path) -> None:
    widths = []
    for index, text_sd in enumerate((0.0, 0.02, 0.2)):
        found = documents(Sweep(tmp_path / str(index)), 200, text_sd).only()
        assert None not in (found.text_low, found.text_high, found.ci_low, found.ci_high)
        assert (found.text_low + found.text_high) / 2 == pytest.approx(found.delta)
        seeds = (found.ci_high - found.ci_low) / 2
        text = 1.96 * text_sd / math.sqrt(200)
        assert (found.text_high - found.text_low) / 2 == pytest.approx(math.hypot(seeds, text), rel=0.15)
        widths.append(found.text_high - found.text_low)
    assert widths == sorted(widths)


def test_without_the_same_documents_there_is_no_interval_over_them(tmp_path: Path) -> None:
    other = documents(Sweep(tmp_path / "other"), 200, 0.02, other_text=True).only()
    few = documents(Sweep(tmp_path / "few"), 9, 0.02).only()
    assert other.ci_low is not None
    assert few.ci_low is not None
    assert {other.text_low, other.text_high, few.text_low, few.text_high} == {None}


def test_a_table_that_is_not_whole_costs_its_interval_alone(tmp_path: Path) -> None:
    sweep = documents(Sweep(tmp_path), 400, 0.1)
    sweep.manifest()
    assert sweep.only().text_low is not None
    (tmp_path / "d8-compare-0" / "items.parquet").write_bytes(b"PAR1 and no more")
    found = sweep.verdicts()
    assert [(item.verdict, item.text_low) for item in found.comparisons] == [("better", None)]
    (warning,) = (text for text in found.warnings if "items.parquet" in text)
    assert "cannot be read" in warning
    assert "its run counts without its documents" in warning
    write_report("depth_width", [tmp_path], tmp_path / "out")
    kept = archive("depth_width", [tmp_path], tmp_path / "kept")
    assert not (kept / "d8-compare-0" / "items.parquet").exists()
    assert (kept / "d8-compare-1" / "items.parquet").is_file()


def test_an_archive_gives_the_same_interval(tmp_path: Path) -> None:
    sweep = documents(Sweep(tmp_path / "runs"), BLOCKS + 700, 0.05)
    first = sweep.verdicts()
    where = archive(sweep.name, [sweep.root], tmp_path / "out")
    assert compare(sweep.name, where) == first
    kept = pd.read_parquet(where / "d8-compare-0" / "items.parquet")
    assert len(kept) == BLOCKS
    whole = pd.read_parquet(sweep.root / "d8-compare-0" / "items.parquet")
    assert kept["bytes"].sum() == whole["bytes"].sum()
    assert kept["bits"].sum() == pytest.approx(whole["bits"].sum(), rel=1e-6)
    pd.testing.assert_frame_equal(in_blocks(kept), kept)


def test_the_text_error_is_that_of_a_ratio() -> None:
    rng = np.random.default_rng(2)
    size = rng.integers(100, 5000, 400).astype(float)
    value = 0.3 + rng.normal(0, 0.1, 400)
    ratio = (value * size).sum() / size.sum()
    expected = math.sqrt((((value - ratio) * size) ** 2).sum()) / size.sum()  # Taylor's formula of a ratio
    assert text_error(value * size, size) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("alike", [15, 1])
def test_the_text_error_counts_passages_that_are_alike_together(alike: int) -> None:
    """34 stretches of 15 passages: the scatter over made-up texts beside the error told of each."""
    rng = np.random.default_rng(5)
    stretches, ones = 34 * 15 // alike, np.ones(34 * 15)
    texts = [np.repeat(rng.normal(0, 1, stretches), alike) + rng.normal(0, 0.5, 34 * 15) for _ in range(300)]
    told = float(np.mean([text_error(text, ones) for text in texts[:60]]))
    assert told == pytest.approx(np.std([text.mean() for text in texts]), rel=0.15)
    by_themselves = float(np.mean([text.std(ddof=1) for text in texts])) / math.sqrt(34 * 15)
    assert (told > 2 * by_themselves) == (alike > 1)


def test_discoveries_find_more_and_are_benjamini_hochbergs(tmp_path: Path) -> None:
    arms = {"d4": {}, **{f"d{depth}": {} for depth in range(5, 15)}}
    rng = np.random.default_rng(3)
    noise = {arm: rng.normal(0, 0.0022, 5) for arm in arms}
    told = {}
    for kind in ("family", "discoveries"):
        sweep = Sweep(tmp_path / kind, arms=arms, errors=kind, delta=1e-4).arm("d4", D4)
        for place, arm in enumerate(list(arms)[1:]):
            sweep.arm(arm, list(np.array(D4) - (0.008 if place < 6 else 0) + noise[arm]))
        told[kind] = sweep.verdicts().comparisons
    better = {kind: [item.verdict for item in items].count("better") for kind, items in told.items()}
    assert 0 < better["family"] < better["discoveries"]
    items = told["discoveries"]
    p = [item.p_value or 1.0 for item in items]
    assert [item.p_adjusted for item in items] == pytest.approx(list(stats.false_discovery_control(p)))
    for item in items:
        assert (item.ci_low > 0 or item.ci_high < 0) == (item.p_adjusted < 0.05)
    assert {item.interval_level for item in items} == {1 - 0.05 * better["discoveries"] / 10}
