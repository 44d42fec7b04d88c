"""How long a model takes to write a token, and in how much memory."""

from __future__ import annotations

import statistics
import time
import weakref
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tinylm.errors import UserError
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject
from tinylm.evaluate.generate import Reader, following, start
from tinylm.evaluate.int8 import sizes
from tinylm.model.cache import Cache
from tinylm.model.experts import held
from tinylm.model.lm import LanguageModel

MIB = 2**20


@dataclass(frozen=True)
class Latency(Evaluator):
    """Time and memory of writing one text, eager, at torch's present number of threads.

    Tokens are written as `tinylm sample` writes them, with a cache of keys and values: the prompt is read in one
    forward, then each token in one of its own. The times depend on the machine and on what else it does: never compare
    two machines.

    Scores, times being the median of ``repeats`` after a warm-up: ``decode_ms_per_token`` and its inverse
    ``decode_tokens_per_second``, of the tokens after the first; ``time_to_first_token_ms``, from the prompt to the
    first token written; ``prefill_tokens_per_second``, one forward over a whole window.

    ``decode_peak_mib``: the weights and the most bytes that tensors, the cache among them, held at one moment of
    writing (in bf16, rounded weights too). Bytes are counted at every operation, so they repeat exactly; what an
    operation takes for itself inside is not in them. ``cache_mib``: of a whole window's cache. ``model_mib_fp32``,
    ``model_mib_bf16``, ``model_mib_int8``: the weights, as `tinylm.evaluate.int8.sizes` counts them.
    ``latency_threads``: those that torch had.

    Args:
        prompt: tokens read before the first one is written; fewer where the context would not hold ``tokens`` more.
        tokens: written after the first.
        repeats: measurements.
    """

    name: ClassVar[str] = "latency"
    version: ClassVar[str] = "3"

    prompt: int = 64
    tokens: int = 16
    repeats: int = 5

    def __call__(self, subject: Subject) -> Scores:
        """Decode greedily from made-up ids: what the tokens are costs nothing.

        Raises:
            UserError: no prompt, no tokens or no repeats.
        """
        for option in ("prompt", "tokens", "repeats"):
            if getattr(self, option) < 1:
                raise UserError(f"evaluate.latency.{option} is {getattr(self, option)}; give 1 or more")
        model, window = subject.model, min(subject.context, subject.model.shape.context)
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(0)
        made = torch.randint(model.shape.vocab, (max(self.prompt, window),), generator=generator).tolist()
        prompt = made[: max(1, min(self.prompt, model.shape.context - self.tokens))]
        writer = _Writer(model, 0 if subject.domains else None)
        training = model.training
        model.eval()
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=subject.precision == "bf16")
        try:
            with torch.no_grad(), autocast, held(model):
                with LiveBytes() as live:  # first: the weights that are rounded are kept
                    writer.write(prompt, self.tokens)
                stretches = [writer.write(prompt, self.tokens) for _ in range(1 + self.repeats)]
                windows = [writer.write(made[:window], 0)[0] for _ in range(1 + self.repeats)]
                cache = writer.cache
        finally:
            model.train(training)
        first, decode = (statistics.median(times) for times in zip(*stretches[1:], strict=True))
        return Scores(
            {
                "decode_ms_per_token": 1e3 * decode / self.tokens,
                "decode_tokens_per_second": self.tokens / decode,
                "time_to_first_token_ms": 1e3 * first,
                "prefill_tokens_per_second": window / statistics.median(windows[1:]),
                "decode_peak_mib": (sum(parameter.nbytes for parameter in model.parameters()) + live.peak) / MIB,
                "cache_mib": cache.bytes / MIB,
                **{f"model_mib_{name}": size / MIB for name, size in sizes(model).items()},
                "latency_threads": float(torch.get_num_threads()),
            }
        )


class _Writer:
    """Writes the likeliest tokens and takes the time; ``cache`` is that of the last text."""

    def __init__(self, model: LanguageModel, domain: int | None) -> None:
        self.model, self.domain = model, domain
        self.cache = Cache()

    def write(self, prompt: list[int], tokens: int) -> tuple[float, float]:
        """Seconds to the first token, and for ``tokens`` more together."""
        reader, ids = Reader(self.model, len(prompt) + tokens, self.domain), list(prompt)
        begun = time.perf_counter()
        ids.append(int(reader.read([ids]).argmax()))  # fetched, which waits for the device
        first = time.perf_counter()
        for _ in range(tokens):
            ids.append(int(reader.read([ids]).argmax()))
        ended = time.perf_counter()
        assert reader.cache is not None
        self.cache = reader.cache
        return first - begun, ended - first


@torch.inference_mode()
def pace(model: LanguageModel, prompt: list[int], tokens: int, domain: int | None = None) -> tuple[float, float]:
    """Seconds that a token after the first takes with the cache, and where each is a forward over the window so far.

    Greedily, after one to warm up; the model is in evaluation mode.
    """
    writer, ids = _Writer(model, domain), list(prompt)
    begun = 0.0
    with held(model):
        writer.write(prompt, 1)
        _, cached = writer.write(prompt, tokens)
        for place in range(1 + tokens):
            if place == 1:
                begun = time.perf_counter()
            ids.append(int(following(model, [ids[start(len(ids), model.shape.context) :]], None, domain).argmax()))
    return cached / tokens, (time.perf_counter() - begun) / tokens


class LiveBytes(TorchDispatchMode):
    """Within the ``with``: bytes of the tensors that operations made and that still live, and their ``peak``."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, weakref.finalize[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage(tensor) for tensor in _tensors((args, kwargs or {}))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            place = _storage(tensor)
            if place not in given and place not in self._known and tensor.nbytes:
                storage = tensor.untyped_storage()
                self.now += storage.nbytes()
                self._known[place] = weakref.finalize(storage, self._freed, place, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def _freed(self, place: int, size: int) -> None:
        self.now -= size
        del self._known[place]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]
