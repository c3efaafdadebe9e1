"""Serving and calling over TCP: a `multiprocessing` manager with one method, which takes and returns bytes.

Nothing that comes from the network is unpickled. The serializer is xmlrpc's, so the most that a peer with the key can
send is one bytes value; a peer without it is not even parsed. What the standard library's managers leave open is closed
here: how long a handshake may take, how large a frame may be (by its length, before it is read), how many connections
there may be, and the server's own methods (`create`, `shutdown` and others), of which peers have none.
"""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from multiprocessing.managers import BaseManager, Server
from typing import Any
from xmlrpc import client as xml

from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.hosts.address import LOOPBACK, Address
from evoae_cli.hosts.wire import MAX_MESSAGE

Handle = Callable[[bytes, str], bytes]
"""(message, host that it comes from) -> answer. Called in a thread for each connection."""

HANDSHAKE_S = 5.0
"""From accepting a connection until the peer must have shown that it has the key."""
MAX_UNPROVEN = 32
"""Connections that may be in that state; more are closed at once."""
MAX_CONNECTIONS = 1024
_MAX_FRAME = MAX_MESSAGE * 4 // 3 + (1 << 16)
"""Bytes of the message in base64 with its line ends, and of the XML round it."""
_MAX_PROOF = 256
_KEEP_ALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_IDENT, _METHOD = "broker", "call"
_ACCEPT, _RETURN = "accept_connection", "#RETURN"
_WRITE_S = 30.0
_BACKLOG = 512
_SYSTEM_PAUSE_S = 0.1
"""Before the next try where the system has no room for a connection."""


class UnreachableError(EvoaeError):
    """The other side cannot be reached, is gone, or does not answer in time; it may be there again later."""


class WrongKeyError(UsageError):
    """The other side has another key."""


class Wire:
    """One connection, on either side: frames of a bounded length, each one value in xmlrpc's clothes.

    It has of a connection what the functions of `multiprocessing` use. One thread uses it; any may `abort` it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # A second descriptor, so that neither object closes the other's.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._lock = threading.Lock()
        self._is_closed = False
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE:
            # macOS lacks some.
            if hasattr(socket, name):
                self._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    @property
    def peer(self) -> str:
        """The other side's number; empty if it is gone."""
        try:
            return str(self._socket.getpeername()[0])
        except OSError:
            return ""

    def set_patience(self, seconds: float, *, is_for_writes_alone: bool = False) -> None:
        """How long one read or write may wait for the other side; then it raises BlockingIOError."""
        wait = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        if not is_for_writes_alone:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)

    def recv_bytes(self, maxlength: int = _MAX_PROOF) -> bytes:
        """A frame as it is. Raises OSError for a longer one, by its length alone, and EOFError at the end."""
        return self._connection.recv_bytes(maxlength)

    def send_bytes(self, data: bytes) -> None:
        """Send a frame as it is."""
        self._connection.send_bytes(data)

    def recv(self) -> Any:
        """What a frame holds. Raises ValueError for one that is no value of xmlrpc."""
        data = self.recv_bytes(_MAX_FRAME)
        # No declarations: entities could grow in the parser.
        if b"<!" in data:
            raise ValueError("a frame with declarations")
        try:
            (value,), _ = xml.loads(data.decode())
        except Exception as error:
            raise ValueError("a frame that is no value") from error
        return value

    def send(self, value: Any) -> None:
        """Send a value that xmlrpc knows."""
        self.send_bytes(xml.dumps((value,), None, None, None, True).encode())

    def abort(self) -> None:
        """End it, from any thread: whoever waits for the other side gets an error at once."""
        with self._lock, contextlib.suppress(OSError):
            if not self._is_closed:
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._connection.close()
            self._socket.close()


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
                has_room = len(self.unproven) < MAX_UNPROVEN and len(self.wires) < MAX_CONNECTIONS
                is_let_in = has_room and not self.is_stopping.is_set()
                if is_let_in:
                    self.wires.add(wire)
                    self.unproven[wire] = self.clock() + HANDSHAKE_S
                else:
                    self.n_turned_away += 1
            if is_let_in:
                threading.Thread(target=self.handle_request, args=(wire,), name="evoae peer", daemon=True).start()
            else:
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
            _prove(conn, (deliver_challenge, answer_challenge), self.authkey)
            with self.mutex:
                self.unproven.pop(conn, None)
            self._check(conn.recv(), (None, _ACCEPT))
            conn.send((_RETURN, None))
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
            (message,) = self._check(conn.recv(), (_IDENT, _METHOD))
            if not isinstance(message, xml.Binary):
                raise ValueError("not called with bytes")
            conn.send((_RETURN, self.handle(message.data, conn.peer)))

    def _check(self, request: Any, wanted: tuple[str | None, str]) -> list[Any]:
        """The one argument of a request, if it is for the method that is wanted."""
        if not isinstance(request, list) or len(request) != 4:
            raise ValueError("no request")
        ident, method, args, named = request
        if (ident, method) != wanted or named != {} or not isinstance(args, list) or len(args) != 1:
            raise ValueError("not a request that is answered here")
        return args

    def end(self) -> None:
        """Take no more connections, and end those there are."""
        with self.mutex:
            self.is_stopping.set()
        # Wakes the accepter, which waits without end.
        with contextlib.suppress(OSError):
            host, port = self.address
            socket.create_connection((LOOPBACK if Address(host, port).is_any else host, port), HANDSHAKE_S).close()
        for thread in self.threads:
            thread.join()
        self.listener.close()
        with self.mutex:
            wires = list(self.wires)
        for wire in wires:
            wire.abort()


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


