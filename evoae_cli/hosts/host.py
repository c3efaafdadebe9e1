"""This host among others: what it serves, whom it helps, where it is listed. One value that an engine attaches to."""

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Lost
from evoae_cli.errors import EvoaeError
from evoae_cli.hosts import wire
from evoae_cli.hosts.address import EVERYWHERE, LOOPBACK, Address
from evoae_cli.hosts.appetite import Appetite, Hands
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.freight import Freight
from evoae_cli.hosts.lender import Lender
from evoae_cli.hosts.link import GONE_AFTER_S, Link, LinkView
from evoae_cli.hosts.manager import most_connections
from evoae_cli.hosts.neighbours import Neighbours
from evoae_cli.hosts.registration import Registration
from evoae_cli.hosts.serving import Serving

SILENCE_S = 10.0
"""After so long without a word a host that helps is given up."""
_SWEEPS = 10
"""Looks for silent hosts in that time."""
_FAREWELL_LOOK_S = 0.05
_FAREWELL_S = 3.0
"""How long the end waits for hosts that help to hear of it and leave."""


@dataclass(frozen=True)
class Means:
    """What a host has to work with, once it has it."""

    broker: Broker
    freight: Freight
    depot: Depot
    hands: Callable[[], Hands]
    title: str
    """What other hosts' people read: what is searched, and where."""
    tell: Callable[[str], None]
    """Takes one line for people, from any thread."""
    on_loss: Callable[[Lost], None]
    """Takes what a worker elsewhere cost, under the broker's lock."""
    on_change: Callable[[], None]
    """Called when hosts that help come, go or change, and when this one has returned all that it had borrowed."""


