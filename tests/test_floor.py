"""The gap to the floor: none for the generator's own predictor, none below it for an honest model, and leaks show."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import tiny_model, with_shape
from torch import nn
from torch.nn import functional

from tests.commands import SMALL as SMOKE
from tests.commands import text_files
from tests.test_keys import job_of
from tinylm.batch import IGNORE, Batch
from tinylm.compose.evaluation import evaluate
from tinylm.compose.main import invoke
from tinylm.compose.rehearsal import rehearse
from tinylm.data.corpus.world import World
from tinylm.data.tokenizer.bpe import BPE
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.data.tokens import Tokenizer
from tinylm.data.world import derivation
from tinylm.data.world.words import PIECE
from tinylm.evaluate.evaluator import Subject, Text
from tinylm.evaluate.floor import Floor

SMALL: dict[str, Any] = {"nouns": 12, "verbs": 6, "entities": 5, "relations": 2, "values": 8, "name": 1}
WORLD = World(**SMALL, documents=500, garbled=0.3, test=0.4)


class Generator(nn.Module):
    """The world's own predictor of bytes: the probability of each next byte, from what stands before it alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def slots(self) -> list[Any]:
        return []

    def forward(self, batch: Any, read: Any) -> Any:
        rows = [self.logits([index for index in row if index < 256]) for row in batch.ids_BT.tolist()]
        logits_BTV = torch.zeros(*batch.ids_BT.shape, 258)
        for row, told_TV in enumerate(rows):
            logits_BTV[row, : len(told_TV)] = told_TV
        return SimpleNamespace(read=read(lambda hidden_MV: hidden_MV, logits_BTV))

    def logits(self, text: list[int]) -> torch.Tensor:
        whole, at = f" {bytes(text).decode()}", 0
        told = []

        def choose(rule: Any) -> int:
            nonlocal at
            found = PIECE.match(whole, at)
            assert found is not None
            possible = [(rule.words.piece(index).encode(), rule.law.p(index)) for index in range(rule.law.size)]
            for place, byte in enumerate(found[0].encode()):
                mass_V = np.zeros(258)
                for piece, p in possible:
                    mass_V[piece[place]] += p
                told.append(mass_V / mass_V.sum())
                possible = [(piece, p) for piece, p in possible if piece[place] == byte]
            at = found.end()
            return rule.words.index(found[0])

        derivation.unfold(WORLD.grammar, choose)
        assert at == len(whole)
        end_V = np.eye(258)[257]
        return torch.tensor(np.stack([*told[1:], end_V])).log()  # no blank before the first word


def subject(model: nn.Module, tokenizer: Tokenizer, world: World = WORLD) -> Subject:
    def documents(split: str) -> list[Text]:
        found = [document.text for own, document in world.splits() if own == split]
        ids = [[tokenizer.bos, *tokenizer.encode(text), tokenizer.eos] for text in found]
        return [Text(np.array(one), len(text)) for one, text in zip(ids, found, strict=True)]

    return Subject(model, tokenizer, 4096, documents, floor=world.floor)  # type: ignore[arg-type]


def test_the_generators_own_predictor_is_at_the_floor_and_scores_the_entropy() -> None:
    scores = Floor()(subject(Generator(), Bytes().train(list)))
    assert scores.items is not None
    assert scores.items["bits"] == pytest.approx(scores.items["floor_bits"], abs=1e-3)
    gaps = {name: value for name, value in scores.scalars.items() if name.startswith("gap_to_floor/")}
    assert set(gaps) == {f"gap_to_floor/{kind}" for kind in WORLD.entropy.bits}
    assert all(abs(gap) < 1e-5 for gap in gaps.values())
    bits_N, bytes_N = np.array(scores.items["bits"]), np.array(scores.items["bytes"])
    residual_N = bits_N - WORLD.entropy.rate * bytes_N
    assert abs(residual_N.mean()) < 3 * residual_N.std() / math.sqrt(len(bits_N))
    assert scores.scalars["floor_bits_per_byte"] == pytest.approx(WORLD.entropy.rate, rel=0.05)
    # Who knows the table is as sure of values as documents that are not garbled let him be: wholly.
    assert scores.scalars["fact_bits_stored"] == pytest.approx(scores.scalars["fact_bits"])
    assert scores.scalars["fact_bits"] == pytest.approx(WORLD.grammar.facts.bits, rel=0.35)  # 5 x 2 facts of 3 bits


