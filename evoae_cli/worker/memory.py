"""Whether a worker's memory falls back after its tasks. What does not belongs to nobody, and ends with the process."""

import ctypes
import gc
import os
import sys
from collections.abc import Callable

N_FIRST = 3
"""Tasks after which what a worker holds is taken as what it needs: by then libraries and images are loaded."""
MARGIN = 512 * 2**20
"""Bytes more than that, which only a leak reaches.

Measured on a CPU: in 120 trainings of different candidates a worker's own memory rose from 302 MB to 342 MB at most. On
crops of 96 x 96 in batches of 64 it rose from 498 MB to 712 MB in 37 trainings; 614 MB after 19 of them fell to 312 MB
when glibc was asked for them. So what glibc keeps does not reach it, and a leak does before a host has run short.
"""

_STATM = "/proc/self/statm"
_STATM_BYTES = 256
"""Enough for its seven numbers."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Reading = Callable[[], int]
"""Bytes held now; 0 where the system does not tell."""


class MemoryWatch:
    """Compares what is held after each task with the most that was held after the first ones.

    `readings` name what is held and measure it; `give_back` returns to the system what is free.
    """

    def __init__(self, readings: dict[str, Reading], give_back: Callable[[], None]) -> None:
        self._readings = readings
        self._give_back = give_back
        self._n_tasks = 0
        self._needed = dict.fromkeys(readings, 0)

    def after_task(self) -> str:
        """One line that says why the process should end; empty while it may go on. To be called after each task."""
        self._n_tasks += 1
        if self._n_tasks <= N_FIRST:
            self._needed = {what: max(self._needed[what], read()) for what, read in self._readings.items()}
            return ""
        if not self._excess():
            return ""
        # A fifth of a second where PyTorch is loaded, so only where it is called for.
        self._give_back()
        return self._excess()

    def _excess(self) -> str:
        for what, read in self._readings.items():
            held = read()
            if held > self._needed[what] + MARGIN:
                return (
                    f"holds {held / 1e6:.0f} MB of {what} after its task, and {self._needed[what] / 1e6:.0f} MB "
                    f"after its first ones"
                )
        return ""


def watch(device: str) -> MemoryWatch:
    """The watch over this process, and over its share of `device` where that is a GPU."""
    readings: dict[str, Reading] = {"memory": own_bytes}
    if device.startswith("cuda"):
        readings[f"{device}'s memory"] = lambda: device_bytes(device)
    return MemoryWatch(readings, give_back)


def own_bytes() -> int:
    """Resident memory of this process without what it shares: images are mapped files, and come and go as they like."""
    try:
        # Without the layers of `open`, which take as long as a task that does nothing.
        fd = os.open(_STATM, os.O_RDONLY)
    except OSError:
        return 0
    try:
        _, resident, shared, *_ = map(int, os.read(fd, _STATM_BYTES).split())
    finally:
        os.close(fd)
    return (resident - shared) * _PAGE_BYTES


def device_bytes(device: str) -> int:
    """What tensors hold on a GPU; 0 in a process that has not loaded PyTorch."""
    torch = sys.modules.get("torch")
    return int(torch.cuda.memory_allocated(device)) if torch is not None else 0


def give_back() -> None:
    """Free what only waits to be freed, and give the system what glibc keeps for later."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
