"""A runner that computes nothing: it waits, fails or dies as it is told, for tests and benchmarks of the plumbing."""

import os
import signal
import time
from pathlib import Path
from typing import Literal, NoReturn, Protocol

import msgspec

from evoae_cli.errors import EvoaeError
from evoae_cli.outcome import Outcome
from evoae_cli.worker import channel
from evoae_cli.worker.runner import Progress, Run

Ending = Literal["half", "whole", "twice"]
ErrorType = Literal["AcceleratorError", "EvoaeError", "MemoryError", "RuntimeError", "ValueError"]


class AcceleratorError(RuntimeError):
    """Stands for PyTorch's error of that name, which a runner without PyTorch cannot raise."""


_ERRORS: dict[ErrorType, type[Exception]] = {
    "AcceleratorError": AcceleratorError,
    "EvoaeError": EvoaeError,
    "MemoryError": MemoryError,
    "RuntimeError": RuntimeError,
    "ValueError": ValueError,
}


_leaked: list[bytes] = []
_PIECE = 64 * 2**20
"""Bytes."""


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task does, in the order of the fields."""

    only_first_time: str | None = None
    """A path: all of it is done only if no file is there yet, which is then made; later attempts just return."""
    tell: str | None = None
    """A path, best of a named pipe, to which the worker writes its process id when the task begins."""
    says: str = ""
    """What the worker prints."""
    sleep_s: float = 0.0
    busy_s: float = 0.0
    """Seconds to keep a core busy, with the progress reported."""
    n_leak: int = 0
    """Bytes that the worker takes and never gives back."""
    signal: int | None = None
    """Number of a signal that the worker sends itself: 9 kills it, 19 freezes it."""
    exit_code: int | None = None
    """The worker exits with it, without a report."""
    reads: str | None = None
    """A path of a file to read."""
    error: str | None = None
    """Message of an error of the type `error_type`."""
    error_type: ErrorType = "ValueError"
    after_report: Ending | None = None
    """The worker kills itself in the midst of writing its report, or right after; or writes it twice, and lives."""
    outcome: Outcome = Outcome.OK
    reason: str = ""
    reply: bytes = b""
    n_reply: int = 0
    """Zero bytes to add to the reply."""


class _Write(Protocol):
    def __call__(self, fd: int, body: bytes) -> None: ...


def start(device: str, threads: int) -> tuple[str, Run]:
    """A worker's start: nothing to load."""
    return f"no-op on {device}", run


def start_broken(device: str, threads: int) -> NoReturn:
    """A worker's start that fails."""
    raise ValueError(f"there is no device {device}")


def start_stuck(device: str, threads: int) -> NoReturn:
    """A worker's start that never ends."""
    while True:
        signal.pause()


def run(payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
    """Do what the payload, a Command as JSON, says; an empty one returns at once."""
    if not payload:
        return Outcome.OK, b"", ""
    command = msgspec.json.decode(payload, type=Command)
    if command.only_first_time is None or _is_first(command.only_first_time):
        _act(command, progress)
    return command.outcome, command.reply + bytes(command.n_reply), command.reason


def _is_first(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _act(command: Command, progress: Progress) -> None:
    if command.tell is not None:
        Path(command.tell).write_text(str(os.getpid()))
    if command.says:
        print(command.says)
    if command.sleep_s:
        time.sleep(command.sleep_s)
    if command.busy_s:
        begun = time.monotonic()
        while (share := (time.monotonic() - begun) / command.busy_s) < 1.0:
            progress(share)
    if command.n_leak:
        # Not zeros: those the system would not have to find room for. In pieces, since heartbeats wait for each.
        _leaked.extend(b"\xff" * min(_PIECE, command.n_leak - at) for at in range(0, command.n_leak, _PIECE))
    if command.signal is not None:
        os.kill(os.getpid(), command.signal)
    if command.exit_code is not None:
        os._exit(command.exit_code)
    if command.reads is not None:
        Path(command.reads).read_bytes()
    if command.error is not None:
        raise _ERRORS[command.error_type](command.error)
    if command.after_report is not None:
        channel.write_frame = _ending(command.after_report, channel.write_frame)


def _ending(ending: Ending, write: _Write) -> _Write:
    def write_and_end(fd: int, body: bytes) -> None:
        if ending == "half":
            data = channel.frame(body)
            os.write(fd, data[: len(data) // 2])
        else:
            write(fd, body)
        if ending == "twice":
            write(fd, body)
            channel.write_frame = write
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    return write_and_end
