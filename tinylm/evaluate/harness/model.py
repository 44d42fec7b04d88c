"""A model of ours as lm-eval calls it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from tqdm import tqdm

from tinylm.errors import UserError
from tinylm.evaluate.domain import domain_of
from tinylm.evaluate.evaluator import Vocabulary
from tinylm.evaluate.generate import generate
from tinylm.evaluate.harness.likelihood import Likelihood, likelihoods
from tinylm.model.lm import LanguageModel

READ = {"cpu": 1024}  # ids in one forward, where no batch size is asked for: on a CPU what its caches hold is fastest
ELSEWHERE = 16384
WRITTEN = 32  # texts that are written at once then

Loader = Callable[[str, str], tuple[LanguageModel, Vocabulary]]


class HarnessModel(TemplateLM):
    """What lm-eval asks of a model: likelihoods of continuations, of whole texts, and texts that go on.

    A document begins with BOS, as in training: a context is read as BOS and its ids, an empty one as BOS alone. That is
    what lm-eval's ``hf`` model does with a tokenizer that adds BOS. The likelihood of a whole text is that of its ids
    after one BOS; with such a tokenizer ``hf`` counts another BOS as part of the text, unless ``add_bos_token=False``.

    A context too long for the window loses its beginning, as in ``hf``. A continuation longer than the window, which
    ``hf`` refuses, is scored in windows, as a whole text is.

    Args:
        model: on its device.
        tokenizer: its vocabulary.
        window: ids that it reads at most; None: those it was trained with.
        rows: sequences in one forward; None: as many as are fastest.
        progress: whether to show a bar on stderr.
        domain: number of the domain that all is read as, for models that route by it.

    Raises:
        UserError: a window longer than the model's table of places.
    """

    load: ClassVar[Loader | None] = None  # a run's key and where runs lie -> model, tokenizer; from a higher floor

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Vocabulary,
        *,
        window: int | None = None,
        rows: int | None = None,
        precision: Literal["bf16", "fp32"] = "fp32",
        progress: bool = True,
        domain: int | None = None,
    ) -> None:
        super().__init__()
        longest = model.shape.context
        if window is not None and window > longest and not model.position.any_length:
            raise UserError(f"max_length={window}: the model's table of places ends at {longest} tokens")
        self.model, self.vocabulary = model, tokenizer
        self.max_length = window or longest
        self.precision, self.domain = precision, domain
        self.progress = sys.stderr if progress else None
        self._device = next(model.parameters()).device
        self.read = READ.get(self._device.type, ELSEWHERE) if rows is None else rows * self.max_length
        self.written = rows or WRITTEN

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> HarnessModel:
        """The model of a run, as ``--model_args run=KEY,root=DIR`` names it.

        Raises:
            UserError: no run is named, or an argument that there is not, or a domain that the model does not know.
        """
        given = dict(arg_dict)
        known = ("run", "root", "max_length", "precision", "domain")
        unknown = sorted(set(given) - set(known))
        if unknown or "run" not in given:
            named = f"{unknown[0]} is not known" if unknown else "run is missing"
            raise UserError(
                f"--model_args: {named}; write run=KEY,root=DIR, and max_length, precision or domain if need be"
            )
        if cls.load is None:
            raise ValueError("nobody has said how a run is loaded")
        window, precision = given.get("max_length"), given.get("precision", "fp32")
        if window is not None and not (isinstance(window, int) and window > 0):
            raise UserError(f"--model_args: max_length={window} is no number of tokens; give 1 or more")
        if precision not in ("bf16", "fp32"):
            raise UserError(f"--model_args: precision={precision} is not one of bf16, fp32")
        more = additional_config or {}
        model, tokenizer = cls.load(str(given["run"]), str(given.get("root", "runs")))
        device = str(more.get("device") or "cpu")
        if not device.startswith("cuda") or torch.cuda.is_available():  # lm-eval asks for cuda where nobody says
            model = model.to(device)
        size = str(more.get("batch_size"))
        return cls(
            model,
            tokenizer,
            window=window,
            rows=int(size) if size.isdigit() else None,  # auto: by ids
            precision=precision,
            domain=domain_of(model, given.get("domain"), "--model_args: domain"),
        )

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict[str, Any] | None = None) -> HarnessModel:
        """As ``create_from_arg_obj``, from words."""
        return cls.create_from_arg_obj(utils.simple_parse_args_string(arg_string), additional_config)

    @property
    def eot_token_id(self) -> int:
        return self.vocabulary.eos

    @property
    def prefix_token_id(self) -> int:
        return self.vocabulary.bos

    @property
    def max_gen_toks(self) -> int:
        return 256  # as hf

    @property
    def tokenizer_name(self) -> str:
        return str(getattr(self.vocabulary, "hash", ""))

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """BOS, unless ``add_special_tokens`` is False, and the ids of ``string``."""
        ids = [int(index) for index in self.vocabulary.encode(string)]
        return ids if add_special_tokens is False else [self.vocabulary.bos, *ids]

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        pairs: list[tuple[list[int], list[int]]] = []
        owner: list[int] = []
        for number, (words, context, continuation) in enumerate(requests):
            if not continuation and words is not None:  # the context's last token has swallowed it
                continuation = self.tok_encode(words[1], add_special_tokens=False)
            parts = [(context, continuation)] if continuation else []
            if len(continuation) > self.max_length:
                parts = self._windows(continuation, context[-1])
            pairs += parts
            owner += [number] * len(parts)
        scored = self._likelihoods(pairs, "likelihoods", disable_tqdm)
        answers = [(0.0, True)] * len(requests)
        for number, likelihood in zip(owner, scored, strict=True):
            nats, greedy = answers[number]
            answers[number] = (nats + likelihood.nats, greedy and likelihood.greedy)
        for (words, _, _), answer in zip(requests, answers, strict=True):
            if words is not None:
                self.cache_hook.add_partial("loglikelihood", words, answer)
        return answers

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of each text after BOS; each token is scored once, in windows as long as can be."""
        texts = [request.args[0] for request in requests]
        ids = [self.tok_encode(text, add_special_tokens=False) for text in texts]
        windows = [self._windows(text, self.vocabulary.bos) for text in ids]
        scored = iter(self._likelihoods([pair for pairs in windows for pair in pairs], "texts", disable_tqdm))
        totals = [sum(next(scored).nats for _ in pairs) for pairs in windows]
        for text, total in zip(texts, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
        return totals

    def _windows(self, ids: list[int], before: int) -> list[tuple[list[int], list[int]]]:
        """(context, continuation) pairs that score each of ``ids``, which stand after ``before``, once."""
        rolling = utils.get_rolling_token_windows(ids, before, self.max_length, context_len=1)
        return [utils.make_disjoint_window(pair) for pair in rolling]

    def _likelihoods(self, pairs: list[tuple[list[int], list[int]]], what: str, quiet: bool) -> list[Likelihood]:
        with tqdm(total=len(pairs), desc=what, **self._bar(quiet)) as bar:
            return likelihoods(
                self.model,
                pairs,
                window=self.max_length,
                rows=self.read,
                precision=self.precision,
                done=bar.update,
                domain=self.domain,
            )

    def _bar(self, quiet: bool) -> dict[str, Any]:
        return {"disable": quiet or self.progress is None, "file": self.progress}

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """How the model goes on with each context, up to a string of ``until`` or the end of the document.

        A context keeps its last ids: as many as leave room for what may be written, and half a window at least, where
        ``hf`` refuses to leave fewer than one. Greedy unless ``do_sample``, ``temperature``, ``top_k`` or ``top_p`` say
        otherwise; a request's draws depend on its place among the requests alone.
        """
        answers: list[str] = [""] * len(requests)
        alike: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            alike.setdefault(repr(request.args[1]), []).append(number)
        with tqdm(total=len(requests), desc="texts", **self._bar(disable_tqdm)) as bar:
            for numbers in alike.values():
                settings = normalize_gen_kwargs(requests[numbers[0]].args[1], self.max_gen_toks)
                room = settings["max_gen_toks"]
                prompts = {number: self._prompt(requests[number].args[0], room) for number in numbers}
                numbers.sort(key=lambda number: -len(prompts[number]))
                at = 0
                while at < len(numbers):
                    batch = numbers[at : at + self.written]
                    at += self.written
                    for number, text in zip(batch, self._texts(batch, prompts, settings), strict=True):
                        answers[number] = text
                        self.cache_hook.add_partial("generate_until", requests[number].args, text)
                    bar.update(len(batch))
        return answers

    def _prompt(self, context: str, tokens: int) -> list[int]:
        return self.tok_encode(context)[-max(self.max_length - tokens, self.max_length // 2) :]

    def _texts(self, numbers: list[int], prompts: dict[int, list[int]], settings: Mapping[str, Any]) -> list[str]:
        ends = handle_stop_sequences(settings["until"], eos=None)
        sampled = settings["do_sample"] and settings.get("temperature", 1.0) > 0

        def ended(ids: list[int]) -> bool:
            text = self.vocabulary.decode(ids)
            return any(end and end in text for end in ends)

        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            written = generate(
                self.model,
                [prompts[number] for number in numbers],
                tokens=settings["max_gen_toks"],
                stop=[self.vocabulary.eos],
                until=ended,
                never=[self.vocabulary.bos],
                temperature=float(settings.get("temperature", 1.0)) if sampled else 0.0,
                top_k=settings.get("top_k") if sampled else None,
                top_p=settings.get("top_p") if sampled else None,
                seeds=numbers,
                domain=self.domain,
                window=self.max_length,
            )
        return [postprocess_generated_text(self.vocabulary.decode(ids), ends, None) for ids in written]
