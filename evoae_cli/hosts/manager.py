"""Serving over TCP: a `multiprocessing` manager with one method, which takes and returns bytes.

Nothing that comes from the network is unpickled. The serializer is xmlrpc's, so the most that a peer with the key can
send is one bytes value; a peer without it is not even parsed. What the standard library's managers leave open is closed
here: how long a handshake may take, how large a frame may be (by its length, before it is read), how many connections
there may be, and the server's own methods (`create`, `shutdown` and others), of which peers have none.
"""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import answer_challenge, deliver_challenge
from multiprocessing.managers import BaseManager, Server
from typing import Any
from xmlrpc import client as xml

from evoae_cli.errors import UsageError
from evoae_cli.hosts.address import LOOPBACK, Address
from evoae_cli.hosts.connection import ACCEPT, IDENT, METHOD, RETURN, Wire, prove

Handle = Callable[[bytes, str], bytes]
"""(message, host that it comes from) -> answer. Called in a thread for each connection."""

HANDSHAKE_S = 5.0
"""From accepting a connection until the peer must have shown that it has the key."""
MAX_UNPROVEN = 32
"""Connections that may be in that state; more are closed at once."""
MAX_CONNECTIONS = 1024
"""As far as the process may have so many files open: each takes two."""
_WRITE_S = 30.0
_BACKLOG = 512
_GOODBYE_S = 2.0
_SPARE_FILES = 256
"""Descriptors that the rest of the process may need."""
_SYSTEM_PAUSE_S = 0.1
"""Before the next try where the system has no room for a connection."""


class _Server(Server):
    """The manager's server, which serves one object, to peers that have shown the key in time, and nothing else."""

    # Made by the base class.
    listener: Any
    mutex: threading.Lock
    authkey: bytes
    address: Any

    def begin(self, handle: Handle, clock: Callable[[], float]) -> None:
        """Accept connections from now on."""
        self.handle = handle
        self.clock = clock
        self.is_stopping = threading.Event()
        # All mutable state, under `mutex`: the connections, and until when those without proof may last.
        self.wires: set[Wire] = set()
        self.unproven: dict[Wire, float] = {}
        self.n_turned_away = 0
        self.most = most_connections()
        # Managers have 16 wait, and a seventeenth would try again only after a second.
        self.listener._listener._socket.listen(_BACKLOG)
        self.threads = [
            threading.Thread(target=target, name=f"evoae {target.__name__}", daemon=True)
            for target in (self.accepter, self.doorkeeper)
        ]
        for thread in self.threads:
            thread.start()

    def accepter(self) -> None:
        """Take connections in, each into a thread of its own, as long as there is room."""
        while not self.is_stopping.is_set():
            try:
                wire = Wire(self.listener.accept()._conn)
                # Peers may be silent, but not refuse to listen.
                wire.set_patience(_WRITE_S, is_for_writes_alone=True)
            except OSError:
                self.is_stopping.wait(_SYSTEM_PAUSE_S)
                continue
            with self.mutex:
                has_room = len(self.unproven) < MAX_UNPROVEN and len(self.wires) < self.most
                is_let_in = has_room and not self.is_stopping.is_set()
                if is_let_in:
                    self.wires.add(wire)
                    self.unproven[wire] = self.clock() + HANDSHAKE_S
                else:
                    self.n_turned_away += 1
            try:
                if is_let_in:
                    threading.Thread(target=self.handle_request, args=(wire,), name="evoae peer", daemon=True).start()
                    continue
            except RuntimeError:
                # The system has no room for another thread.
                with self.mutex:
                    self.wires.discard(wire)
                    self.unproven.pop(wire, None)
                    self.n_turned_away += 1
            wire.close()

    def doorkeeper(self) -> None:
        """End connections that have not shown the key in time, however slowly they speak."""
        while not self.is_stopping.wait(HANDSHAKE_S / 10):
            now = self.clock()
            with self.mutex:
                late = [wire for wire, deadline in self.unproven.items() if deadline <= now]
            for wire in late:
                wire.abort()

    def handle_request(self, conn: Any) -> None:
        """Let a peer in that has the key, and answer its calls until it goes, or sends what is no call."""
        try:
            prove(conn, (deliver_challenge, answer_challenge), self.authkey)
            with self.mutex:
                self.unproven.pop(conn, None)
            self._check(conn.recv(), (None, ACCEPT))
            conn.send((RETURN, None))
            self.serve_client(conn)
        except (OSError, EOFError, ValueError, AssertionError, AuthenticationError) as error:
            # An end without a word is how calls end; all else was no peer of ours.
            if not isinstance(error, EOFError):
                with self.mutex:
                    self.n_turned_away += 1
        finally:
            with self.mutex:
                self.wires.discard(conn)
                self.unproven.pop(conn, None)
            conn.close()

    def serve_client(self, conn: Any) -> None:
        """Answer call after call. Raises EOFError when the peer goes, ValueError for what is no call."""
        while True:
            (message,) = self._check(conn.recv(), (IDENT, METHOD))
            if not isinstance(message, xml.Binary):
                raise ValueError("not called with bytes")
            conn.send((RETURN, self.handle(message.data, conn.peer)))

    def _check(self, request: Any, wanted: tuple[str | None, str]) -> list[Any]:
        """The one argument of a request, if it is for the method that is wanted."""
        if not isinstance(request, list) or len(request) != 4:
            raise ValueError("no request")
        ident, method, args, named = request
        if (ident, method) != wanted or named != {} or not isinstance(args, list) or len(args) != 1:
            raise ValueError("not a request that is answered here")
        return args

    def end(self) -> None:
        """Take no more connections, and end those there are. Idempotent."""
        with self.mutex:
            if self.is_stopping.is_set():
                return
            self.is_stopping.set()
        # Wakes the accepter, which waits without end: on Linux at once, elsewhere by a caller.
        listening = self.listener._listener._socket
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            host, port = self.address
            socket.create_connection((LOOPBACK if Address(host, port).is_any else host, port), _GOODBYE_S).close()
        for thread in self.threads:
            thread.join(_GOODBYE_S)
        self.listener.close()
        with self.mutex:
            wires = list(self.wires)
        for wire in wires:
            wire.abort()


def most_connections() -> int:
    """How many connections this process has room for, as far as it may take; a few in any case."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS + _SPARE_FILES
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            limit = wanted
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MAX_UNPROVEN, min(MAX_CONNECTIONS, (limit - _SPARE_FILES) // 2))


class _Manager(BaseManager):
    def get_server(self) -> _Server:
        """A server of ours, in place of the standard library's."""
        mine: Any = self
        return _Server({}, mine._address, mine._authkey, mine._serializer)


class ManagerServer:
    """Listens on an address from construction to `stop`, and has `handle` answer the calls of peers with the key.

    `clock` is monotonic, in seconds. Raises UsageError where nobody can listen there.
    """

    def __init__(
        self, address: Address, key: bytes, handle: Handle, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            server = _Manager((address.host, address.port), authkey=key, serializer="xmlrpclib").get_server()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UsageError(f"cannot listen on {address}: {why}; choose another port or address") from error
        self._server = server
        self.address = Address(address.host, server.address[1])
        """Where it listens; the port is a free one if it was asked for as 0."""
        server.begin(handle, clock)

    @property
    def n_connections(self) -> int:
        """How many there are now, those that have shown no key among them."""
        return len(self._server.wires)

    @property
    def n_turned_away(self) -> int:
        """Connections that had no key, found no room or spoke nonsense."""
        return self._server.n_turned_away

    def stop(self) -> None:
        """Listen no more, and end all connections."""
        self._server.end()
