"""What an engine has for whoever asks: results as tasks end, and notes that are taken together."""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from evoae_cli.broker.task import TaskResult
from evoae_cli.errors import EvoaeError

_MOST = 1000
"""Notes kept for whoever takes them: some megabytes at most. More than that only comes where nobody does."""
Note = TypeVar("Note")


class Notes(Generic[Note]):
    """Things that happened, in order, until somebody takes them; the oldest are dropped where nobody does for long.

    `wake` is called when there is something to take, and not again before that was taken. Any thread may add.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        # Nothing waits under the lock.
        self._lock = threading.Lock()
        self._notes: deque[Note] = deque(maxlen=_MOST)

    def add(self, note: Note) -> None:
        """One more."""
        with self._lock:
            is_first = not self._notes
            self._notes.append(note)
        # Only one wake for all that wait to be taken: the results do not fill up where nobody takes notes.
        if is_first:
            self._wake()

    def take(self) -> list[Note]:
        """All since the last call."""
        with self._lock:
            notes = list(self._notes)
            self._notes.clear()
        return notes


class Ends:
    """The results of a broker as `Engine.next_result` gives them, until the engine can run nothing any more."""

    def __init__(self, results: "queue.SimpleQueue[TaskResult | None]") -> None:
        self._results = results
        # Written once.
        self._failure: Exception | None = None

    def next(self, *, is_waiting: bool) -> TaskResult | None:
        """See `engine.protocol.Engine.next_result`.

        After `fail` it raises, once all earlier results were taken: the EvoaeError, or RuntimeError for a fault of
        ours.
        """
        try:
            result = self._results.get(is_waiting)
        except queue.Empty:
            return None
        if result is None and self._failure is not None:
            self.wake()
            if isinstance(self._failure, EvoaeError):
                raise self._failure
            raise RuntimeError("what feeds the workers failed") from self._failure
        return result

    def wake(self) -> None:
        """Make one `next` return None. Safe to call from a signal handler."""
        self._results.put(None)

    def fail(self, error: Exception) -> None:
        """Nothing can run any more. Callable from any thread."""
        self._failure = error
        self.wake()
