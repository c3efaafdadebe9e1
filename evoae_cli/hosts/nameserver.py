"""The nameserver: which brokers there are, for those who look for one.

It remembers nothing but who has lately beaten, so it may be stopped and started again at any time: brokers are told to
register anew, and links between hosts never notice.
"""

import secrets
import threading
import time
from collections.abc import Callable

from evoae_cli.hosts import wire

WINDOW_S = 10.0
"""A broker that is silent for so long is dropped."""
BEAT_S = 2.0
"""How often brokers beat."""


class _Entry:
    def __init__(self, request: wire.Register, host: str, now: float) -> None:
        self.name = request.name
        self.host = request.host or host
        self.port = request.port
        self.standing = wire.Standing()
        self.heard_at = now


class Nameserver:
    """Keeps the list, and answers. All methods may be called from any thread.

    `clock` is monotonic, in seconds; `tell` gets one line for people.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        *,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._window_s = window_s
        self._clock = clock
        # All mutable state, under the lock.
        self._lock = threading.Lock()
        self._entries: dict[bytes, _Entry] = {}
        self._swept_at = clock()

    def answer(self, request: wire.Request, host: str) -> wire.Answer:
        """What to say to a request that comes from `host`."""
        match request:
            case wire.Register():
                return self._register(request, host)
            case wire.Beat():
                return self._beat(request)
            case wire.Unregister():
                return self._unregister(request)
            case wire.Find() | wire.Ask():
                return self.brokers()
            case _:
                return wire.Refused("wrong", "this is a nameserver; what was asked is for a broker")

    def brokers(self) -> wire.Brokers:
        """All that are registered, in the order in which they came."""
        now = self._clock()
        with self._lock:
            found = [
                wire.Listed(entry.name, entry.host, entry.port, entry.standing, max(0.0, now - entry.heard_at))
                for entry in self._entries.values()
            ]
        return wire.Brokers(found[: wire.MAX_TASKS])

    def sweep(self) -> None:
        """Drop those that have missed their window. To be called several times in it."""
        now = self._clock()
        with self._lock:
            # In a pause of this process it could hear nobody.
            pause_s = max(0.0, now - self._swept_at - self._window_s / 2)
            self._swept_at = now
            for entry in self._entries.values():
                entry.heard_at = min(now, entry.heard_at + pause_s)
            lost = [number for number, entry in self._entries.items() if now - entry.heard_at > self._window_s]
            dropped = [self._entries.pop(number) for number in lost]
        for entry in dropped:
            self._tell(f"{_title(entry)} was silent for {self._window_s:g} s and is dropped")

    def _register(self, request: wire.Register, host: str) -> wire.Answer:
        entry = _Entry(request, host, self._clock())
        with self._lock:
            # One that has been restarted, or was forgotten by an earlier nameserver, is not listed twice.
            old = [number for number, one in self._entries.items() if (one.host, one.port) == (entry.host, entry.port)]
            for number in old:
                del self._entries[number]
            if len(self._entries) >= wire.MAX_TASKS:
                return wire.Refused("full", f"{len(self._entries)} brokers are registered already")
            token = secrets.token_bytes(16)
            self._entries[token] = entry
        self._tell(f"{_title(entry)} is there" + (" again" if old else ""))
        return wire.Registered(token, self._window_s)

    def _beat(self, request: wire.Beat) -> wire.Answer:
        with self._lock:
            entry = self._entries.get(request.id)
            if entry is None:
                return wire.Refused("unknown", "no broker of this number is registered any more; register again")
            entry.heard_at = self._clock()
            entry.standing = request.standing
        return wire.Taken()

    def _unregister(self, request: wire.Unregister) -> wire.Answer:
        with self._lock:
            entry = self._entries.pop(request.id, None)
        if entry is not None:
            self._tell(f"{_title(entry)} has gone")
        return wire.Taken()


def _title(entry: _Entry) -> str:
    return f"{entry.name} at {entry.host}:{entry.port}"