class Host:
    """Listens from construction on, where it is to; lends and borrows from `attach` to `detach` or `stop`.

    `listen` is where other hosts find this one's broker; `links` are the brokers that it helps, beside those that
    `nameserver` knows. Raises UsageError where nobody can listen there.
    """

    def __init__(
        self,
        *,
        key: bytes,
        name: str,
        listen: Address | None = None,
        links: Sequence[Address] = (),
        nameserver: Address | None = None,
        silence_s: float = SILENCE_S,
        gone_after_s: float = GONE_AFTER_S,
    ) -> None:
        self._key = key
        self._name = name
        self._own = secrets.token_bytes(16)
        self._links = tuple(links)
        self._nameserver = nameserver
        self._silence_s = silence_s
        self._gone_after_s = gone_after_s
        self.is_kept = False
        """Whether the engine that is attached is not the last one: `detach` then keeps it open for the next."""
        # All mutable state, set by the thread that attaches and stops.
        self._unfinished: list[Address] = []
        self._lender: Lender | None = None
        self._registration: Registration | None = None
        self._neighbours: Neighbours | None = None
        self._is_stopped = False
        self._serving: Serving | None = None
        if listen is not None:
            self._serving = Serving(listen, key, self._answer, self._sweep, sweep_s=silence_s / _SWEEPS)

    @property
    def address(self) -> Address | None:
        """Where it listens; None if it does not."""
        return None if self._serving is None else self._serving.address

    def attach(self, means: Means) -> None:
        """Begin to lend and to borrow."""
        appetite = Appetite(means.broker, means.hands)
        served = self.address

        def link(address: Address) -> Link:
            return Link(
                *(means.broker, address, self._key, means.freight, means.depot, appetite),
                name=self._name,
                own=None if served is None else self._own,
                listens_on=_port_for(address, served),
                patience_s=self._silence_s,
                beat_s=self._silence_s / _SWEEPS,
                gone_after_s=self._gone_after_s,
                tell=means.tell,
                on_idle=means.on_change,
            )

        self._neighbours = neighbours = Neighbours(
            link,
            nameserver=None if self._nameserver is None else (self._nameserver, self._key),
            served=served,
            tell=means.tell,
        )
        for address in self._links:
            neighbours.link_to(address)
        if served is not None:
            lender = Lender(
                means.broker,
                means.freight,
                name=means.title,
                silence_s=self._silence_s,
                n_workers=lambda: means.hands().n_ready,
                own=self._own,
                # Each has three connections.
                most_guests=most_connections() // 3,
                tell=means.tell,
                on_loss=means.on_loss,
                on_change=means.on_change,
                on_helper=lambda host, port: neighbours.link_to(Address(host, port)),
            )
            self._lender = lender
            if self._nameserver is not None:
                self._registration = Registration(
                    *(self._nameserver, self._key, served, means.title, lender.standing, means.tell)
                )

    def guests(self) -> list[wire.Guest]:
        """The hosts that help this one."""
        return [] if self._lender is None else self._lender.about().guests

    def links(self) -> list[LinkView]:
        """The hosts that this one helps."""
        return [] if self._neighbours is None else self._neighbours.views()

    @property
    def n_guest_workers(self) -> int:
        """How many workers the hosts that help have."""
        return 0 if self._lender is None else self._lender.n_workers()

    @property
    def n_held(self) -> int:
        """Tasks of others that this host has."""
        return 0 if self._neighbours is None else self._neighbours.n_held

    @property
    def is_needed(self) -> bool:
        """Whether there is a link that may bring work."""
        return self._neighbours is not None and not self._neighbours.is_over

    @property
    def failures(self) -> list[EvoaeError]:
        """Why links have failed."""
        return [] if self._neighbours is None else self._neighbours.failures

    @property
    def unfinished(self) -> list[Address]:
        """Once it is stopped: whom it could go on helping."""
        return list(self._unfinished)

    def drain(self) -> None:
        """Borrow nothing more, and give back what no worker has begun."""
        if self._neighbours is not None:
            self._neighbours.drain()

    def detach(self) -> None:
        """Have done with the engine: `stop`, or, where another is to come, have hosts that help wait for it."""
        if not self.is_kept:
            self.stop()
            return
        self._end_links()
        if self._lender is not None:
            self._lender.pause()

    def stop(self) -> None:
        """Say goodbye, and end all. Idempotent."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._end_links()
        if self._lender is not None:
            self._lender.finish()
            self._wait_for_farewells(self._lender)
        if self._serving is not None:
            self._serving.stop()

    def _end_links(self) -> None:
        """Be listed no more, and help nobody."""
        if self._registration is not None:
            self._registration.stop()
            self._registration = None
        if self._neighbours is not None:
            self._unfinished = self._neighbours.unfinished()
            self._neighbours.stop()
            self._neighbours = None

    def _wait_for_farewells(self, lender: Lender) -> None:
        give_up_at = time.monotonic() + _FAREWELL_S
        while lender.n_guests and time.monotonic() < give_up_at:
            time.sleep(_FAREWELL_LOOK_S)

    def _answer(self, request: wire.Request, host: str) -> wire.Answer:
        if self._lender is None:
            return wire.Refused("full", "the search is still loading, which takes a moment")
        answer = self._lender.answer(request, host)
        if isinstance(answer, wire.About):
            return msgspec.structs.replace(answer, helped=[_helped(link) for link in self.links()])
        return answer

    def _sweep(self) -> None:
        if self._lender is not None:
            self._lender.sweep()


def _helped(link: LinkView) -> wire.Helped:
    return wire.Helped(link.name[:200], link.address[:200], min(link.n_held, 10_000), link.trouble[:600])


def _port_for(other: Address, served: Address | None) -> int | None:
    """Where the host at `other` can reach this one's broker, if it can."""
    if served is None or (served.is_loopback and not other.is_loopback):
        return None
    return served.port


def own_address(nameserver: Address) -> str:
    """The number under which the nameserver's network knows this host, as far as this host can tell."""
    if nameserver.is_loopback:
        return LOOPBACK
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            # Sends nothing: it only asks which way packets would go.
            probe.connect((nameserver.host, nameserver.port))
            found = Address(str(probe.getsockname()[0]), nameserver.port)
    except OSError:
        return EVERYWHERE
    # The nameserver is on this host, and others know it by its name.
    return EVERYWHERE if found.is_loopback else found.host
