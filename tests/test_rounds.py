"""Rounds: what is drawn, what is read for it, what it costs, and that a kill leaves no trace of itself."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tiny_run
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save
from scipy import stats
from test_resume import assert_same, finish, lines, start
from tiny_corpus import packed

from tests.commands import text_files
from tests.test_keys import job_of
from tinylm.batch import IGNORE, Batch
from tinylm.compose.plan import planned_flops
from tinylm.compose.rehearsal import rehearse
from tinylm.data import pack as pack_module
from tinylm.data.loader import Batches
from tinylm.data.store import TokenStore
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.data.units import Unit, cut_into
from tinylm.errors import Interrupted, UserError
from tinylm.streams import Streams
from tinylm.train import budget
from tinylm.train.review import UNIFORM, Review
from tinylm.train.rounds.selected import Selected
from tinylm.train.rounds.selection.easiest import Easiest
from tinylm.train.rounds.selection.hardest import Hardest
from tinylm.train.rounds.selection.loss_softmax import LossSoftmax
from tinylm.train.rounds.selection.uniform import Uniform
from tinylm.train.rounds.single import Single
from tinylm.train.slots import Selection

HOUSE = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (HOUSE / "tinylm/train/rounds/selection").glob("[!_]*.py"))


# ---- what is drawn -----------------------------------------------------------------------------------------------


def selection(name: str) -> Selection:
    """The strategy that a YAML of the folder names; it states every option."""
    node = yaml.safe_load((HOUSE / f"conf/rounds/selection/{name}.yaml").read_text())
    module, _, attribute = node.pop("_target_").rpartition(".")
    assert module == f"tinylm.train.rounds.selection.{name}"
    chosen = getattr(importlib.import_module(module), attribute)
    defaults = {} if "__init__" not in vars(chosen) else inspect.signature(chosen).parameters
    assert {key: parameter.default for key, parameter in defaults.items()} == node
    return chosen(**node)


def inclusion(chosen: Selection, loss_N: np.ndarray, M: int, draws: int) -> float:
    """How far the counts of N units in ``draws`` draws of M lie from equal ones; chi-square with N - 1 degrees."""
    rng, N = np.random.default_rng(0), len(loss_N)
    count_N = np.zeros(N)
    for _ in range(draws):
        count_N[chosen(loss_N, rng)[:M]] += 1
    share = M / N
    return float(((count_N - draws * share) ** 2).sum() / (draws * share * (1 - share)) * (N - 1) / N)


@pytest.mark.parametrize("name", NAMES)
def test_equal_losses_make_the_selection_uniform(name: str) -> None:
    bound = stats.chi2.ppf(0.999, 11)
    assert inclusion(selection(name), np.full(12, 2.5), 4, 3000) < bound
    tilted = inclusion(selection(name), np.linspace(2.5, 3.0, 12), 4, 3000)
    assert (tilted < bound) == selection(name).blind


@pytest.mark.parametrize("name", NAMES)
def test_every_selection_orders_all_units(name: str) -> None:
    loss_N = np.random.default_rng(1).normal(3, 1, 500)
    first, again = (selection(name)(loss_N, np.random.default_rng(2)) for _ in range(2))
    assert sorted(first) == list(range(500))
    assert (first == again).all()
    assert (first != selection(name)(loss_N, np.random.default_rng(3))).any() or name in ("hardest", "easiest")


def test_extremes_are_what_their_names_say() -> None:
    loss_N = np.random.default_rng(1).normal(3, 1, 50)
    rng = np.random.default_rng(0)
    assert (np.diff(loss_N[Hardest()(loss_N, rng)]) < 0).all()
    assert (np.diff(loss_N[Easiest()(loss_N, rng)]) > 0).all()
    assert (LossSoftmax(temperature=1e-6)(loss_N, rng) == Hardest()(loss_N, rng)).all()


def test_gumbel_noise_draws_one_after_another_without_replacement() -> None:
    """Every ordered pair as often as p_i p_j / (1 - p_i) says; a wrong temperature fails the same bound."""
    loss_N, draws = np.array([2.0, 3.0, 3.5, 5.0]), 20_000

    def worst(temperature: float) -> float:
        rng, drawn = np.random.default_rng(0), LossSoftmax(0.8)
        found: dict[tuple[int, int], int] = {}
        for _ in range(draws):
            i, j = drawn(loss_N, rng)[:2]
            found[i, j] = found.get((i, j), 0) + 1
        p_N = np.exp(loss_N / temperature) / np.exp(loss_N / temperature).sum()
        exact = {(i, j): p_N[i] * p_N[j] / (1 - p_N[i]) for i, j in itertools.permutations(range(4), 2)}
        return max(abs(found.get(pair, 0) / draws - p) / np.sqrt(p * (1 - p) / draws) for pair, p in exact.items())

    assert worst(0.8) < 4
    assert worst(1.0) > 8


def review(loss_N: np.ndarray, read_M: Any = None, next_M: Any = None) -> Review:
    tokens_N = np.full(len(loss_N), 10)
    return Review(0, loss_N * tokens_N, tokens_N, np.arange(len(loss_N)) if read_M is None else read_M, next_M, 1)


def test_tilt_of_a_uniform_draw_is_zero_in_the_mean() -> None:
    """Over 400 draws within four standard errors; one that looks at the losses is far outside, one extreme the mirror
    of the other."""
    rng = np.random.default_rng(0)
    loss_N = rng.normal(3, 0.5, 100)

    def tilts(chosen: Selection) -> np.ndarray:
        return np.array([review(loss_N, None, chosen(loss_N, rng)[:50]).summary()["tilt"] for _ in range(400)])

    error = tilts(Uniform()).std() / 20
    assert abs(tilts(Uniform()).mean()) < 4 * error
    assert tilts(LossSoftmax()).mean() > 20 * error
    assert tilts(Hardest())[0] == pytest.approx(-tilts(Easiest())[0])


def test_a_plan_foresees_the_scoring(tmp_path: Path) -> None:
    def planned(*words: str) -> float:
        return planned_flops(job_of(*text_files(tmp_path), "shape=smoke", *words), "tokens", 9000)[0]

    assert planned("rounds=selected") == pytest.approx(planned() * (1 + 2 / 9))
    assert planned("rounds=selected", "rounds.number=1") == planned()


def test_a_review_tells_tilt_and_forgetting() -> None:
    """Losses that fall evenly by 0.4 nats over the round: three quarters of that lie between the outer quarters."""
    loss_N = np.linspace(3.4, 3.0, 200)
    told = review(loss_N, None, np.arange(0, 200, 2)).summary()
    assert (told["round"], told["units"], told["drawn"]) == (1, 200, 100)
    assert told["slope"] == pytest.approx(-0.4, rel=0.01)
    assert told["forgetting"] == pytest.approx(0.3, rel=0.01)
    assert len(told["curve"]) == 20
    assert told["curve"][0] - told["curve"][-1] == pytest.approx(0.38, rel=0.01)
    assert told["mark"] == UNIFORM
    assert review(loss_N, None, np.arange(100)).summary()["mark"] is None
    again = review(loss_N, np.arange(0, 100), None).summary()
    assert again["forgetting"] == pytest.approx(0.15, rel=0.01)
    assert "tilt" not in again
    heavy = Review(0, np.array([30.0, 1.0]), np.array([10, 1]), np.arange(2), np.array([0]), 1).summary()
    assert (heavy["loss"], heavy["tilt"], heavy["forgetting"]) == pytest.approx((2.0, 1.0, 2.0))


# ---- what is read ------------------------------------------------------------------------------------------------

TEXTS = [f"document {number} " + "tells of " * (number * 7 % 30) for number in range(60)]
STEPS = 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_module, "SMALLEST", 1)
        return packed(TEXTS, Bytes().train(iter(())), tmp_path_factory.mktemp("rounds") / "store")


def loaded(store: TokenStore, unit: Literal["tokens", "bytes"]) -> Batches:
    return Batches(store, Streams(0), unit=unit, size=4, context=48, within_documents=True)


def rows_of(batch: Batch) -> list[tuple[list[int], list[int], list[int]]]:
    """Inputs, targets and documents of each row, without what pads it."""
    found = []
    assert batch.document_BT is not None
    for ids, targets, documents in zip(batch.ids_BT, batch.targets_BT, batch.document_BT, strict=True):
        length = len(targets) - int((targets.flip(0) != IGNORE).int().argmax())
        found.append((ids[:length].tolist(), targets[:length].tolist(), documents[:length].tolist()))
    return found


@pytest.mark.parametrize("cut", ["tokens", "bytes"])
def test_chosen_batches_and_sequences_are_read_as_they_were(store: TokenStore, cut: Any) -> None:
    batches = loaded(store, cut)
    first = [row for step in range(STEPS) for row in rows_of(batches[step])]
    for unit, size in (("batch", 1), ("sequence", 4)):
        units = cut_into(unit, batches, STEPS)  # type: ignore[arg-type]
        assert units.count == STEPS * size
        index_M = np.sort(np.random.default_rng(0).permutation(units.count)[: 7 * size])
        assert units.enough(index_M, 5) == 5 * size
        reading = units.reading(index_M)
        expected = [row for index in index_M for row in first[index * 4 // size : (index + 1) * 4 // size]]
        steps = [reading[step] for step in (6, 2, 0, 1, 5, 4, 3)]  # in any order
        by_step = dict(zip((6, 2, 0, 1, 5, 4, 3), steps, strict=True))
        assert [row for step in range(7) for row in rows_of(by_step[step])] == expected
        halves = [reading.rows(2, rank, 2) for rank in range(2)]
        assert halves[1].ids_BT.equal(by_step[2].ids_BT[1::2])
        assert sum(half.bytes for half in halves) == by_step[2].bytes


@pytest.mark.parametrize("cut", ["tokens", "bytes"])
def test_chosen_documents_are_read_whole_and_alone(store: TokenStore, cut: Any) -> None:
    """Over more than an epoch, so that a document may be two units; the round begins again where the text ends."""
    batches = loaded(store, cut)
    steps = int(1.3 / batches.epoch(1))
    units = cut_into("document", batches, steps)
    assert 60 < units.count < 2 * 60
    texts = [store.document("train", document).tolist() for document in batches.occurrences(steps)]
    measure = [len(text) if cut == "tokens" else sum(store.bytes_V[text]) for text in texts]
    assert sum(measure) <= steps * 4 * 48 + 1 < sum(measure) + max(map(len, texts))
    index_M = np.sort(np.random.default_rng(0).permutation(units.count)[:20])
    expected = [i for index in index_M for i in texts[index][1:]]
    reading = units.reading(index_M)
    whole = sum(measure[index] for index in index_M) / (4 * 48)
    targets = [t for step in range(int(whole)) for _, row, _ in rows_of(reading[step]) for t in row]
    kept = [t for t in targets if t != IGNORE]
    assert kept == expected[: len(kept)]
    assert len(kept) > 0.8 * len(expected)
    assert units.enough(index_M, int(whole)) <= 20
    assert sum(measure[i] for i in index_M[: units.enough(index_M, 3)]) >= 3 * 4 * 48
    assert rows_of(reading[int(whole) + 1]) != rows_of(reading[0])  # it goes on behind the end, in mid-row


@pytest.mark.parametrize("cut", ["tokens", "bytes"])
@pytest.mark.parametrize("unit", ["batch", "sequence", "document"])
def test_each_scored_target_has_its_unit(store: TokenStore, unit: Unit, cut: Any) -> None:
    batches = loaded(store, cut)
    units = cut_into(unit, batches, STEPS)
    tokens_N = np.zeros(units.count, int)
    for step in range(STEPS):
        batch = batches[step]
        number_BT = np.broadcast_to(units.number_BT(step, batch), batch.targets_BT.shape)
        inside_BT = (batch.targets_BT.numpy() != IGNORE) & (number_BT < units.count)
        np.add.at(tokens_N, number_BT[inside_BT], 1)
    if unit == "document":
        assert tokens_N.tolist() == [len(store.document("train", i)) - 1 for i in batches.occurrences(STEPS)]
    else:
        assert tokens_N.sum() == sum(batches[step].tokens for step in range(STEPS))
        assert tokens_N[-1] == sum(t != IGNORE for t in rows_of(batches[STEPS - 1])[-1][1]) or unit == "batch"


# ---- how the budget is cut ---------------------------------------------------------------------------------------


@given(number=st.integers(1, 3), rate=st.floats(0.1, 1), steps=st.integers(20, 5000))
def test_a_later_round_never_needs_more_than_there_is(number: int, rate: float, steps: int) -> None:
    ends = Selected(Uniform(), number=number, rate=rate).ends()
    at = [budget.Plan(steps, None, 1).end(end) or 0 for end in ends]
    assert at[-1] == steps
    for before, after in itertools.pairwise(at):
        assert 0 < after - before <= at[0]
        assert after - before == pytest.approx(rate * at[0], abs=1 + rate)


@pytest.mark.parametrize("name", ["multi_round", "round_options"])
def test_arms_of_the_sweeps_are_equal_in_flops(name: str) -> None:
    """Their tokens, and the scoring that goes with them, make up those of the single round."""
    sweep = yaml.safe_load((HOUSE / f"sweeps/{name}.yaml").read_text())
    for arm in sweep["claim"]["arms"].values():
        said = dict(word.split("=") for word in arm["overrides"])
        rate, number = float(said.get("rounds.rate", 0.5)), int(said.get("rounds.number", 2))
        rounds = Selected(Uniform(), number, rate) if said["rounds"] == "selected" else Single()
        tokens = int(said.get("budget.amount", sweep["budget"]["amount"]))
        assert tokens * (1 + rounds.scoring()) == pytest.approx(6_000_000, rel=1e-6)


def test_two_to_one_is_a_rate_of_one_half() -> None:
    assert Selected(Uniform()).ends() == pytest.approx((2 / 3, 1.0))
    assert Selected(Uniform(), number=3).ends() == pytest.approx((0.5, 0.75, 1.0))


def test_a_budget_in_flops_pays_for_the_scoring(tmp_path: Path) -> None:
    """Training and scoring together make the budget; in steps, the reading is equal and the scoring comes on top."""
    a_step = 8 * 32 * 1e5
    for rounds in (Selected(Uniform(), number=2), Selected(Uniform(), number=3, rate=0.3)):
        chosen = tiny_run.recipe(rounds=rounds, budget=budget.Flops(40 * a_step))
        _, answer = tiny_run.run(tmp_path / str(rounds.number), chosen, score=None)
        assert answer.flops == pytest.approx(40 * a_step, rel=0.02)
        assert answer.steps < 38
        first = rounds.ends()[0] * answer.steps
        assert answer.scoring_flops == pytest.approx((rounds.number - 1) * first * a_step / 3, rel=0.05)
        assert answer.flops - answer.scoring_flops == pytest.approx(answer.steps * a_step)
        last = lines(tmp_path / str(rounds.number))[-1]
        assert (last["flops"], last["round"]) == (answer.flops, rounds.number - 1)
    chosen = tiny_run.recipe(rounds=Selected(Uniform()))
    _, answer = tiny_run.run(tmp_path / "steps", chosen, score=None)
    assert (answer.steps, answer.flops) == (40, pytest.approx((40 + 27 / 3) * a_step))


# ---- the run -----------------------------------------------------------------------------------------------------


def test_one_round_is_the_single_round(tmp_path: Path) -> None:
    """Bitwise, the look back at its end included."""
    chosen = tiny_run.recipe(20, objective=tiny_run.Noisy())
    single, plain = tiny_run.run(tmp_path / "single", chosen)
    for name, rounds in (
        ("one", Selected(LossSoftmax(), number=1)),
        ("back", Selected(Hardest(), number=1, forgetting=True)),
    ):
        other, answer = tiny_run.run(tmp_path / name, tiny_run.replace(chosen, rounds=rounds))
        assert all(p.equal(q) for p, q in zip(single.parameters(), other.parameters(), strict=True))
        assert lines(tmp_path / name) == lines(tmp_path / "single")
        assert (answer.flops, answer.scoring_flops, len(answer.rounds)) == (plain.flops, 0.0, int(rounds.forgetting))
        assert answer.scoring_seconds == 0
    assert json.loads((tmp_path / "back" / "status.json").read_text())["phase"] == "trained"
    losses = [
        tiny_run.token_nats(single.eval(), batch, "fp32").sum().item() / batch.tokens
        for batch in map(tiny_run.Chain().__getitem__, range(20))
    ]
    assert answer.rounds[0]["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert answer.rounds[0]["curve"] == pytest.approx(losses, rel=1e-6)


def test_rounds_read_what_was_drawn(tmp_path: Path) -> None:
    read: list[int] = []

    class Watched(tiny_run.Chain):
        def rows(self, step: int, rank: int, world: int) -> Batch:
            read.append(step)
            return super().rows(step, rank, world)

    chosen = tiny_run.recipe(rounds=Selected(Hardest(), number=3))
    _, answer = tiny_run.run(tmp_path, chosen, batches=Watched(), score=None)
    for number, told in enumerate(answer.rounds):
        held = load_file(tmp_path / f"rounds/review-{number + 1}.safetensors")
        loss_N = held["nats_N"] / held["tokens_N"]
        assert sorted(loss_N)[10:] == sorted(loss_N[held["next_M"]])
        assert read[10 * number : 10 * number + 10] == held["next_M"].tolist() == sorted(held["next_M"])
        assert told["tilt"] == pytest.approx(loss_N[held["next_M"]].mean() - loss_N.mean())
    assert len(read) == 20
    assert [line["round"] for line in lines(tmp_path)] == [0] * 20 + [1] * 10 + [2] * 10


def test_an_arm_that_is_uniform_by_construction_says_so(tmp_path: Path) -> None:
    def warnings(name: str, chosen: Selection) -> list[str]:
        return tiny_run.run(tmp_path / name, tiny_run.recipe(4, rounds=Selected(chosen)), score=None)[1].warnings

    assert [UNIFORM in text for text in warnings("softmax", LossSoftmax(temperature=1e9))] == [True]
    assert warnings("uniform", Uniform()) == []


@pytest.mark.parametrize("moment", ["scoring round 1", "scoring round 3"])
def test_a_kill_while_scoring_leaves_no_trace(moment: str, reference: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "rounds", checkpoint_seconds=0.02)
    status = tmp_path / "status.json"
    while process.is_alive() and (not status.exists() or moment not in status.read_text()):
        time.sleep(0.001)
    partial_scores = tmp_path / "rounds" / "scoring.safetensors"
    while process.is_alive() and not partial_scores.exists():
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    assert partial_scores.exists()
    assert 0 < load_file(partial_scores)["step"] < 20
    assert finish(start(tmp_path, "rounds")) == 0
    assert_same(tmp_path, reference)
    for number in (1, 2, 3):
        ours, theirs = (load_file(folder / f"rounds/review-{number}.safetensors") for folder in (tmp_path, reference))
        assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert not partial_scores.exists()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    assert finish(start(folder, "rounds")) == 0
    return folder


def test_a_stop_signal_while_scoring_is_heard(reference: Path, tmp_path: Path) -> None:
    seen = 0

    def nats(model: Any, batch: Batch) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return tiny_run.token_nats(model, batch, "fp32")

    chosen = tiny_run.RECIPES["rounds"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_run, "nats", nats)
        with pytest.raises(Interrupted):
            tiny_run.run(tmp_path, chosen)
        assert json.loads((tmp_path / "status.json").read_text())["phase"] == "interrupted"
        assert (seen, load_file(tmp_path / "rounds/scoring.safetensors")["step"]) == (5, 5)
        told = tmp_path / "rounds" / "seconds.json"
        told.write_text(json.dumps({"1": 100.0}))  # as if those five had been slow
        model, answer = tiny_run.run(tmp_path, chosen)
    assert seen == 3 * 20
    assert 100 < answer.scoring_seconds < 100 + 60
    assert answer.scoring_seconds == pytest.approx(sum(json.loads(told.read_text())[number] for number in ("1", "2")))
    assert json.loads(told.read_text())["3"] <= answer.watch_seconds
    assert answer.seconds < 100
    final = load_file(reference / "final.safetensors")
    assert all((parameter.detach().numpy() == final[name]).all() for name, parameter in model.named_parameters())


def test_a_lost_choice_is_named(tmp_path: Path) -> None:
    def score(model: Any) -> dict[str, float]:
        raise Interrupted

    chosen = tiny_run.recipe(rounds=Selected(Uniform()), score_every=0.8)
    with pytest.raises(Interrupted):  # inside the second round
        tiny_run.run(tmp_path, chosen, score=score, checkpoint_seconds=0.0)
    path = tmp_path / "rounds/review-1.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"review-1\.safetensors is not there or not whole"):
        tiny_run.run(tmp_path, chosen, score=None)


def test_scoring_compiles_nothing_anew(tmp_path: Path) -> None:
    shape = tiny_run.replace(tiny_run.SHAPE, depth=1)
    chosen = tiny_run.recipe(12, rounds=Selected(LossSoftmax(), forgetting=True))
    folders = tmp_path / "eager", tmp_path / "compiled"
    eager = tiny_run.run(folders[0], chosen, trained=tiny_run.model(shape), score=None)[1]
    with torch._dynamo.config.patch(error_on_recompile=True):
        compiled = tiny_run.replace(chosen, compile=True)
        answer = tiny_run.run(folders[1], compiled, trained=tiny_run.model(shape), score=None)[1]
    assert answer.compiled
    told = [[line["loss"] for line in lines(folder)] for folder in folders]
    assert told[1] == pytest.approx(told[0], rel=1e-4)
    assert answer.rounds[1]["loss"] == pytest.approx(eager.rounds[1]["loss"], rel=1e-4)


def test_wrong_rounds_are_named_before_training(store: TokenStore, tmp_path: Path) -> None:
    for rate in (0.0, 1.01, -0.5, float("nan")):
        with pytest.raises(UserError, match=r"rounds\.rate: .* is not in \(0, 1\]"):
            Selected(Uniform(), rate=rate)
    with pytest.raises(UserError, match=r"rounds\.number: 0"):
        Selected(Uniform(), number=0)
    with pytest.raises(UserError, match=r"rounds\.selection\.temperature"):
        LossSoftmax(temperature=0.0)
    run = partial(tiny_run.run, tmp_path, score=None)
    with pytest.raises(UserError, match="rounds need planned steps"):
        run(tiny_run.recipe(rounds=Selected(Uniform()), budget=budget.Seconds(1.0)))
    with pytest.raises(UserError, match="1 steps leave none for round 2"):
        run(tiny_run.recipe(1, rounds=Selected(Uniform())))
    long = Batches(store, Streams(0), unit="tokens", size=4, context=2, within_documents=True)
    with pytest.raises(UserError, match=r"rounds\.unit=document: the first round reads 0 whole"):
        run(tiny_run.recipe(3, rounds=Selected(Uniform(), unit="document")), batches=long)
    assert not (tmp_path / "history.jsonl").exists()


def test_rounds_that_do_not_fit_are_found_before_a_parent_is_trained(tmp_path: Path) -> None:
    def said(*words: str) -> str:
        return rehearse(job_of("shape=smoke", "rounds=selected", *words)) or ""

    text = text_files(tmp_path)
    assert "rounds need planned steps" in said(*text, "budget=seconds")
    alone = [*text, "rounds.number=1", "budget=seconds"]
    assert said(*alone) == ""
    assert "rounds need planned steps" in said(*alone, "rounds.forgetting=true")
    assert "1 steps leave none for round 2" in said(*text, "budget=steps", "budget.amount=1")
    assert said(*text, "budget=steps", "budget.amount=3", "rounds.unit=document") == ""
    mixed = "data=code_and_prose"
    assert "rounds.unit=document: a mixture" in said(mixed, "rounds.unit=document")
    assert said(mixed, "rounds.unit=sequence") == ""


def test_a_run_that_begins_anew_draws_anew(tmp_path: Path) -> None:
    """Whatever an earlier life, without a checkpoint now, left in its folder."""
    chosen = tiny_run.recipe(12, rounds=Selected(Hardest()))
    tiny_run.run(tmp_path, chosen, score=None)
    path = tmp_path / "rounds/review-1.safetensors"
    whole = path.read_bytes()
    with safe_open(path, "np") as file:
        about = file.metadata()
    held = load_file(path)
    path.write_bytes(save({**held, "next_M": held["next_M"][:1].repeat(len(held["next_M"]))}, about))
    shutil.rmtree(tmp_path / "checkpoint")
    tiny_run.run(tmp_path, chosen, score=None)
    assert path.read_bytes() == whole