class Caller:
    """Calls a `ManagerServer`, over a connection that is made by the first call, and anew by the next after a failure.

    A call waits for the other side up to `patience_s` seconds at a time. One thread calls; any may `abort`.
    """

    def __init__(self, address: Address, key: bytes, patience_s: float) -> None:
        self._address = address
        self._key = key
        self._patience_s = patience_s
        self._wire: Wire | None = None

    def call(self, message: bytes) -> bytes:
        """Send a message and return the answer.

        Raises UnreachableError where there is none, WrongKeyError where the keys differ.
        """
        wire = self._wire
        try:
            if wire is None:
                wire = self._connected()
            answer = _asked(wire, _IDENT, _METHOD, message)
            if not isinstance(answer, xml.Binary):
                raise ValueError("an answer that is not bytes")
        except (OSError, EOFError, ValueError, AssertionError) as error:
            self.close()
            raise UnreachableError(f"{self._address} does not answer ({_why(error)})") from error
        data: bytes = answer.data
        return data

    def abort(self) -> None:
        """Have a call that waits fail at once."""
        wire = self._wire
        if wire is not None:
            wire.abort()

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _connected(self) -> Wire:
        sock = socket.create_connection(self._address, self._patience_s)
        sock.settimeout(None)
        wire = Wire(Connection(sock.detach()))
        # Now, so that it can be aborted.
        self._wire = wire
        try:
            wire.set_patience(self._patience_s)
            try:
                _prove(wire, (answer_challenge, deliver_challenge), self._key)
            except AuthenticationError as error:
                raise WrongKeyError(
                    f"{self._address} has another key; give the file that it was started with: --key-file FILE"
                ) from error
            _asked(wire, None, _ACCEPT, "evoae")
        except BaseException:
            self.close()
            raise
        return wire


def _prove(wire: Any, steps: tuple[Callable[[Any, bytes], None], ...], key: bytes) -> None:
    """Show the other side that one has the key, and have it show that it has: by HMAC, the key is not sent."""
    for step in steps:
        step(wire, key)


def _asked(wire: Wire, ident: str | None, method: str, argument: str | bytes) -> Any:
    """The result of one request, as managers make it. Raises ValueError for an answer that is none."""
    wire.send((ident, method, (argument,), {}))
    answer = wire.recv()
    if not isinstance(answer, list) or len(answer) != 2 or answer[0] != _RETURN:
        raise ValueError("no answer to a request")
    return answer[1]


def _why(error: BaseException) -> str:
    if isinstance(error, BlockingIOError | TimeoutError):
        return "too slow"
    if isinstance(error, EOFError):
        return "it has hung up"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
