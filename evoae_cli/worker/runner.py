"""What a worker runs: a function that is named, loaded once in each, and then called with task after task."""

import importlib
import os
from collections.abc import Callable

from evoae_cli.outcome import Outcome

Progress = Callable[[float], None]
"""Called with the share done, 0 to 1."""
Run = Callable[[bytes, Progress], tuple[Outcome, bytes, str]]
"""(payload, progress) -> (outcome, result payload, reason): runs one task.

An EvoaeError or OSError that it raises is the host's failure; any other exception is the task's.
"""
Start = Callable[[str, int], tuple[str, Run]]
"""(device, threads) -> (model of the hardware, run): called once in each worker."""

# Read by the libraries when they are loaded, which is after this.
_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def loaded(name: str, device: str, threads: int) -> tuple[str, Run]:
    """What the function that `module:function` names gives for a device, with so many threads for each library."""
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, str(threads)))
    module, _, function = name.partition(":")
    start: Start = getattr(importlib.import_module(module), function)
    return start(device, threads)