class Even(nn.Module):
    """All ids alike, whatever was read."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.vocab = vocab

    def slots(self) -> list[Any]:
        return []

    def forward(self, batch: Any, read: Any) -> Any:
        zeros_BTV = torch.zeros(*batch.ids_BT.shape, self.vocab)
        return SimpleNamespace(read=read(lambda hidden_MV: hidden_MV, zeros_BTV))


@pytest.mark.parametrize("vocab", [258, 450])
def test_the_parts_by_kind_add_up_in_any_tokenizer(vocab: int) -> None:
    tokenizer = BPE(vocab).train(lambda: [document.text for document in WORLD.documents()])
    scores = Floor(at_most=60)(subject(Even(vocab), tokenizer))
    assert scores.items is not None
    told = scores.scalars
    for name, whole in (("gap_to_floor", told["gap_to_floor"]), ("bytes_share", 1.0)):
        assert sum(value for key, value in told.items() if key.startswith(f"{name}/")) == pytest.approx(whole)
    assert "gap_to_floor/mixed" not in told  # words are whole in its ids
    tokens = sum(len(tokenizer.encode(document.text)) for document in list(WORLD.documents()))
    size = sum(len(document.text) for document in WORLD.documents())
    expected = tokens * math.log2(vocab) / size - told["floor_bits_per_byte"]
    assert told["gap_to_floor"] == pytest.approx(expected, rel=0.03)  # 60 of about 200
    assert told["fact_bits_stored"] < 0  # it does not even know which words are values


def test_no_trained_model_is_below_the_floor_unless_it_has_read_the_test() -> None:
    world = World(documents=100, sentences=1.0)  # short documents of many bits, so that they are soon known by heart
    whole = subject(nn.Identity(), Bytes().train(list), world)
    tested = whole.documents("test")[:4]
    train = [document.text.encode() for split, document in world.splits() if split == "train"]
    read = {"others": [[256, *text, 257] for text in train[:4]], "leaked": [text.ids.tolist() for text in tested]}
    gaps: dict[str, float] = {}
    for name, rows in read.items():
        model = tiny_model(with_shape(vocab=258, context=256), std=0.1)
        longest = max(map(len, rows))
        ids_BT = torch.tensor([row + [257] * (longest - len(row)) for row in rows])
        targets_BT = torch.tensor([row[1:] + [IGNORE] * (longest - len(row)) for row in rows])
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(150):
            logits_BTV = model.head(model(Batch(ids_BT[:, :-1], targets_BT)).hidden_BTD)
            loss = functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORE)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        scores = Floor()(replace(whole, model=model, documents=lambda split: tested)).scalars
        gaps[name] = scores["gap_to_floor"] / scores["gap_to_floor_error"]
    assert gaps["others"] > -3
    assert gaps["leaked"] < -3, "a model that has read the test would not be noticed"


def test_a_run_tells_its_gap_and_its_exposures(tmp_path: Path) -> None:
    world = ["data=world", *(f"data.{key}={value}" for key, value in SMALL.items()), "data.documents=250"]
    words = [*world, *SMOKE, "evaluate=bits_floor", f"root={tmp_path}", "precision=fp32"]
    record = invoke(["hydra.mode=RUN", *words], command="").record
    assert record is not None
    assert record.status == "done", record.error
    told = record.metrics
    assert told["gap_to_floor"] == pytest.approx(told["bits_per_byte"] - told["floor_bits_per_byte"], abs=1e-6)
    assert told["gap_to_floor"] > 3 * told["gap_to_floor_error"]  # six steps teach little
    read = World(**SMALL).seen(record.cost["bytes"])
    assert record.cost["exposures"] == read["exposures"] > 0
    again = evaluate(record.key, [tmp_path], ["evaluate=floor"]).scores["floor"]
    assert again.scalars["gap_to_floor"] == pytest.approx(told["gap_to_floor"], abs=1e-6)


def test_a_floor_of_text_without_a_law_is_refused_before_training(tmp_path: Path) -> None:
    said = rehearse(job_of("evaluate=floor", *text_files(tmp_path)))
    assert said is not None
    assert "evaluate.floor: the probabilities of this text are not known; take data=world" in said
