"""Which of a link's connections get no answer, why, and whether that has lasted too long. It knows no sockets."""

import threading
from collections.abc import Callable
from typing import NamedTuple

_TIMES_PATIENCE = 3
"""As many times its patience a link tries to return what it holds: by then the lender has taken it back."""


class Silence(NamedTuple):
    """What one more request without an answer means."""

    is_news: bool
    """All connections had an answer until now."""
    borne_s: float
    """How long this one may last."""
    is_over: bool
    """It has lasted longer."""


class Contact:
    """The connections of one link, by name; `first` is the one that brings the others their work.

    A lender may be silent for `gone_after_s`. Where only what is held is still to be returned, a few times `patience_s`
    is enough. All methods may be called from any thread; `clock` is monotonic, in seconds.
    """

    def __init__(self, first: str, *, patience_s: float, gone_after_s: float, clock: Callable[[], float]) -> None:
        self._first = first
        self._patience_s = patience_s
        self._gone_after_s = gone_after_s
        self._clock = clock
        self._lock = threading.Lock()
        # Of those that get no answer: why, and since when.
        self._silent: dict[str, tuple[str, float]] = {}

    def lost(self, name: str, trouble: str, *, is_leaving: bool) -> Silence:
        """Note that a connection got no answer; with `is_leaving` it is wanted only to return what is held."""
        now = self._clock()
        with self._lock:
            is_news = not self._silent
            since = self._silent.get(name, ("", now))[1]
            self._silent[name] = (trouble, since)
            # Where it gets work and yet cannot return what it holds, it would hold it for ever.
            is_alone = name != self._first and self._first not in self._silent
        borne_s = self._gone_after_s
        if is_leaving or is_alone:
            borne_s = min(borne_s, _TIMES_PATIENCE * self._patience_s)
        return Silence(is_news, borne_s, now - since > borne_s)

    def found(self, name: str) -> bool:
        """Note that a connection got an answer; whether it is the last of those that had none."""
        # Not under the lock, as it is called for each answer: whoever adds a name is the thread that would take it out.
        if name not in self._silent:
            return False
        with self._lock:
            del self._silent[name]
            if name == self._first:
                # What the others could not do meanwhile says nothing of them.
                now = self._clock()
                self._silent = {other: (trouble, now) for other, (trouble, _) in self._silent.items()}
            return not self._silent

    @property
    def trouble(self) -> str:
        """Why a connection gets no answer, in one line; empty where all do."""
        with self._lock:
            return next((trouble for trouble, _ in self._silent.values()), "")
