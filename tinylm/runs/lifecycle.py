"""The life of a run: lock, prepare, initialise, train, score, write the record last."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from tinylm.data.loader import Batches
from tinylm.data.prepare import Prepared, prepare
from tinylm.errors import Diverged
from tinylm.evaluate.bits import token_nats
from tinylm.evaluate.evaluator import Subject
from tinylm.files import write_json
from tinylm.model.accounting import counter, flops_per_token, parameters, vocabulary_share
from tinylm.model.freezing import freeze
from tinylm.model.lm import LanguageModel
from tinylm.model.meta import meta
from tinylm.model.shape import Solved, solve
from tinylm.record import WEIGHTS, RunRecord
from tinylm.runs.allocator import keep_memory
from tinylm.runs.best import Best
from tinylm.runs.documents import Documents
from tinylm.runs.energy import Energy
from tinylm.runs.failure import spent
from tinylm.runs.initial import NAME as INITIAL
from tinylm.runs.initial import forget, initialise
from tinylm.runs.items import write_items
from tinylm.runs.parts import Parts
from tinylm.runs.provenance import environment
from tinylm.runs.routing import layers
from tinylm.runs.wall import Wall
from tinylm.runs.watch import Watch
from tinylm.runs.weights import save_weights
from tinylm.streams import Streams
from tinylm.train.fit import fit
from tinylm.train.journal import Journal


def run(replicas: list[tuple[Parts, Path]]) -> list[RunRecord]:
    """Run each replica in its folder, or find that it has run; their records.

    A run that was killed goes on from its checkpoint. A loss that is not finite ends a run as ``diverged``.

    Raises:
        Interrupted: the run was asked to stop; it wrote its checkpoint.
        UserError: the corpus, the tokenizer or the shape cannot be had.
    """
    keep_memory()
    return [_locked(parts, folder) for parts, folder in replicas]


def _locked(parts: Parts, folder: Path) -> RunRecord:
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "run.lock"):
        if (folder / "record.json").is_file():
            record = RunRecord.read(folder)
            unkept = parts.settings.keep == "needed" and not (folder / WEIGHTS).is_file()
            if record.status == "diverged" or (record.status == "done" and not unkept):
                return record
        gpus: int | None = 1 if parts.machine.accelerator == "gpu" else 0
        if gpus and parts.machine.devices > 1:  # to find the counters wakes CUDA, after which nothing can be forked
            gpus = None
        with Energy(gpus) as energy:
            return _Run(parts, folder, energy).go()


class _Run:
    """One run under its lock."""

    def __init__(self, parts: Parts, folder: Path, energy: Energy) -> None:
        self.parts, self.folder, self.energy = parts, folder, energy
        self.wall = Wall(folder, ("checkpoint", INITIAL))
        self.streams = Streams(parts.settings.seed, parts.settings.streams)
        self.record = RunRecord(
            key=parts.key, status="done", config=parts.config, choices=parts.choices, provenance=dict(environment())
        )

    def go(self) -> RunRecord:
        parts, record = self.parts, self.record
        torch.set_num_threads(parts.machine.threads)
        prepared = prepare(parts.corpus, parts.tokenizer, parts.identity, Path(parts.settings.cache), self._say)
        batches = parts.batches(prepared.store)
        solved = self._solve(prepared, batches)
        with meta():
            model = parts.model(solved.shape)
        initial = initialise(model, parts, prepared, self.streams, self.folder, self._say)
        if parts.settings.freeze is not None:
            freeze(model, parts.settings.freeze)
        per_token = flops_per_token(model, solved.shape.context)
        record.accounting = {
            "parameters": parameters(model),
            "flops_per_token": per_token["training"],
            "flops_by_part": per_token,
            "shape": asdict(solved.shape),
            "solver": {
                "target": solved.target,
                "reached": solved.reached,
                "missed": solved.missed,
                "note": solved.note,
            },
        }
        record.provenance |= prepared.provenance | {
            "threads": parts.machine.threads,
            "precision": parts.settings.precision,
            "machine": asdict(parts.machine),
            "initialisation": initial.chain,
            "started": _utc(self.wall.began),
        }
        if prepared.tokenizer.origin is not None:
            before = prepared.tokenizer.origin.report["original_vocab"]
            record.provenance["tokenizer_pruning"] |= {
                "vocabulary_share": vocabulary_share(model),
                "vocabulary_share_before": vocabulary_share(model, before),  # of the same body
            }
        if initial.parent is not None:
            record.provenance["parent"] = initial.parent
        subject = partial(
            Subject,
            tokenizer=prepared.tokenizer,
            context=solved.shape.context,
            documents=partial(Documents, prepared),
            precision=parts.settings.precision,
            domains=prepared.store.domains,
            floor=parts.corpus.law(),
        )
        watch = Watch(parts, prepared, batches, per_token["training"], subject)
        best = Best(self.folder) if parts.settings.checkpoint == "best" else None
        try:
            self._fit(model, batches, per_token["training"], watch, best)
        except Diverged as diverged:
            record.status = "diverged"
            record.error = {"type": "Diverged", "message": str(diverged), "step": diverged.step}
            record.cost = self._spent()
        else:
            if best is not None:
                best.restore(model)
            self._score(subject(model))
            self._keep(model, prepared)
        if parts.machine.accelerator != "cpu" and torch.cuda.is_available():
            record.provenance["gpu"] = torch.cuda.get_device_name()
        record.cost |= initial.cost()
        record.metrics |= initial.scores
        record.provenance["ended"] = _utc(time.time())
        self._meter()
        record.write(self.folder)
        self._clean()
        if best is not None:
            best.forget()
        return record

    def _solve(self, prepared: Prepared, batches: Batches) -> Solved:
        """The shape; where the context is declared in bytes, it gets as many tokens as these are on average."""
        parts, batch = self.parts, self.parts.settings.batch
        context = batch.context
        if batch.unit == "bytes":
            context = round(batch.context * batches.tokens_per_step / batches.bytes_per_step)
        count = counter(parts.model, parts.shape.count)
        vocab, domains = prepared.tokenizer.vocab_size, tuple(prepared.store.domains)
        return solve(parts.shape, vocab=vocab, context=context, count=count, domains=domains)

    def _fit(self, model: LanguageModel, batches: Batches, flops: float, watch: Watch, best: Best | None) -> None:
        journal = Journal(self.parts.settings.logger, self.folder, self.parts.config)
        try:
            fitted = fit(
                model,
                batches,
                recipe=self.parts.recipe,
                machine=self.parts.machine,
                streams=self.streams,
                folder=self.folder,
                flops_per_token=flops,
                score=watch.curve if best is None else best.watch(watch.curve),
                checkpoint_seconds=self.parts.settings.checkpoint_seconds,
                nats=partial(token_nats, precision=self.parts.settings.precision),
                watches=watch.watches,
                journal=journal,
            )
        finally:
            journal.close()
        spent = asdict(fitted)
        self.record.warnings = [*spent.pop("warnings"), *watch.warnings(spent)]
        spent.pop("scores")
        self.record.rounds = spent.pop("rounds")
        for told in self.record.rounds:
            kept = {name: told[name] for name in ("loss", "forgetting", "tilt") if name in told}
            self.record.metrics |= {f"round_{told['round']}_{name}": value for name, value in kept.items()}
        self.record.cost = {**spent, **self.parts.corpus.seen(spent["bytes"])}
        told, collapsed = layers(self.folder / "history.jsonl", [block.ffn for block in model.layers()])
        self.record.metrics |= told
        self.record.warnings = [*self.record.warnings, *collapsed]

    def _spent(self) -> dict[str, Any]:
        """What a run that diverged had cost."""
        return {**spent(self.folder), "wall_seconds": self.wall.seconds()}

    def _score(self, subject: Subject) -> None:
        """Score once, by every evaluator that the config names."""
        begun = time.time()
        self._say("scoring", None)
        tables = {}
        for name, evaluator in self.parts.evaluators.items():
            scores = evaluator(subject)
            self.record.metrics |= scores.scalars
            self.record.warnings = [*self.record.warnings, *scores.notes]
            self.record.provenance.setdefault("evaluators", {})[name] = evaluator.version
            if scores.about is not None:
                self.record.provenance.setdefault("evaluations", {}).update(scores.about)
            if scores.items is not None:
                tables[name] = scores.items
        self.record.items = write_items(self.folder, tables)
        self.record.cost["evaluate_seconds"] = time.time() - begun
        self.record.cost["wall_seconds"] = self.wall.seconds()

    def _meter(self) -> None:
        """The energy, but of a run that was killed in between: what it took before is not known."""
        joules = self.energy.joules() if not self.record.cost.get("resumed") else None
        self.record.cost["energy_joules"] = joules
        if joules is not None:
            self.record.provenance["energy_counters"] = self.energy.names()

    def _keep(self, model: LanguageModel, prepared: Prepared) -> None:
        if self.parts.settings.keep != "nothing":
            save_weights(model, self.folder / WEIGHTS)
            prepared.tokenizer.save(self.folder / "tokenizer.json")

    def _clean(self) -> None:
        """An ended run needs no checkpoint and does nothing any more."""
        from shutil import rmtree

        rmtree(self.folder / "checkpoint", ignore_errors=True)
        (self.folder / "status.json").unlink(missing_ok=True)
        self.wall.forget()
        forget(self.folder)

    def _say(self, phase: str, fraction: float | None) -> None:
        write_json(
            self.folder / "status.json",
            {"phase": phase, "fraction": fraction, "updated": time.time(), "pid": os.getpid()},
        )


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
