"""The plain options of a run: what is no component's own. No torch, so that commands which train nothing start fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Batching:
    """How text becomes batches.

    unit: what ``size`` x ``context`` counts, tokens or bytes.  size: sequences a batch (one optimiser step).
    micro: sequences a forward (None: the whole batch).  context: length of a sequence, in ``unit``.
    within_documents: attention stays within documents.
    """

    unit: Literal["tokens", "bytes"] = "tokens"
    size: int = 16
    micro: int | None = None
    context: int = 256
    within_documents: bool = True


@dataclass(frozen=True)
class Settings:
    """Top-level options of ``conf/config.yaml``; those from ``root`` on do not enter the key."""

    seed: int = 0
    streams: dict[str, int | None] = field(default_factory=dict)
    batch: Batching = field(default_factory=Batching)
    precision: Literal["bf16", "fp32"] = "bf16"
    compile: bool | Literal["auto"] = "auto"
    score_every: float = 0.1
    watch: dict[str, int] | None = None
    freeze: list[str] | None = None
    checkpoint: Literal["best"] | None = None
    root: str = "runs"
    cache: str = "runs/cache"
    archives: list[str] = field(default_factory=list)
    keep: Literal["weights", "nothing", "needed"] = "weights"
    checkpoint_seconds: float = 60.0
    logger: Literal["none", "csv", "tensorboard", "wandb"] = "none"
