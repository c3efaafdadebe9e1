"""All links of a host: to the addresses that were given, and to whatever brokers a nameserver knows."""

import threading
from collections.abc import Callable, Iterable

from evoae_cli.errors import EvoaeError
from evoae_cli.hosts import wire
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.line import Line
from evoae_cli.hosts.link import Link, LinkView

_PATIENCE_S = 5.0
LOOK_S = 2.0
"""How often the nameserver is asked."""


class Neighbours:
    """Keeps a link to each broker there is, from construction to `stop`.

    `make` makes a link to an address, not started. `served` is where this host's own broker can be reached: to itself
    it makes no link. A link that has ended makes room for another to the same address, should one be found there again.
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
        self._nameserver = nameserver
        self._served = served
        self._tell = tell
        self._look_s = look_s
        # All mutable state, under the lock.
        self._lock = threading.Lock()
        self._links: dict[Address, Link] = {}
        self._is_draining = False
        self._is_stopping = threading.Event()
        self._is_down = False
        self._line = None if nameserver is None else Line(*nameserver, _PATIENCE_S)
        self._thread = threading.Thread(target=self._keep_looking, name="evoae neighbours", daemon=True)
        self._thread.start()

    def add(self, link: Link) -> None:
        """Start a link, unless there is one to this address already."""
        with self._lock:
            is_new = link.address not in self._links and not self._is_stopping.is_set() and not self._is_draining
            if is_new:
                self._links[link.address] = link
        if is_new:
            link.start()
        else:
            link.stop()

    def link_to(self, address: Address) -> None:
        """Have a link to this address from now on, if there is none."""
        with self._lock:
            is_known = address in self._links
        if not is_known and not self._is_own(address):
            self.add(self._make(address))

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
        self._thread.join()
        with self._lock:
            links = list(self._links.values())
            self._links.clear()
        for link in links:
            link.stop()
        if self._line is not None:
            self._line.close()

    def _is_own(self, address: Address) -> bool:
        return self._served is not None and self._served in (address, Address("0.0.0.0", address.port))

    def _keep_looking(self) -> None:
        while not self._is_stopping.is_set():
            if self._line is not None:
                self._look(self._line)
            self._is_stopping.wait(self._look_s)

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
        there = [Address(broker.host, broker.port) for broker in found if not broker.standing.is_over]
        self._end_links_but(there)
        for address in there:
            if not self._is_stopping.is_set():
                self.link_to(address)

    def _end_links_but(self, there: Iterable[Address]) -> None:
        """End links that are of no more use: others may be found in their place."""
        with self._lock:
            gone = [link for address, link in self._links.items() if self._is_gone(link, is_listed=address in there)]
            for link in gone:
                del self._links[link.address]
        for link in gone:
            link.stop()

    def _is_gone(self, link: Link, *, is_listed: bool) -> bool:
        """Whether a link is over, or its broker neither listed nor reachable.

        One that has failed stays while its broker is listed: a new one would fail again, every few seconds.
        """
        if link.failure is not None:
            return not is_listed
        return link.is_over or (not is_listed and bool(link.view().trouble))
