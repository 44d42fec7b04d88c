"""The Lightning module: hands each step of the loop to the session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim import Optimizer

from tinylm.batch import Batch
from tinylm.train.session import Session


class Steps:
    """The batches that are left of a round, read as the loop asks for them."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __iter__(self) -> Iterator[Batch]:
        step = self.session.meter.totals.step
        while not self.session.over(step):
            yield self.session.batch(step)
            step += 1


class TrainingModule(lightning.LightningModule):
    """Manual optimisation: the update owns backward, clipping and step, Lightning the loop, devices and processes."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.model = session.model  # so that Lightning moves it and wraps it for several devices
        self.session = session
        self.automatic_optimization = False

    def configure_optimizers(self) -> Optimizer:
        return self.session.optimiser

    def train_dataloader(self) -> Steps:
        return Steps(self.session)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    def on_fit_start(self) -> None:
        trainer = self.trainer
        self.session.start(trainer.global_rank, trainer.world_size, self._sum, self.device)

    def on_train_start(self) -> None:
        self.session.signals.install()  # Lightning has put its own handlers before these

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        if self.session.step(batch, self.manual_backward):
            self.trainer.should_stop = True

    def _sum(self, numbers: Tensor) -> Tensor:
        total: Any = self.trainer.strategy.reduce(numbers, reduce_op="sum")
        return total
