"""Energy as counters of the hardware tell it; where there are none to read there is no number: nothing is estimated.

The processor: RAPL's package domains, which Linux shows under ``/sys/class/powercap`` (often to root alone). GPUs:
NVML's counters, through the package that codecarbon brings. Counters know no processes: they tell what the whole
processor, or the whole GPU, took while the run ran, whoever else used it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import torch

POWERCAP = Path("/sys/class/powercap")
SECONDS = 20.0  # between two looks: a counter of 65 kJ, the smallest, comes round in four minutes at 250 W
ALIKE = 1_000_000  # microjoules: several dies may show one counter, read one after the other


class Counter:
    """One counter that grows and begins anew at ``span``; ``read`` gives microjoules."""

    def __init__(self, name: str, read: Callable[[], int], span: int | None = None) -> None:
        self.name, self.read, self.span = name, read, span
        self.last = read()
        self.total = 0

    def look(self) -> None:
        """Add what it has grown by since the last look."""
        now = self.read()
        grown = now - self.last
        if grown < 0 and self.span is None:
            raise OSError(f"{self.name} went back")
        self.total += grown if grown >= 0 else grown + (self.span or 0)
        self.last = now


class Energy:
    """A context that counts joules while it is open.

    Args:
        gpus: how many GPUs the run uses; without all of their counters there is no number. None: some that cannot be
            read.
        powercap: where Linux shows RAPL's counters; None: ``POWERCAP``.
    """

    def __init__(self, gpus: int | None = 0, powercap: Path | None = None) -> None:
        self.counters: list[Counter] | None
        try:
            if gpus is None:
                raise OSError("GPUs that cannot be read")
            self.counters = [*packages(powercap or POWERCAP), *(_gpu(index) for index in range(gpus))]
        except (OSError, ImportError):
            self.counters = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="energy", daemon=True)

    def __enter__(self) -> Energy:
        if self.counters:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def joules(self) -> float | None:
        """Since it was made; None where a counter could not be read."""
        self._look()
        return sum(counter.total for counter in self.counters) / 1e6 if self.counters else None

    def names(self) -> list[str]:
        """The counters that are read."""
        return [counter.name for counter in self.counters or []]

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS):
            self._look()

    def _look(self) -> None:
        try:
            for counter in self.counters or []:
                counter.look()
        except (OSError, ValueError):
            self.counters = None


def packages(powercap: Path) -> list[Counter]:
    """A counter for each processor package; none where there are none, or they may not be read."""
    found: list[Counter] = []
    for folder in sorted(powercap.glob("intel-rapl:*")):  # AMD's too; a second colon marks a part of a package
        try:
            name = (folder / "name").read_text(encoding="utf-8").strip()
            if folder.name.count(":") != 1 or not name.startswith("package"):
                continue
            span = int((folder / "max_energy_range_uj").read_text(encoding="utf-8"))
            counter = Counter(name, _reader(folder / "energy_uj"), span)
        except (OSError, ValueError):
            return []
        if all(abs(counter.last - other.last) > ALIKE for other in found):
            found.append(counter)
    return found


def _reader(path: Path) -> Callable[[], int]:
    return lambda: int(path.read_text(encoding="utf-8"))


def _gpu(index: int) -> Counter:
    """NVML's counter of the GPU that torch calls ``index``."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(index).uuid}")
        return Counter(f"gpu-{index}", lambda: 1000 * int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)))
    except (pynvml.NVMLError, RuntimeError, AssertionError) as error:
        raise OSError(f"GPU {index} has no counter of energy: {error}") from error
