"""All links of a host: to the addresses that were given, and to whatever brokers a nameserver knows."""

import threading
from collections.abc import Callable

from evoae_cli.errors import EvoaeError
from evoae_cli.hosts import wire
from evoae_cli.hosts.address import Address, seen_through
from evoae_cli.hosts.line import Line
from evoae_cli.hosts.link import Link, LinkView

_PATIENCE_S = 5.0
_GOODBYE_S = 2.0
LOOK_S = 2.0
"""How often the nameserver is asked."""
MAX_LINKS = 64
"""Each has three threads, and whoever has the key may say that it wants to be helped."""


class Neighbours:
    """Keeps a link to each broker there is, from construction to `stop`.

    `make` makes a link to an address, not started. `served` is where this host's own broker listens: to that it makes
    no link. A link that has ended makes room for another to the same address, should one be found there again.
    """

    def __init__(
        self,
        make: Callable[[Address], Link],
        *,
        nameserver: tuple[Address, bytes] | None,
        served: Address | None,
        tell: Callable[[str], None],
        look_s: float = LOOK_S,
    ) -> None:
        self._make = make
        self._served = served
        self._tell = tell
        self._look_s = look_s
        # All mutable state, under the lock.
        self._lock = threading.Lock()
        self._links: dict[Address, Link] = {}
        self._found: set[Address] = set()
        self._other_names: dict[Address, Address] = {}
        """Addresses of brokers to which there is a link by another one."""
        self._is_draining = False
        self._is_stopping = threading.Event()
        self._is_down = False
        self._line = None if nameserver is None else Line(*nameserver, _PATIENCE_S)
        self._thread = threading.Thread(target=self._keep_looking, name="evoae neighbours", daemon=True)
        self._thread.start()

    def link_to(self, address: Address) -> None:
        """Have a link to this address from now on, if there is none, and there are not `MAX_LINKS` already."""
        with self._lock:
            is_closed = self._is_stopping.is_set() or self._is_draining
            is_there = address in self._links or address in self._other_names or address == self._served
            if is_closed or is_there or len(self._links) >= MAX_LINKS:
                return
            link = self._links[address] = self._make(address)
        link.start()

    def views(self) -> list[LinkView]:
        """All links at this moment."""
        with self._lock:
            return [link.view() for link in self._links.values()]

    @property
    def n_held(self) -> int:
        """Tasks of others that this host has."""
        with self._lock:
            return sum(link.n_held for link in self._links.values())

    @property
    def is_over(self) -> bool:
        """Whether no link has anything more to do."""
        with self._lock:
            return all(link.is_over for link in self._links.values())

    def unfinished(self) -> list[Address]:
        """The brokers that are there, and have not ended."""
        with self._lock:
            return [address for address, link in self._links.items() if not link.is_over and not link.view().trouble]

    @property
    def failures(self) -> list[EvoaeError]:
        """Why links have failed."""
        with self._lock:
            return [link.failure for link in self._links.values() if link.failure is not None]

    def drain(self) -> None:
        """Borrow nothing more; what runs is finished and returned."""
        with self._lock:
            self._is_draining = True
            links = list(self._links.values())
        for link in links:
            link.drain()

    def stop(self) -> None:
        """End all links."""
        self._is_stopping.set()
        if self._line is not None:
            self._line.abort()
        with self._lock:
            links = list(self._links.values())
            self._links.clear()
        for link in links:
            link.abort()
        for link in links:
            link.stop()
        self._thread.join(_GOODBYE_S)
        if self._line is not None:
            self._line.close()

    def _keep_looking(self) -> None:
        while not self._is_stopping.is_set():
            self._end(lambda link: link.is_over and link.failure is None and not link.is_own)
            self._end_doubles()
            if self._line is not None:
                self._look(self._line)
            self._is_stopping.wait(self._look_s)

    def _end_doubles(self) -> None:
        """Keep the first of links that lead to one broker by several addresses, if it can be reached by that one."""
        with self._lock:
            first: dict[bytes, Address] = {}
            for address, link in sorted(self._links.items(), key=lambda one: bool(one[1].view().trouble)):
                if link.lender_id is not None and first.setdefault(link.lender_id, address) != address:
                    self._other_names[address] = first[link.lender_id]
        self._end(lambda link: link.address in self._other_names)

    def _end(self, is_meant: Callable[[Link], bool]) -> None:
        """End these links; others may be found in their place."""
        with self._lock:
            ended = [link for link in self._links.values() if is_meant(link)]
            for link in ended:
                del self._links[link.address]
            self._other_names = {name: first for name, first in self._other_names.items() if first in self._links}
        for link in ended:
            link.stop()

    def _look(self, line: Line) -> None:
        try:
            found = line.ask(wire.Find(), wire.Brokers).brokers
        except EvoaeError as error:
            if not self._is_down and not self._is_stopping.is_set():
                self._tell(f"nameserver {error}; trying again")
            self._is_down = True
            return
        if self._is_down:
            self._tell("the nameserver is there again")
        self._is_down = False
        there = [
            seen_through(line.address, broker.host, broker.port) for broker in found if not broker.standing.is_over
        ]
        self._end(lambda link: self._is_gone(link, is_listed=link.address in there))
        self._found.update(there)
        for address in there:
            self.link_to(address)

    def _is_gone(self, link: Link, *, is_listed: bool) -> bool:
        """Whether a link is over, or its broker neither listed nor reachable.

        One that has failed, or leads here, stays while its broker is listed: a new one would end likewise, every few
        seconds. One that the nameserver never knew of goes on trying.
        """
        if link.failure is not None or link.is_own:
            return not is_listed
        was_found = link.address in self._found
        return link.is_over or (was_found and not is_listed and bool(link.view().trouble))
