"""lm-eval's tasks on our models: as its own `hf` model scores them, on files, in a run and from both command lines."""

from __future__ import annotations

import functools
import gzip
import json
import os
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager
from tiny_model import tiny_model, with_shape
from tiny_tokenizers import TEXTS, form

from tests.commands import SMALL, text_files
from tinylm.batch import Batch
from tinylm.cli.main import dispatch
from tinylm.compose.main import invoke
from tinylm.data.tokens import Tokenizer
from tinylm.errors import UserError
from tinylm.evaluate.evaluator import Subject
from tinylm.evaluate.harness import likelihood, local, squad, tasks
from tinylm.evaluate.harness.likelihood import likelihoods
from tinylm.evaluate.harness.model import HarnessModel
from tinylm.evaluate.lm_eval import LMEval
from tinylm.exchange.export import export
from tinylm.model.attention.window import Window
from tinylm.model.ffn.random_routed import RandomRouted
from tinylm.model.ffn.series import Series
from tinylm.model.position.alibi import ALiBi
from tinylm.model.position.learned import Learned
from tinylm.record import RunRecord

REAL = os.environ.get(local.FOLDER, "")
WINDOW = 64
Asked = tuple[str, str]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, HarnessModel]:
    """lm-eval's `hf` model of an export, and ours of what was exported."""
    from lm_eval.models.huggingface import HFLM

    ours = Tokenizer(tokenizers.Tokenizer.from_str(form("letters")))
    model = tiny_model(with_shape(vocab=ours.vocab_size, context=WINDOW))
    folder = tmp_path_factory.mktemp("made") / "export"
    export(model.eval(), ours, folder, lambda proof: "")
    hf = HFLM(pretrained=str(folder), batch_size=16, device="cpu")
    assert hf.max_length == WINDOW
    return hf, HarnessModel(model, ours, progress=False)


def instances(kind: Any, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=one, idx=index) for index, one in enumerate(arguments)]


def minimal_pairs(count: int) -> list[tuple[str, str]]:
    """Sentences and the same with two neighbouring words exchanged."""
    draw = random.Random(0)
    words = [word for word in " ".join(TEXTS).split() if word.isalpha() and len(word) < 9]
    made = []
    for _ in range(count):
        start, length = draw.randrange(len(words) - 20), draw.randrange(4, 14)
        good = words[start : start + length]
        place = draw.randrange(length - 1)
        bad = [*good[:place], good[place + 1], good[place], *good[place + 2 :]]
        made.append((" ".join(good), " ".join(bad)))
    return made


def questions() -> list[list[Asked]]:
    """As BLiMP asks (no context), as PIQA (one context, several answers) as LAMBADA (a last word), as
    HellaSwag (a long context and short answers), and with contexts that are too long."""
    pairs = minimal_pairs(200)
    blimp = [[("", f" {good}"), ("", f" {bad}")] for good, bad in pairs]
    piqa = [
        [(f"Question: {good}\nAnswer:", f" {answer}") for answer in (pairs[at - 1][0], pairs[at - 2][1], "yes")]
        for at, (good, _) in enumerate(pairs[:60])
    ]
    lambada = [[(" ".join(text.split()[:-1]), f" {text.split()[-1]}")] for text, _ in pairs[:60]]
    hellaswag = [
        [(f"{good} {pairs[at + 1][0]}", f" {word}") for word in pairs[at + 2][0].split()[:4]]
        for at, (good, _) in enumerate(pairs[100:140], start=100)
    ]
    over = [[("too long a context " * 30 + good, f" {good}"), (" ", good), (good, " x")] for good, _ in pairs[:12]]
    return [*blimp, *piqa, *lambada, *hellaswag, *over]


def test_likelihoods_and_choices_are_those_of_lm_evals_own_model(both: tuple[Any, HarnessModel]) -> None:
    asked = questions()
    flat = instances("loglikelihood", [request for question in asked for request in question])
    theirs, ours = (lm.loglikelihood(flat, disable_tqdm=True) for lm in both)
    assert [nats for nats, _ in ours] == pytest.approx([nats for nats, _ in theirs], abs=1e-3)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    answers = [iter(theirs), iter(ours)]
    for question in asked:
        chosen = [max(range(len(question)), key=[next(side)[0] for _ in question].__getitem__) for side in answers]
        assert chosen[0] == chosen[1]
    assert len({round(nats, 3) for nats, _ in ours}) > 500, "different requests have different answers"


