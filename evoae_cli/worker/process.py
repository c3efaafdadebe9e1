"""The inside of a worker process: load the runner once, then run task after task until the coordinator goes away.

This module imports nothing heavy: a worker loads torch only if its runner does.
"""

import faulthandler
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import msgspec

from evoae_cli.broker.task import MAX_PAYLOAD
from evoae_cli.errors import EvoaeError
from evoae_cli.outcome import Outcome
from evoae_cli.worker import channel
from evoae_cli.worker.heartbeat import Heart
from evoae_cli.worker.lifeline import go_first_when_memory_is_short, tie_to
from evoae_cli.worker.memory import watch
from evoae_cli.worker.messages import EXIT_DEVICE_FAILED, MAX_REASON, Ready, Report, Work, decode_work, encode

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

_DEVICE_SIGNS = ("CUDA error", "cuDNN error", "CUBLAS")
_MEMORY_SIGNS = ("out of memory", "ALLOC_FAILED")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told at its birth."""

    coordinator: int
    """Process id."""
    runner: str
    """`module:function`, a `Start`."""
    device: str
    threads: int
    heartbeat_interval_s: float


def main(
    setup: Setup,
    tasks: channel.Inherited,
    results: channel.Inherited,
    heartbeats: channel.Inherited,
    log: channel.Inherited,
) -> NoReturn:
    """Be a worker, until the coordinator closes `tasks` or the memory held does not fall back."""
    tie_to(setup.coordinator)
    go_first_when_memory_is_short()
    _redirect(log.fd)
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, str(setup.threads)))
    heart = Heart(heartbeats.fd, setup.heartbeat_interval_s)
    heart.start()
    try:
        hardware, run = _load_runner(setup.runner)(setup.device, setup.threads)
    except BaseException as error:
        traceback.print_exc()
        # The last line of the log is what people will be told.
        print(_in_short(error), file=sys.stderr)
        os._exit(1)
    memory = watch(setup.device)
    channel.write_frame(results.fd, encode(Ready(hardware)))
    reader = channel.FrameReader(tasks.fd)
    is_last = False
    while not (reader.is_ended or is_last):
        for body in reader.read():
            report = _run(run, decode_work(body), heart)
            if why_last := memory.after_task():
                print(f"this worker ends and is replaced: it {why_last}", file=sys.stderr)
                report = msgspec.structs.replace(report, is_last=True)
            channel.write_frame(results.fd, encode(report))
            heart.end()
            is_last = report.is_last
    os._exit(0)


def _load_runner(name: str) -> Start:
    """The function that `module:function` names."""
    module, _, function = name.partition(":")
    start: Start = getattr(importlib.import_module(module), function)
    return start


def _run(run: Run, work: Work, heart: Heart) -> Report:
    heart.begin(work.lease_id)
    is_host_failure = False
    try:
        outcome, payload, reason = run(work.payload, heart.progress)
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"the result has {len(payload)} bytes; at most {MAX_PAYLOAD}")
    except Exception as error:
        traceback.print_exc()
        if _is_device_failure(error):
            # CUDA's errors stick to the process: each later task would fail too, and at once. So the task is run again
            # by a fresh worker, as after any other death.
            print(_in_short(error), file=sys.stderr)
            os._exit(EXIT_DEVICE_FAILED)
        outcome, payload, reason = Outcome.CRASHED, b"", _in_short(error)
        if isinstance(error, EvoaeError | OSError):
            is_host_failure = True
            reason = _host_reason(error)
    return Report(work.lease_id, outcome, payload, _first_line(reason)[:MAX_REASON], is_host_failure)


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
        return _in_short(error)
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{name}: {error.strerror}"


def _in_short(error: BaseException) -> str:
    """Its type, and the first line of its message: PyTorch's errors go on with advice."""
    return f"{type(error).__name__}: {_first_line(str(error))}"


def _first_line(text: str) -> str:
    # A file's name may hold what cannot be encoded.
    return text.strip().partition("\n")[0].encode(errors="replace").decode()


def _redirect(log: int) -> None:
    """Send everything that is printed, also by libraries, to the log: the screen belongs to the coordinator."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # Line by line, so that a killed worker's last words are there; made anew, since a coordinator may have no stderr.
    sys.stdout = sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    faulthandler.enable()
