"""Named random streams, all from one seed, each overridable.

A stream's numbers depend on (seed, stream name, parts) and nothing else: not on how often another stream was read,
not on the order of calls. So adding a module leaves every other draw as it was, and variants stay paired by seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

NAMES = ("data", "init", "dropout", "select")


class Streams:
    """The random streams of one run.

    Args:
        seed: the run's seed.
        overrides: stream name -> its own seed, for streams that shall not follow ``seed``
            (``{"data": 0}`` reads the same batches under every seed). None values follow ``seed``.
    """

    def __init__(self, seed: int, overrides: Mapping[str, int | None] | None = None) -> None:
        self.base = seed
        self.overrides = {name: value for name, value in (overrides or {}).items() if value is not None}
        unknown = set(self.overrides) - set(NAMES)
        if unknown:
            raise ValueError(f"unknown random stream {sorted(unknown)[0]!r}; valid: {', '.join(NAMES)}")

    def seed(self, name: str, *parts: int | str) -> int:
        """A 63-bit seed for ``torch.Generator().manual_seed`` or numpy; equal arguments give equal seeds.

        Example: ``streams.seed("init", "blocks.0.ffn.up.weight")``
        """
        if name not in NAMES:
            raise ValueError(f"unknown random stream {name!r}; valid: {', '.join(NAMES)}")
        base = self.overrides.get(name, self.base)
        text = "\x1f".join([str(base), name, *map(str, parts)])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

    def numpy(self, name: str, *parts: int | str) -> np.random.Generator:
        """A fresh numpy generator of the stream at ``parts``."""
        return np.random.Generator(np.random.PCG64(self.seed(name, *parts)))
