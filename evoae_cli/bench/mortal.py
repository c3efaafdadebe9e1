"""A runner whose workers die as they are told, in the work or within the write of its result, and keep a journal.

A journal is what a dead worker leaves: what it began and had not ended is what its death cost. Journals go to the
folder that the environment names, a file per worker, a line of JSON per entry. Times are of the monotonic clock, which
is one for all processes of a host.
"""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from evoae_cli.outcome import Outcome
from evoae_cli.worker import channel
from evoae_cli.worker.runner import Progress, Run

RUNNER = f"{__name__}:start"
FOLDER = "EVOAE_BENCH_JOURNALS"
"""The environment variable."""


class Wound(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker does to itself, once: it sends itself a signal."""

    signal: int
    """Number: 9 kills it, 19 freezes it."""
    cut: float | None = None
    """Share of the report's frame that is written before, 0 to 1, but never all of it; None for within the work."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What a task does: it sleeps, and answers with bytes that only depend on its number."""

    number: int
    work_s: float
    n_reply: int
    wounds: tuple[Wound, ...] = ()
    """One in each attempt, until all were suffered; later attempts just work."""
    is_poison: bool = False
    """The first wound in every attempt, without end."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A line of a journal."""

    what: Literal["ready", "begin", "wound", "end"]
    """`end` is when the whole report was written."""
    at: float
    task: int = -1
    wound: Wound | None = None


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """All that one worker noted."""

    pid: int
    entries: tuple[Entry, ...]

    @property
    def ready_at(self) -> float:
        """When it could take its first task."""
        return self.entries[0].at

    @property
    def open_task(self) -> int | None:
        """What it ran when it noted for the last time; None if it ran nothing."""
        last = self.entries[-1]
        return last.task if last.what in ("begin", "wound") else None


def read_journals(folder: Path) -> dict[int, Journal]:
    """The journals in a folder, by process id."""
    decode = msgspec.json.Decoder(Entry).decode
    journals = {}
    for path in folder.glob("*.jsonl"):
        entries = tuple(decode(line) for line in path.read_bytes().splitlines())
        if entries:
            journals[int(path.stem)] = Journal(pid=int(path.stem), entries=entries)
    return journals


def reply(number: int, n: int) -> bytes:
    """The `n` bytes that task `number` answers with."""
    digest = hashlib.sha256(str(number).encode()).digest()
    return (digest * (n // len(digest) + 1))[:n]


def start(device: str, threads: int) -> tuple[str, Run]:
    """A worker's start: nothing to load but pen and paper."""
    mortal = _Mortal(Path(os.environ[FOLDER]), channel.write_frame)
    channel.write_frame = mortal.write
    return f"nothing on {device}", mortal.run


class _Mortal:
    def __init__(self, folder: Path, write: Callable[[int, bytes], None]) -> None:
        self._folder = folder
        self._write = write
        # Not buffered: what was noted stays when the process is killed.
        self._journal = os.open(folder / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._task = -1
        self._wound: Wound | None = None
        self._mark = folder / "poison.done"
        self._note("ready")

    def run(self, payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
        deed = msgspec.json.decode(payload, type=Deed)
        self._task = deed.number
        self._note("begin")
        self._wound = self._next_wound(deed)
        if self._wound is None or self._wound.cut is not None:
            time.sleep(deed.work_s)
        else:
            time.sleep(deed.work_s / 2)
            self._suffer(self._wound)
        return Outcome.OK, reply(deed.number, deed.n_reply), ""

    def write(self, fd: int, body: bytes) -> None:
        if self._wound is not None and self._wound.cut is not None:
            data = channel.frame(body)
            os.write(fd, data[: min(int(self._wound.cut * len(data)), len(data) - 1)])
            self._suffer(self._wound)
        self._write(fd, body)
        # The first frame says that the worker is ready, and belongs to no task.
        if self._task >= 0:
            self._note("end")

    def _next_wound(self, deed: Deed) -> Wound | None:
        """The first that no worker has suffered yet; one that something else forestalled is still to come."""
        if deed.is_poison:
            return deed.wounds[0]
        for index, wound in enumerate(deed.wounds):
            self._mark = self._folder / f"{deed.number}-{index}.done"
            if not self._mark.exists():
                return wound
        return None

    def _suffer(self, wound: Wound) -> None:
        self._mark.touch()
        self._note("wound", wound)
        os.kill(os.getpid(), wound.signal)
        # A stop takes effect on all threads in its own time; nothing more is to be written.
        while True:
            signal.pause()

    def _note(self, what: Literal["ready", "begin", "wound", "end"], wound: Wound | None = None) -> None:
        os.write(self._journal, msgspec.json.encode(Entry(what, time.monotonic(), self._task, wound)) + b"\n")
