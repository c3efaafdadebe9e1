"""Asking another host: one request, one answer of the kind that belongs to it."""

from typing import TypeVar

from evoae_cli.errors import EvoaeError
from evoae_cli.hosts import wire
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.caller import Caller

Found = TypeVar("Found", bound=wire.Answer)


class RefusedError(EvoaeError):
    """The other side will not do what it was asked to; `kind` is that of `wire.Refused`."""

    def __init__(self, kind: str, reason: str, address: Address) -> None:
        super().__init__(f"{address} refuses: {reason}")
        self.kind = kind


class Line:
    """A connection for requests, made when it is first used and anew after a failure. One thread asks."""

    def __init__(self, address: Address, key: bytes, patience_s: float) -> None:
        self.address = address
        self._caller = Caller(address, key, patience_s)

    def ask(self, request: wire.Request, kind: type[Found]) -> Found:
        """The answer to a request.

        Raises RefusedError, also for an answer of another kind, UnreachableError where there is none, or WrongKeyError.
        """
        return self.ask_any(request, (kind,))

    def ask_any(self, request: wire.Request, kinds: tuple[type[Found], ...]) -> Found:
        """The answer to a request that may have answers of several kinds. Raises what `ask` raises."""
        try:
            answer = wire.answer_in(self._caller.call(wire.packed(request)))
        except wire.WireError as error:
            raise RefusedError(error.kind, str(error), self.address) from error
        if isinstance(answer, wire.Refused):
            raise RefusedError(answer.kind, answer.reason, self.address)
        if not isinstance(answer, kinds):
            raise RefusedError("wrong", "its answer is to another question", self.address)
        return answer

    def abort(self) -> None:
        """Have a request that waits fail at once, from any thread."""
        self._caller.abort()

    def close(self) -> None:
        """Close the connection."""
        self._caller.close()
