"""How long a model takes to write a token, and in how much memory."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tinylm.batch import IGNORE, Batch
from tinylm.errors import UserError
from tinylm.evaluate.evaluator import Evaluator, Scores, Subject
from tinylm.model.lm import LanguageModel

MIB = 2**20


@dataclass(frozen=True)
class Latency(Evaluator):
    """Time and memory of decoding one sequence, eager, at torch's present number of threads.

    There is no cache of keys and values here: each token is one forward over all ids so far (the last
    ``shape.context`` of them), as ``tinylm sample`` does it. So the times rank shapes of this program; they are not
    those of a cached decoder. They depend on the machine and on what else it does: never compare two machines.

    Scores: ``decode_ms_per_token_uncached``, the median of ``repeats`` after a warm-up; ``prefill_tokens_per_second``,
    one forward over a whole window, likewise; ``decode_peak_mib``: the weights and the most bytes that tensors held at
    one moment of decoding (in bf16, rounded weights too). Bytes are counted at every operation, so they repeat
    exactly; what an operation takes for itself inside is not in them.

    Args:
        prompt: tokens read before the first one is written.
        tokens: written.
        repeats: measurements.
    """

    name: ClassVar[str] = "latency"
    version: ClassVar[str] = "1"

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
        model = subject.model
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(0)
        length = max(self.prompt, subject.context)
        ids_1T = torch.randint(model.shape.vocab, (1, length), generator=generator).to(device)
        training = model.training
        model.eval()
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=subject.precision == "bf16")
        try:
            with torch.no_grad(), autocast:
                with LiveBytes() as live:  # first: autocast keeps the weights that it rounds
                    self._decode(model, ids_1T[:, : self.prompt])
                decode = self._median(lambda: self._decode(model, ids_1T[:, : self.prompt]), device)
                prefill = self._median(lambda: _next(model, ids_1T[:, : subject.context]), device)
        finally:
            model.train(training)
        weights = sum(parameter.nbytes for parameter in model.parameters())
        return Scores(
            {
                "decode_ms_per_token_uncached": 1e3 * decode / self.tokens,
                "prefill_tokens_per_second": subject.context / prefill,
                "decode_peak_mib": (weights + live.peak) / MIB,
            }
        )

    def _decode(self, model: LanguageModel, ids_1T: Tensor) -> Tensor:
        for _ in range(self.tokens):
            ids_1T = torch.cat((ids_1T, _next(model, ids_1T[:, -model.shape.context :])), dim=1)
        return ids_1T

    def _median(self, work: Callable[[], Tensor], device: torch.device) -> float:
        """Seconds; the result is fetched, which waits for the device."""
        seconds = []
        for _ in range(1 + self.repeats):
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            begun = time.perf_counter()
            work().tolist()
            seconds.append(time.perf_counter() - begun)
        return statistics.median(seconds[1:])


def _next(model: LanguageModel, ids_1T: Tensor) -> Tensor:
    """The likeliest next id, (1, 1)."""
    output = model(Batch(ids_1T, torch.full_like(ids_1T, IGNORE)))
    return model.head(output.hidden_BTD[:, -1:]).argmax(-1)


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
