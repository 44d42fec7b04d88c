"""How long processes have worked on a run: this one, and those before it that it goes on from. No torch."""

from __future__ import annotations

import time
from pathlib import Path

from tinylm.files import read_json, write_json

NAME = "wall.json"  # beside status.json while the run is unfinished


class Wall:
    """The clock on the wall of one run, from the start of the process that holds its lock.

    A process that is killed says nothing at its end: until when it lived, the last status.json that it wrote tells.
    What begins anew, without a checkpoint and without first weights, has no life before.

    Args:
        folder: the run's, before anything is written into it.
        held: files and folders in it from which a run goes on.
    """

    def __init__(self, folder: Path, held: tuple[str, ...]) -> None:
        self.path = folder / NAME
        self.began, self.before = time.time(), 0.0
        earlier, status = read_json(self.path), read_json(folder / "status.json")
        if earlier and any((folder / name).exists() for name in held):
            lived = status.get("updated", 0.0) - earlier["began"]
            self.before = earlier["before"] + max(0.0, lived)
        write_json(self.path, {"began": self.began, "before": self.before})

    def seconds(self) -> float:
        """All of it so far."""
        return self.before + time.time() - self.began

    def forget(self) -> None:
        """The record tells it."""
        self.path.unlink(missing_ok=True)
