"""A broker's side of the nameserver: be listed for as long as this host serves, whatever happens to the nameserver."""

import contextlib
import threading
from collections.abc import Callable

from evoae_cli.errors import EvoaeError
from evoae_cli.hosts import wire
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.line import Line, RefusedError
from evoae_cli.hosts.nameserver import BEAT_S

_PATIENCE_S = 5.0
_GOODBYE_S = 1.0


class Registration:
    """Registers the broker that listens at `served` with the nameserver, and beats, from construction to `stop`.

    `standing` says what to tell with each beat; `tell` gets one line for people where the nameserver is gone, or there
    again. Neither may wait.
    """

    def __init__(
        self,
        nameserver: Address,
        key: bytes,
        served: Address,
        name: str,
        standing: Callable[[], wire.Standing],
        tell: Callable[[str], None],
        *,
        beat_s: float = BEAT_S,
    ) -> None:
        self._nameserver = nameserver
        self._key = key
        # An address that stands for all of them says nothing: the nameserver sees where this comes from.
        self._request = wire.Register(name, "" if served.is_any else served.host, served.port)
        self._standing = standing
        self._tell = tell
        self._beat_s = beat_s
        self._line = Line(nameserver, key, _PATIENCE_S)
        self._id: bytes | None = None
        self._is_down = False
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="evoae registration", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Be listed no more."""
        self._is_stopping.set()
        self._line.abort()
        self._thread.join(_GOODBYE_S)
        if self._thread.is_alive():
            return
        self._line.close()
        if self._id is not None and not self._is_down:
            # Else it is dropped when its window is over.
            with (
                contextlib.suppress(EvoaeError),
                contextlib.closing(Line(self._nameserver, self._key, _GOODBYE_S)) as line,
            ):
                line.ask(wire.Unregister(self._id), wire.Taken)

    def _keep_beating(self) -> None:
        while not self._is_stopping.is_set():
            try:
                self._beat()
            except EvoaeError as error:
                if not self._is_down and not self._is_stopping.is_set():
                    self._tell(f"nameserver {error}; trying again")
                    self._is_down = True
            else:
                if self._is_down:
                    self._tell(f"nameserver {self._nameserver} is there again")
                    self._is_down = False
            self._is_stopping.wait(self._beat_s)

    def _beat(self) -> None:
        if self._id is None:
            self._id = self._line.ask(self._request, wire.Registered).id
        try:
            self._line.ask(wire.Beat(self._id, self._standing()), wire.Taken)
        except RefusedError as error:
            if error.kind != "unknown":
                raise
            # It was restarted, or has not heard of this host for too long.
            self._id = self._line.ask(self._request, wire.Registered).id
