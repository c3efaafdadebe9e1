"""Calling another host's server: a connection that is made by the first call, and anew after a failure."""

import socket
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any
from xmlrpc import client as xml

from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.connection import ACCEPT, IDENT, METHOD, RETURN, Wire, prove


class UnreachableError(EvoaeError):
    """The other side cannot be reached, is gone, or does not answer in time; it may be there again later."""


class WrongKeyError(UsageError):
    """The other side has another key."""


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
            answer = _asked(wire, IDENT, METHOD, message)
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
                prove(wire, (answer_challenge, deliver_challenge), self._key)
            except AuthenticationError as error:
                raise WrongKeyError(
                    f"{self._address} has another key; give the file that it was started with: --key-file FILE"
                ) from error
            _asked(wire, None, ACCEPT, "evoae")
        except BaseException:
            self.close()
            raise
        return wire


def _asked(wire: Wire, ident: str | None, method: str, argument: str | bytes) -> Any:
    """The result of one request, as managers make it. Raises ValueError for an answer that is none."""
    wire.send((ident, method, (argument,), {}))
    answer = wire.recv()
    if not isinstance(answer, list) or len(answer) != 2 or answer[0] != RETURN:
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
