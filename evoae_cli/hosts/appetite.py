"""How many tasks a host asks for: one for each worker without work, and one more for each; all its links together."""

import itertools
import threading
from collections.abc import Callable
from typing import NamedTuple

from evoae_cli.broker.broker import Broker


class Hands(NamedTuple):
    """The workers of this host at one moment."""

    n_ready: int
    """Workers that have loaded, whether or not they run something."""
    hardware: str = ""
    """Model of what they compute on; empty while none has loaded."""


class Wanted(NamedTuple):
    """Tasks to ask for."""

    n_idle: int
    """For workers without work."""
    n_ahead: int
    """To be ready when a worker is done."""
    has_own_waiting: bool = False
    """Tasks of this host's own wait: none may be held that no worker has begun."""


class Appetite:
    """Shared by the links of a host: together they ask for no more than its workers can start, plus one each.

    While the broker has tasks of its own waiting they ask for none, and while it runs any for none ahead: whoever
    proposes its next task may need a moment to do so, and finds the worker free.
    """

    def __init__(self, broker: Broker, hands: Callable[[], Hands]) -> None:
        self._broker = broker
        self.hands = hands
        self._local_ids = itertools.count(-1, -1)
        # All mutable state, under the lock: what each link has asked for, and what it has that the broker has not yet.
        self._lock = threading.Lock()
        self._asked: dict[str, int] = {}
        self._fetching: dict[str, int] = {}

    def join(self, link: str) -> None:
        """There is one more link."""
        with self._lock:
            self._asked[link] = self._fetching[link] = 0

    def leave(self, link: str) -> None:
        """There is one link less."""
        with self._lock:
            self._asked.pop(link, None)
            self._fetching.pop(link, None)

    def new_id(self) -> int:
        """What the broker will know a borrowed task by, of whichever link: below zero, where no study has its ids."""
        return next(self._local_ids)

    @property
    def is_shared(self) -> bool:
        """Whether there are several links: then none may wait long with what it has asked for."""
        return len(self._asked) > 1

    def ask(self, link: str, n_fetching: int) -> Wanted:
        """What `link` may ask for now, which others may not until it is `settled`.

        `n_fetching` are tasks of the link that wait for their files; before these are here it may ask for nothing.
        """
        n_ready = self.hands().n_ready
        with self._lock:
            if link not in self._asked:
                return Wanted(0, 0)
            self._fetching[link] = n_fetching
            self._asked[link] = 0
            counts = self._broker.counts()
            n_coming = counts.n_leased + counts.n_borrowed + sum(self._fetching.values()) + sum(self._asked.values())
            if counts.n_queued or n_fetching:
                return Wanted(0, 0, has_own_waiting=counts.n_queued > 0)
            n_idle = max(0, n_ready - n_coming)
            n_ahead = 0 if counts.n_own_leased else max(0, min(n_ready, 2 * n_ready - n_coming - n_idle))
            self._asked[link] = n_idle + n_ahead
        return Wanted(n_idle, n_ahead)

    def settled(self, link: str, n_fetching: int) -> None:
        """What `link` has asked for has come, or not; tasks have been given to the broker, all but `n_fetching`."""
        with self._lock:
            # One that has left stays away.
            if link in self._asked:
                self._asked[link] = 0
                self._fetching[link] = n_fetching
