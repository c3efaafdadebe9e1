"""One attempt at a task, by whatever process: the runner's answer, or what its failure means for task and host."""

import os
import sys
import traceback
from typing import NamedTuple

from evoae_cli.broker.task import MAX_PAYLOAD
from evoae_cli.errors import EvoaeError
from evoae_cli.outcome import Outcome
from evoae_cli.worker.messages import EXIT_DEVICE_FAILED, MAX_REASON
from evoae_cli.worker.runner import Progress, Run

_DEVICE_SIGNS = ("CUDA error", "cuDNN error", "CUBLAS")
_MEMORY_SIGNS = ("out of memory", "ALLOC_FAILED")


class Attempt(NamedTuple):
    """How a task ended."""

    outcome: Outcome
    payload: bytes
    reason: str
    is_host_failure: bool = False


def attempt(run: Run, payload: bytes, progress: Progress) -> Attempt:
    """Run a task; whatever the runner raises is how it ended.

    Where an accelerator has failed the process ends, with `EXIT_DEVICE_FAILED`.
    """
    try:
        outcome, found, reason = run(payload, progress)
        if len(found) > MAX_PAYLOAD:
            raise ValueError(f"the result has {len(found)} bytes; at most {MAX_PAYLOAD}")
    except Exception as error:
        traceback.print_exc()
        if _is_device_failure(error):
            # CUDA's errors stick to the process: each later task would fail too, and at once. So the task is run again
            # by a fresh worker, as after any other death.
            print(in_short(error), file=sys.stderr)
            os._exit(EXIT_DEVICE_FAILED)
        is_host_failure = isinstance(error, EvoaeError | OSError)
        reason = _host_reason(error) if isinstance(error, EvoaeError | OSError) else in_short(error)
        return Attempt(Outcome.CRASHED, b"", _first_line(reason)[:MAX_REASON], is_host_failure)
    return Attempt(outcome, found, _first_line(reason)[:MAX_REASON])


def in_short(error: BaseException) -> str:
    """Its type, and the first line of its message: PyTorch's errors go on with advice."""
    return f"{type(error).__name__}: {_first_line(str(error))}"


def _is_device_failure(error: Exception) -> bool:
    """Whether an accelerator failed, other than for want of memory. By names and texts: torch may not be loaded."""
    text = str(error)
    if any(sign in text for sign in _MEMORY_SIGNS):
        return False
    if type(error).__name__ == "AcceleratorError":
        return True
    return isinstance(error, RuntimeError) and any(sign in text for sign in _DEVICE_SIGNS)


def _host_reason(error: EvoaeError | OSError) -> str:
    """What a person can act on: the error's own line, or the file and what the system says of it."""
    if isinstance(error, EvoaeError):
        return str(error)
    if error.strerror is None or error.filename is None:
        return in_short(error)
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{name}: {error.strerror}"


def _first_line(text: str) -> str:
    # A file's name may hold what cannot be encoded.
    return text.strip().partition("\n")[0].encode(errors="replace").decode()
