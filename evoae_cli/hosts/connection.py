"""One connection between hosts, on either side: how it is proven, and what travels over it."""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any
from xmlrpc import client as xml

from evoae_cli.hosts.wire import MAX_MESSAGE

IDENT, METHOD = "broker", "call"
"""The one object of a server, and its one method."""
ACCEPT, RETURN = "accept_connection", "#RETURN"
"""What managers call the request that comes first, and an answer."""
_MAX_FRAME = MAX_MESSAGE * 4 // 3 + (1 << 16)
"""Bytes of the message in base64 with its line ends, and of the XML round it."""
_MAX_PROOF = 256
_KEEP_ALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


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


def prove(wire: Any, steps: tuple[Callable[[Any, bytes], None], ...], key: bytes) -> None:
    """Show the other side that one has the key, and have it show that it has: by HMAC, the key is not sent."""
    for step in steps:
        step(wire, key)