def test_whole_texts_and_generations_are_those_of_lm_evals_own_model(both: tuple[Any, HarnessModel]) -> None:
    hf, ours = both
    texts = [(text,) for text in ("short", TEXTS[1][:900], minimal_pairs(1)[0][0])]
    hf.add_bos_token = False  # else it counts the BOS as text
    expected = hf.loglikelihood_rolling(instances("loglikelihood_rolling", texts), disable_tqdm=True)
    hf.add_bos_token = None
    found = ours.loglikelihood_rolling(instances("loglikelihood_rolling", texts), disable_tqdm=True)
    assert found == pytest.approx(expected, abs=1e-2)
    assert ours.loglikelihood_rolling(instances("loglikelihood_rolling", [("",)])) == [0.0]

    wanted = {"until": ["\n\n", "ing"], "max_gen_toks": 24}
    prompts = [(good, dict(wanted)) for good, _ in minimal_pairs(12)]
    expected = hf.generate_until(instances("generate_until", prompts), disable_tqdm=True)
    assert ours.generate_until(instances("generate_until", prompts), disable_tqdm=True) == expected
    assert len(set(expected)) > 6
    sampled = [("the cat", {"do_sample": True, "temperature": 1.0, "max_gen_toks": 8, "until": []})] * 2
    drawn = ours.generate_until(instances("generate_until", sampled))
    assert drawn == ours.generate_until(instances("generate_until", sampled))
    assert drawn[0] != drawn[1]


def test_what_lm_evals_own_model_refuses_is_scored_once(both: tuple[Any, HarnessModel]) -> None:
    """A continuation longer than the window: its tokens are those of a whole text; and one that a merge swallows."""
    ours = both[1]
    text = TEXTS[0][:700]
    assert len(ours.tok_encode(text)) > 2 * WINDOW
    (whole,) = ours.loglikelihood_rolling(instances("loglikelihood_rolling", [(text,)]))
    ((nats, greedy),) = ours.loglikelihood(instances("loglikelihood", [("", text)]), disable_tqdm=True)
    assert nats == pytest.approx(whole)
    assert not greedy
    pairs = [(context[1], [ours.vocabulary.eos]) for context in [("", [1, 2, 3]), ("", [1, 2])]]
    alone = [likelihoods(ours.model, [pair], window=WINDOW)[0] for pair in pairs]
    assert [one.nats for one in likelihoods(ours.model, pairs * 3, window=WINDOW, rows=1)] == pytest.approx(
        [one.nats for one in alone] * 3
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"attention": functools.partial(Window, window=5)},
        {"position": ALiBi},
        {"position": Learned},
        {"ffn": functools.partial(Series, kernel=3)},
    ],
    ids=["window", "alibi", "learned", "series"],
)
def test_what_is_read_once_for_all_choices_gives_each_choice_its_own_likelihood(parts: dict[str, Any]) -> None:
    model = tiny_model(with_shape(vocab=64, context=24), **parts).eval()
    draw = random.Random(0)
    pairs = []
    for length in (1, 5, 12, 20, 30):
        context = [draw.randrange(64) for _ in range(length)]
        choices = [[draw.randrange(64) for _ in range(draw.randrange(1, 5))] for _ in range(3)]
        pairs += [(context, choice) for choice in [*choices, [*choices[0][:-1], 7]]]
    for length, tail in ((21, 4), (18, 5)):  # what pads the first to the second's length would stand beyond the window
        pairs += [(list(range(length, 2 * length)), [last] * tail) for last in (3, 4)]
    together = likelihood._questions(pairs, 24)
    assert sum(len(question.rows) > 2 for question in together) >= 3
    assert sum(question.size for question in together) < 0.6 * sum(min(24, len(c) + len(a) - 1) for c, a in pairs)
    alone = [likelihoods(model, [pair], window=24)[0] for pair in pairs]
    for rows in (30, 4096):
        found = likelihoods(model, pairs, window=24, rows=rows)
        assert [one.nats for one in found] == pytest.approx([one.nats for one in alone], abs=1e-4)
        assert [one.greedy for one in found] == [one.greedy for one in alone]


