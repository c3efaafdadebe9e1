"""Plain lines for a log file or a pipe: one per evaluation, and one for whatever else a person should know."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from evoae_cli.app.console import say, warn
from evoae_cli.counted import several
from evoae_cli.study.snapshot import Snapshot

if TYPE_CHECKING:
    from evoae_cli.study.study import StudyEvent

SILENCE_S = 2.0
"""Longer, and a person wonders whether anything happens."""
_LONGEST_S = 60.0
"""Between lines of what takes long: a log that is read later needs no more."""
_PHASES = {"finalists": "training the finalists", "test": "scoring on test"}


def write_event(console: Console, event: "StudyEvent") -> None:
    """Write what happened as one line."""
    if event.kind == "warning":
        warn(console, event.line)
    else:
        say(console, event.line)


def growing(first_s: float = SILENCE_S, longest_s: float = _LONGEST_S) -> Iterator[float]:
    """Pauses, each twice as long as the one before, up to the longest."""
    while True:
        yield first_s
        first_s = min(2 * first_s, longest_s)


@contextmanager
def ticking(tick: Callable[[float], None], pauses_s: Iterable[float] | None = None) -> Iterator[None]:
    """Within the block call `tick` after each pause, from a thread of its own, with the seconds that have passed.

    Without `pauses_s`, which must not end, they grow.
    """
    over, started = threading.Event(), time.monotonic()

    def run() -> None:
        for pause_s in growing() if pauses_s is None else pauses_s:
            if over.wait(pause_s):
                return
            tick(time.monotonic() - started)

    thread = threading.Thread(target=run, name="ticking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Narrator:
    """Tells from snapshots what no event tells: that workers are starting, have started, and which phase begins."""

    def __init__(self, console: Console, pull: Callable[[], Snapshot]) -> None:
        self._console = console
        self._pull = pull
        self._phase: str | None = None
        self._is_started = False
        # Of the two above: events and ticks come from two threads.
        self._lock = threading.Lock()

    def tick(self, passed_s: float) -> None:
        """Say what is new; while workers start, that they still do."""
        with self._lock:
            snapshot = self._pull()
            self._tell_workers(snapshot, passed_s)
            self._tell_phase(snapshot)

    def before_event(self) -> None:
        """Say that a phase has begun before its first event is told."""
        with self._lock:
            self._tell_phase(self._pull())

    def _tell_workers(self, snapshot: Snapshot, passed_s: float) -> None:
        workers = several(len(snapshot.workers), "worker") if snapshot.workers else "workers"
        if not self._is_started:
            self._is_started = any(worker.task for worker in snapshot.workers)
            is_over = snapshot.phase == "finished"
            if self._is_started:
                say(self._console, f"training on {workers}")
            elif not is_over:
                say(self._console, f"starting {workers}" + (f": {passed_s:.0f} s" if passed_s else ""))

    def _tell_phase(self, snapshot: Snapshot) -> None:
        if snapshot.phase != self._phase:
            self._phase = snapshot.phase
            if snapshot.phase in _PHASES:
                say(self._console, _PHASES[snapshot.phase])
