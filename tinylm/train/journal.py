"""A run's history told elsewhere too, through Lightning's loggers: CSV, TensorBoard, Weights & Biases (offline)."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tinylm.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

Name = Literal["none", "csv", "tensorboard", "wandb"]
_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}


def check(name: str) -> None:
    """Refuse a logger that is not installed.

    Raises:
        UserError: the message names the extra to install.
    """
    package = _PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise UserError(f"logger={name}: the package {package} is not installed; pip install 'tinylm[track]'")


class Journal:
    """Follows ``history.jsonl`` line by line.

    A run that goes on from a checkpoint tells its history from the first line again, in place of what was told before:
    so no logger holds steps that were undone.

    Args:
        name: which logger; ``none`` follows nothing.
        folder: the run's; the logger writes into ``csv/``, ``tensorboard/`` or ``wandb/`` in it.
        config: told to the logger once.
    """

    def __init__(self, name: Name, folder: Path, config: Mapping[str, Any]) -> None:
        self.name, self.folder, self.config = name, folder, config
        self._logger: Logger | None = None
        self._told = 0

    def follow(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Tell what of the history has not been told yet."""
        if self.name == "none":
            return
        with _quiet():
            if self._logger is None:
                self._logger = self._begin()
            for line in lines[self._told :]:
                numbers = {key: value for key, value in line.items() if isinstance(value, int | float)}
                self._logger.log_metrics(numbers, step=line["step"])
            self._told = len(lines)
            self._logger.save()

    def close(self) -> None:
        """No line follows."""
        if self._logger is not None:
            with _quiet():
                self._logger.finalize("success")
                if self.name == "wandb":
                    self._logger.experiment.finish()  # type: ignore[attr-defined]  # WandbLogger's
            self._logger = None

    def _begin(self) -> Logger:
        from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

        shutil.rmtree(self.folder / self.name, ignore_errors=True)
        config = {key: value for key, value in self.config.items() if key != "claim"}
        if self.name == "csv":
            return CSVLogger(self.folder, name="", version="csv", flush_logs_every_n_steps=1)
        if self.name == "tensorboard":
            logger = TensorBoardLogger(self.folder, name="", version="tensorboard", default_hp_metric=False)
            logger.log_hyperparams(config)
            return logger
        from wandb import Settings

        settings = Settings(silent=True, console="off", disable_git=True, save_code=False)
        key = self.folder.name
        return WandbLogger(
            name=key, id=key, project="tinylm", save_dir=self.folder, offline=True, config=config, settings=settings
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Loggers' advice is not the run's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