def test_a_model_that_routes_by_domain_reads_all_as_of_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likelihoods, read through caches too, and texts; benchmarks as of the first domain unless one is named."""
    narrowed(monkeypatch)
    ours = Tokenizer(tokenizers.Tokenizer.from_str(form("letters")))
    shape = with_shape(vocab=ours.vocab_size, context=WINDOW, domains=("code", "prose"))
    model = tiny_model(shape, ffn=functools.partial(RandomRouted, groups={"code": 2, "prose": 2}))
    pairs = [([5, 6, 7, 8, 9, 10], [last, 4]) for last in (11, 12, 13)] + [([14], [15, 16])]
    for domain in (0, 1):
        for found, (context, said) in zip(likelihoods(model, pairs, window=24, domain=domain), pairs, strict=True):
            ids_1T = torch.tensor([context + said])
            batch = Batch(ids_1T, ids_1T, domain_B=torch.tensor([domain]))
            chance_TV = model.eval().head(model(batch).hidden_BTD)[0].log_softmax(-1)
            told = sum(chance_TV[len(context) - 1 + at, token].item() for at, token in enumerate(said))
            assert found.nats == pytest.approx(told, abs=1e-4)
    request = instances("generate_until", [("the", {"until": ["."], "max_gen_toks": 8})])
    texts = [HarnessModel(model, ours, progress=False, domain=domain).generate_until(request) for domain in (0, 1)]
    assert texts[0] != texts[1]
    subject = Subject(model, ours, WINDOW, lambda split: [])
    first, code, prose = (LMEval(["local_copa"], domain=domain)(subject) for domain in (None, "code", "prose"))
    assert first.scalars == code.scalars != prose.scalars
    assert [len(scores.notes) for scores in (first, code, prose)] == [1, 0, 0]
    assert "read as domain code, the first that the model routes by" in first.notes[0]
    with pytest.raises(UserError, match="routes by no domain"):
        LMEval(["local_copa"], domain="code")(Subject(tiny_model(shape), ours, WINDOW, lambda split: []))


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    with gzip.open(folder / name, "wt", encoding="utf-8") as file:
        file.write("\n".join(json.dumps(row) for row in rows))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every file that the shipped tasks read, of made questions."""
    made = tmp_path / "benchmarks"
    pairs = minimal_pairs(4)
    index = TaskManager(include_path=str(tasks.shipped()), include_defaults=False).task_index
    shipped = [entry.cfg for entry in index.values() if entry.cfg and "dataset_kwargs" in entry.cfg]
    plain = [
        {"query": good, "choices": [good, bad, "neither"][: 2 + at % 2], "gold": at % 2, "context": good}
        | {"continuation": bad, "support": good, "question": bad, "correct_answer": "it", "distractor1": "a"}
        | {"distractor2": "b", "distractor3": "c"}
        for at, (good, bad) in enumerate(pairs)
    ]
    listed = "\n A. one\n B. two"
    lettered = [{"query": f"Question: {good}?{listed}\nAnswer:", "choices": ["A", "B"], "gold": 1} for good, _ in pairs]
    for config in shipped:
        for split, name in config["dataset_kwargs"].items():
            written(made, name, lettered if split == "train" else plain)
    paradigms = [member["dataset_kwargs"]["only"]["UID"] for member in index["local_blimp"].cfg["task"]]
    assert len(set(paradigms)) == 67
    written(
        made,
        "blimp.dev.jsonl.gz",
        [{"UID": name, "sentence_good": good, "sentence_bad": bad} for name in paradigms for good, bad in pairs[:2]],
    )
    monkeypatch.setenv(local.FOLDER, str(made))
    return made


def test_every_shipped_task_asks_what_its_file_says(folder: Path) -> None:
    loaded = tasks.load(["local"])
    named = {path.stem for path in tasks.shipped().glob("*.yaml") if not path.stem.startswith(("local", "glam"))}
    assert {name.removeprefix("local_") for name in loaded.group_map["local"]} == named
    for name, task in loaded.tasks.items():
        task.set_config("num_fewshot", 0)
        task.build_all_requests(limit=2, rank=0, world_size=1)
        assert all(continuation.strip() for _, continuation in (request.args for request in task.instances)), name
    easy = loaded.tasks["local_arc_easy"]
    assert [example["choices"] for example in easy.fewshot_docs()] == [["one", "two"]] * 4, "no letters"
    row = {"query": "Q: which?\n A. a\n B. b\nAnswer:", "choices": ["A", "B", "C"]}
    assert local.spelled_out(row) == row


