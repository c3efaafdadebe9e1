"""From bytes to requests and back: what a server of this house answers, whatever it is sent."""

import threading
import time
from collections.abc import Callable

from evoae_cli.hosts import wire
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.manager import ManagerServer

Answering = Callable[[wire.Request, str], wire.Answer]
"""(request, host that it comes from) -> answer. May raise OSError."""


class Serving:
    """Listens on `address` from construction to `stop`, and calls `sweep` every `sweep_s` meanwhile.

    Errors are answers: what is no request, or cannot be done, is refused with the reason. Raises UsageError where
    nobody can listen there.
    """

    def __init__(
        self,
        address: Address,
        key: bytes,
        answering: Answering,
        sweep: Callable[[], None],
        *,
        sweep_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._answering = answering
        self._sweep = sweep
        self._sweep_s = sweep_s
        self._is_stopping = threading.Event()
        self._server = ManagerServer(address, key, self._handle, clock=clock)
        self._thread = threading.Thread(target=self._keep_sweeping, name="evoae sweeper", daemon=True)
        self._thread.start()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._server.address

    def stop(self) -> None:
        """Listen no more, and end all connections."""
        self._is_stopping.set()
        self._server.stop()
        self._thread.join()

    def _keep_sweeping(self) -> None:
        while not self._is_stopping.wait(self._sweep_s):
            self._sweep()

    def _handle(self, message: bytes, host: str) -> bytes:
        try:
            answer = self._answering(wire.request_in(message), host)
        except wire.WireError as error:
            answer = wire.Refused(error.kind, str(error))
        except OSError as error:
            answer = wire.Refused("wrong", f"a file there cannot be used: {error.strerror or error}"[:600])
        return wire.packed(answer)
