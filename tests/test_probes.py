"""Tasks whose answers are known: an oracle solves them, a guesser is at chance, a model learns them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_model import tiny_model, with_shape
from torch import nn

from tests.commands import PROJECT, text_files
from tinylm.batch import Batch
from tinylm.compose.main import invoke
from tinylm.compose.schema import make
from tinylm.data.corpus.probe import Probe
from tinylm.data.probe import Task
from tinylm.data.task.brackets import Brackets
from tinylm.data.task.induction import Induction
from tinylm.data.task.recall import Recall
from tinylm.data.tokenizer.bpe import BPE
from tinylm.data.tokenizer.bytes import Bytes
from tinylm.data.tokenizer.words import Words
from tinylm.data.tokens import Tokenizer
from tinylm.errors import UserError
from tinylm.evaluate.evaluator import Scores, Subject
from tinylm.evaluate.probes import Probes
from tinylm.model.lm import Output
from tinylm.model.position.alibi import ALiBi
from tinylm.model.position.learned import Learned
from tinylm.model.slots import Side

TASKS = sorted(path.stem for path in (PROJECT / "conf" / "data" / "task").glob("*.yaml"))
each_task = pytest.mark.parametrize("name", TASKS)


@cache
def probe(name: str) -> Probe:
    node = yaml.safe_load((PROJECT / "conf" / "data" / "task" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert node["_target_"].rpartition(".")[0] == f"tinylm.data.task.{name}"
    return Probe(make(node), size=3000, test=0.2)


@cache
def tokenizer(name: str) -> Tokenizer:
    return Words(512).train(lambda: [document.text for document in probe(name).documents()])


def beyond(task: Task) -> list[int]:
    """A length that is not trained on, where there is one."""
    length = 2 * max(task.lengths)
    try:
        task.check(length, "length")
    except UserError:
        return []
    return [length]


def test_every_task_has_its_option() -> None:
    assert sorted(path.stem for path in (PROJECT / "tinylm" / "data" / "task").glob("[!_]*.py")) == TASKS
    assert len(TASKS) >= 7


@each_task
def test_answers_follow_from_the_prompt_and_guessing_is_at_chance(name: str) -> None:
    task = probe(name).task
    heard: dict[str, int] = {}
    for length in [*task.lengths, *beyond(task)]:
        for example in probe(name).examples("test", length, 60):
            assert example.text.isascii()
            assert example.answers
            for answer in example.answers:
                prompt, word = example.text[: answer.start], example.answer(answer)
                chances = task.predict(prompt)
                assert math.isclose(sum(chances.values()), 1)
                assert chances[word] == max(chances.values())
                assert not set(answer.wrong) & chances.keys()
                if answer.distance is not None and not answer.wrong:
                    read = prompt.split()[-answer.distance]
                    assert read in (word, {")": "(", "]": "[", "}": "{", ">": "<"}.get(word))
                kind = f"form {word.endswith('s')}" if answer.wrong else word
                heard[kind] = heard.get(kind, 0) + 1
    assert len(heard) == task.alternatives  # and none is much likelier than the others:
    mean = sum(heard.values()) / len(heard)
    assert max(heard.values()) < mean + 5 * math.sqrt(mean)


@each_task
def test_no_text_is_in_two_splits(name: str) -> None:
    corpus = probe(name)
    splits: dict[str, set[str]] = {"train": set(), "tune": set(), "test": set()}
    for split, document in corpus.splits():
        splits[split].add(document.text)
    for length in [*corpus.task.lengths, *beyond(corpus.task)]:
        asked = [example.text for example in corpus.examples("test", length, 60)]
        assert len(asked) == len(set(asked)) >= 30
        assert not set(asked) & (splits["train"] | splits["tune"])
    assert not splits["train"] & splits["test"]
    assert [document.text for document in corpus.documents()] == [d.text for d in Probe(corpus.task, 3000).documents()]


class Told(nn.Module):
    """A model whose next word is given by a function of the text so far: word -> probability."""

    def __init__(self, made: Tokenizer, predict: Callable[[str], dict[str, float]]) -> None:
        super().__init__()
        self.made, self.predict = made, predict
        self.nothing = nn.Parameter(torch.zeros(()))
        self.shape, self.position = with_shape(context=8), ALiBi(with_shape())
        self.by_domain = False

    def slots(self) -> list[Any]:
        return []

    def forward(self, batch: Batch, read: Any) -> Output[Any]:
        logits_BTV = torch.full((*batch.ids_BT.shape, self.made.vocab_size), -30.0)
        for row, ids in enumerate(batch.ids_BT.tolist()):
            for t in range(len(ids)):
                for word, chance in self.predict(self.made.decode(ids[1 : t + 1])).items():
                    logits_BTV[row, t, self.made.encode(f" {word}")[0]] = math.log(chance)
        return Output(logits_BTV, Side(), read(lambda hidden: hidden, logits_BTV))


def scored(name: str, predict: Callable[[str], dict[str, float]], texts: int = 30) -> Scores:
    made = tokenizer(name)
    subject = Subject(Told(made, predict), made, 8, lambda split: [])  # type: ignore[arg-type]
    return Probes(probe(name), beyond=beyond(probe(name).task), texts=texts)(subject)


@each_task
def test_whoever_knows_the_task_is_at_its_ceiling_and_whoever_guesses_at_chance(name: str) -> None:
    task = probe(name).task
    examples = [e for length in [*task.lengths, *beyond(task)] for e in probe(name).examples("test", length, 30)]
    prompts = {example.text[: answer.start] for example in examples for answer in example.answers}
    words = sorted({w for e in examples for a in e.answers for w in (e.answer(a), *a.wrong)})

    told = scored(name, lambda prompt: dict(task.predict(prompt)) if prompt in prompts else {})
    assert told.scalars["probe_accuracy"] == told.scalars["probe_ceiling"] == 1
    assert told.scalars["probe_bits"] == pytest.approx(told.scalars["probe_bits_floor"], abs=1e-3)
    assert told.items is not None
    assert told.items["right"] == told.items["answers"]

    draw = torch.Generator().manual_seed(0)
    guess = {prompt: torch.rand(len(words), generator=draw).tolist() for prompt in sorted(prompts)}
    told = scored(name, lambda prompt: dict(zip(words, guess[prompt], strict=True)) if prompt in prompts else {})
    assert told.items is not None
    right, asked = sum(told.items["right"]), sum(told.items["answers"])
    chance = told.scalars["probe_chance"]
    assert abs(right / asked - chance) < 4 * math.sqrt(chance * (1 - chance) / asked)


@pytest.mark.parametrize("made", [Bytes(), BPE(300), Words(300)], ids=["bytes", "bpe", "words"])
def test_bits_of_an_answer_are_those_of_its_ids_whatever_they_are(made: Any) -> None:
    """Against one forward for each text, with the word cut off by hand."""
    corpus = Probe(Recall([2]), size=1000)
    ready = made.train(lambda: [document.text for document in corpus.documents()])
    model = tiny_model(with_shape(vocab=ready.vocab_size, context=64))
    (example,) = corpus.examples("test", 2, 1)
    said = Probes(corpus, texts=1)(Subject(model, ready, 64, lambda split: []))
    nats = 0.0
    for answer in example.answers:
        before = ready.encode(example.text[: answer.start])
        word = ready.encode(example.text[answer.start : answer.stop])
        ids = torch.tensor([[ready.bos, *before, *word]])
        with torch.no_grad():
            scores = model.head(model(Batch(ids, ids)).hidden_BTD)[0].log_softmax(-1)
        nats -= sum(float(scores[len(before) + n, index]) for n, index in enumerate(word))
    assert said.items is not None
    assert said.items["bits"][0] == pytest.approx(nats / math.log(2), rel=1e-4)


def test_lengths_beyond_what_learned_positions_reach_have_no_score() -> None:
    corpus = Probe(Induction([4]), size=500)
    made = Words(512).train(lambda: [document.text for document in corpus.documents()])
    for position in (Learned, ALiBi):
        model = tiny_model(with_shape(vocab=made.vocab_size, context=8), position=position)
        told = Probes(corpus, beyond=[6], texts=5)(Subject(model, made, 8, lambda split: []))
        assert "probe_accuracy_length_0004" in told.scalars
        assert ("probe_accuracy_length_0006" in told.scalars) is (position is ALiBi)
        assert [note for note in told.notes if "6 words" in note] == told.notes
        assert bool(told.notes) is (position is Learned)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (partial(Recall, [4, 80]), "80 pairs.*64 at most"),
        (partial(Induction, [1]), "1 words are too few"),
        (partial(Brackets, [4], kinds=9), "data.task.kinds=9"),
        (partial(Probe, Recall([4]), size=0), "data.size=0"),
        (partial(Probes, Probe(Recall([4])), beyond=[100]), "evaluate.probes.beyond: there are no 100 pairs"),
    ],
)
def test_what_cannot_be_is_refused_before_training(wrong: Callable[[], Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        wrong()


def test_a_small_model_learns_induction(tmp_path: Path) -> None:
    """A block of five words is copied by 34 thousand parameters after 200 small steps, at chance 1 / 8."""
    words = ["data=probe", "data/task=induction", "data.task.lengths=[5]", "data.task.words=8", "data.size=4000"]
    words += ["tokenizer=words", "evaluate=probes", "evaluate.probes.beyond=[7]", "shape=smoke", "optim=muon"]
    words += ["optim.lr=0.02", "batch.size=8", "batch.context=48", "budget=steps", "budget.amount=200"]
    words += ["precision=fp32", "compile=false", f"root={tmp_path}"]
    record = invoke(words, command="").record
    assert record is not None
    assert record.status == "done"
    assert record.metrics["probe_accuracy"] > 0.5
    assert record.metrics["probe_chance"] == 1 / 8


def test_a_task_can_be_scored_on_a_model_of_other_text(tmp_path: Path) -> None:
    from tests.test_keys import job_of
    from tinylm.compose.rehearsal import rehearse

    text = text_files(tmp_path)
    said = rehearse(job_of(*text, "evaluate=probes"))
    assert said is not None
    assert "data=probe" in said
    assert "\n" not in said
    job = job_of(*text, "evaluate=bits_other_probes", "data/task@evaluate.probes.corpus.task=induction")
    assert rehearse(job) is None
    assert job.config["data"]["_target_"].endswith("Files")
    assert job.config["evaluate"]["probes"]["corpus"]["task"]["_target_"].endswith("Induction")