def test_scores_of_a_run_land_in_its_record_and_its_history(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    narrowed(monkeypatch)
    asked = "evaluate.tasks=[local_piqa,local_copa]"
    words = [*text_files(tmp_path / "text"), *SMALL, f"root={tmp_path}/runs", "evaluate=lm_eval"]
    assert dispatch(["run", *words, asked, "watch={lm_eval: 4}"]) == 0
    (path,) = (tmp_path / "runs").glob("*/record.json")
    record = RunRecord.read(path.parent)
    metrics, about = record.metrics, record.provenance["evaluations"]
    assert {"local_piqa/acc", "local_piqa/answer_bits_per_byte_stderr", "local_copa/acc_norm_stderr"} <= metrics.keys()
    assert about["local_copa"] | {"lm_eval": ""} == {
        "version": 1.0, "num_fewshot": 0, "documents": 4, "of": 4, "lm_eval": ""
    }  # fmt: skip
    history = [json.loads(line) for line in (path.parent / "history.jsonl").read_text().splitlines()]
    watched = {line["step"]: line["local_copa/answer_bits_per_byte"] for line in history if "local_copa/acc" in line}
    assert list(watched) == [4]
    assert watched[4] != metrics["local_copa/answer_bits_per_byte"]
    assert record.cost["watch_seconds"] > 0
    shown = dict(re.findall(r"^  (local_copa/acc\S*) +(.*)$", capfd.readouterr().out, re.MULTILINE))
    error = f"{metrics['local_copa/acc_stderr']:.4f}"
    assert shown["local_copa/acc"].endswith(f" ± {error}"), "who asked for a benchmark sees what it said"
    assert "local_copa/acc_stderr" not in shown

    again = ["eval", record.key, f"--root={tmp_path}/runs", "--tasks", "local_copa", "--num-fewshot", "0"]
    assert dispatch([*again, "--limit", "2"]) == 0
    assert dispatch([*again, "evaluate.lm_eval.limit=2"]) == 0
    assert dispatch([*again, "--context", "16"]) == 0
    assert "written into" not in capfd.readouterr().out
    assert dispatch(again) == 0
    said = capfd.readouterr().out
    assert "written into" in said
    after = RunRecord.read(path.parent)
    for name in ("acc", "acc_stderr", "answer_bits_per_byte"):
        assert after.metrics[f"local_copa@0/{name}"] == pytest.approx(metrics[f"local_copa/{name}"], rel=1e-5)
    assert after.provenance["evaluations"]["local_copa@0"]["num_fewshot"] == 0

    written(folder, "copa_val.jsonl.gz", [{"query": "a", "choices": ["b", "c"], "gold": 0}])
    assert key_of(*words, asked) != key_of(*words, "evaluate.tasks=[local_piqa]")
    for wrong, complaint in (
        (["watch={lm_evil: 4}"], "did you mean 'lm_eval'?"),
        (["watch={lm_eval: 0}"], "watch={lm_eval: 500}"),
        (["evaluate.tasks=[local_kopa]"], "did you mean 'local_copa'?"),
        ([asked, f"evaluate.lm_eval.data={tmp_path}"], "piqa_val.jsonl.gz: there is no such file"),
    ):
        assert dispatch(["run", *words, *wrong]) == 2
        assert complaint in capfd.readouterr().err


def key_of(*words: str) -> str:
    from tests import test_keys

    test_keys.keys._content.cache_clear()
    return test_keys.key_of(*(word.replace("evaluate.tasks", "evaluate.lm_eval.tasks") for word in words))


def narrowed(monkeypatch: pytest.MonkeyPatch, *folders: str) -> None:
    """lm-eval's own tasks are those of a few folders of it: to go through all takes half of a minute."""
    made = TaskManager.__init__
    import lm_eval.tasks

    theirs = Path(lm_eval.tasks.__file__).parent

    def few(self: TaskManager, *given: Any, include_path: Any = None, **options: Any) -> None:
        known = [include_path] if isinstance(include_path, str) else list(include_path or [])
        more = [] if options.get("include_defaults") is False else [str(theirs / name) for name in folders]
        made(self, *given, **{**options, "include_path": [*more, *known], "include_defaults": False})

    monkeypatch.setattr(TaskManager, "__init__", few)
    tasks._manager.cache_clear()
    monkeypatch.setattr(tasks, "_manager", functools.lru_cache(tasks._manager.__wrapped__))


def unreachable(path: str, *given: Any, **options: Any) -> None:
    raise ConnectionError(f"Couldn't reach {path!r} on the Hub\n(offline)")


def test_lm_evals_own_command_line_knows_our_models_and_tasks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    narrowed(monkeypatch)
    words = [*text_files(tmp_path / "text"), *SMALL, f"root={tmp_path}/runs"]
    record = invoke(words, command="").record
    assert record is not None
    run = ["lm-eval", "run", "--model", "tinylm", "--tasks", "local_copa", "--limit", "3"]
    of = f"run={record.key},root={tmp_path}/runs"
    assert dispatch([*run, "--model_args", of, "--output_path", str(tmp_path / "out.json")]) == 0
    assert "local_copa" in capfd.readouterr().out
    (told,) = tmp_path.glob("out*.json")
    theirs = json.loads(told.read_text())["results"]["local_copa"]["acc,none"]
    assert dispatch(["eval", record.key, f"--root={tmp_path}/runs", "--tasks=local_copa", "--limit=3", "--json"]) == 0
    ours = json.loads(capfd.readouterr().out)["scores"]["lm_eval"]
    assert dispatch(["eval", record.key, f"--root={tmp_path}/runs", "--tasks=local_blimp"]) == 0
    blimp = RunRecord.read(tmp_path / "runs" / record.key).metrics
    paradigms = [blimp[name] for name in blimp if name.startswith("local_blimp::") and name.endswith("/acc")]
    assert len(paradigms) == 67
    assert blimp["local_blimp/acc"] == pytest.approx(sum(paradigms) / 67)
    assert ours["scalars"]["local_copa/acc"] == pytest.approx(theirs)
    assert ours["items"]["document"] == [0, 1, 2]
    for wrong, complaint in (
        (["--model_args", "run=ffff"], "no ended run's key begins with 'ffff'"),
        (["--model_args", f"{of},size=3"], "size is not known"),
        (["--model_args", f"{of},precision=bfloat16"], "precision=bfloat16 is not one of bf16, fp32"),
        (["--model_args", f"{of},max_length=abc"], "max_length=abc is no number of tokens"),
        (["--no-such-flag"], "lm-eval refuses"),
    ):
        assert dispatch([*run, *wrong]) == 2
        assert complaint in capfd.readouterr().err


def test_without_a_network_lm_evals_own_tasks_fail_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    narrowed(monkeypatch, "piqa")
    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with monkeypatch.context() as absent:
        absent.setitem(sys.modules, "lm_eval", None)
        with pytest.raises(UserError, match=r"pip install 'tinylm\[eval\]'"):
            tasks.load(["piqa"])
    with pytest.raises(UserError, match=r"baber/piqa.* with a network .*--data DIR\): local_arc_challenge") as caught:
        tasks.load(["piqa"])
    assert "\n" not in str(caught.value)


def test_glams_suite_is_made_of_tasks_that_lm_eval_has(monkeypatch: pytest.MonkeyPatch) -> None:
    narrowed(
        monkeypatch,
        *("triviaqa", "nq_open", "webqs", "squadv2", "lambada", "drop", "coqa", "hellaswag", "storycloze", "wsc273"),
        *("winogrande", "race", "piqa", "arc", "openbookqa", "super_glue", "glue/rte", "anli"),
    )
    monkeypatch.setattr("datasets.load_dataset", unreachable)
    for name in ("coqa", "record"):  # what they import is gone from transformers 5
        with pytest.raises(UserError, match="with a network"):
            tasks.load([name])
    index = tasks._manager(True, None).task_index
    generation, understanding = (group["task"] for group in index["glam"].cfg["task"])
    assert (len(generation), len(understanding)) == (8 - 1, 21 - 1), "QuAC and RACE-m are not there"
    assert {name for name in [*generation, *understanding] if name not in index} == set()
    assert {name: index[name].cfg.get("num_fewshot") for name in index if name.startswith("glam_")} == {
        "glam_zero_shot": 0,
        "glam_one_shot": 1,
        "glam_few_shot": 5,
    }


def test_answers_in_words_are_compared_as_bags_of_words() -> None:
    assert squad.compute_exact("The cat!", "a Cat") == 1
    assert squad.compute_exact("the cat", "cats") == 0
    assert squad.compute_f1("the black cat sat", "A cat, black cat") == pytest.approx(2 * 2 / (3 + 3))
    assert [squad.compute_f1(*pair) for pair in (("", "the"), ("", "x"), ("x", "y"))] == [1, 0, 0]


@pytest.mark.skipif(not REAL, reason=f"{local.FOLDER} names no folder with the real benchmarks")
def test_real_questions_are_answered_as_by_lm_evals_own_model(
    both: tuple[Any, HarnessModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(local.FOLDER, REAL)
    loaded = tasks.load(["local_blimp", "local_lambada", "local_piqa"])
    asked = []
    for name, task in loaded.tasks.items():
        task.set_config("num_fewshot", 0)
        task.build_all_requests(limit=3 if "::" in name else 40, rank=0, world_size=1)
        asked += task.instances
    fits = [one for one in asked if len(both[1].tok_encode(one.args[1])) <= WINDOW]  # the others `hf` refuses
    assert len(fits) > 400
    theirs, ours = (lm.loglikelihood(fits, disable_tqdm=True) for lm in both)
    assert [nats for nats, _ in ours] == pytest.approx([nats for nats, _ in theirs], abs=1e-3)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
