"""The lending side of links: answers what other hosts ask of this one's broker. It knows no sockets and no threads."""

import itertools
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Lease, Lost
from evoae_cli.hosts import wire
from evoae_cli.hosts.arrivals import Arrivals
from evoae_cli.hosts.freight import Freight, Parcel
from evoae_cli.outcome import Outcome
from evoae_cli.version import __version__

_ROOM = wire.MAX_MESSAGE - (1 << 14)
"""Bytes of an answer that loans may take."""
_ROUND_A_LOAN = 1500
"""Bytes that a loan takes beside its payload, at most."""


class _Guest:
    """A host that helps."""

    def __init__(self, peer: str, hello: wire.Hello, now: float) -> None:
        self.peer = peer
        self.heard_at = now
        self.n_workers = hello.n_workers
        self.hardware = hello.hardware
        self.parcels: dict[int, Parcel] = {}
        """By loan: what it may fetch, and where what it makes goes."""
        self.arrivals = Arrivals()
        self.has_refused = False
        self.is_welcomed = False


class Lender:
    """Lends tasks of `broker` to hosts that ask, and takes their results. All methods may be called from any thread.

    A host that is silent for `silence_s` is lost: what it had goes back to the front of the queue. `clock` is
    monotonic, in seconds, and only ever compared with itself. `own` is a number by which this host can be known,
    whichever of its many addresses it is called by. No more than `most_guests` are let in. `tell` gets one line for
    people, `on_loss` what a guest's lost worker cost, under the broker's lock; neither may wait. `on_change` is called
    when guests or their workers change, `on_helper` with the address of a guest that has a broker of its own.
    """

    def __init__(
        self,
        broker: Broker,
        freight: Freight,
        *,
        name: str,
        silence_s: float,
        n_workers: Callable[[], int],
        own: bytes | None = None,
        most_guests: int = wire.MAX_TASKS,
        tell: Callable[[str], None],
        on_loss: Callable[[Lost], None],
        on_change: Callable[[], None] = lambda: None,
        on_helper: Callable[[str, int], None] = lambda host, port: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._freight = freight
        self._name = name
        self._silence_s = silence_s
        self._n_own_workers = n_workers
        self._own = own
        self._most_guests = min(most_guests, wire.MAX_TASKS)
        self._tell = tell
        self._on_loss = on_loss
        self._on_change = on_change
        self._on_helper = on_helper
        self._clock = clock
        # All mutable state, under the lock, which is held for thinking, never for files or the broker.
        self._lock = threading.Lock()
        self._guests: dict[bytes, _Guest] = {}
        self._is_paused = False
        self._ended = threading.Event()
        self._swept_at = clock()

    def answer(self, request: wire.Request, host: str) -> wire.Answer:
        """What to say to a request that comes from `host`. Raises OSError where a file of this host cannot be used."""
        match request:
            case wire.Hello():
                return self._welcome(request, host)
            case wire.Poll():
                return self._loans(request)
            case wire.Report():
                return self._report(request)
            case wire.Fetch():
                return self._part(request)
            case wire.Put():
                return self._put(request)
            case wire.Leave():
                return self._leave(request)
            case wire.Ask():
                return self.about()
            case _:
                return wire.Refused("wrong", "this is a broker; what was asked is for a nameserver")

    def sweep(self) -> None:
        """Give up guests that were silent for too long. To be called several times in `silence_s`."""
        now = self._clock()
        with self._lock:
            # A gap between two looks is a pause of this process, in which it could hear nobody.
            pause_s = max(0.0, now - self._swept_at - self._silence_s / 2)
            self._swept_at = now
            for guest in self._guests.values():
                # One that was heard of since then has lost nothing.
                guest.heard_at = min(now, guest.heard_at + pause_s)
            lost = [(token, guest) for token, guest in self._guests.items() if self._is_silent(guest, now)]
            for token, _ in lost:
                del self._guests[token]
        for _, guest in lost:
            n = len(self._broker.reclaim(guest.peer))
            self._forget(guest, list(guest.parcels))
            self._tell(f"{guest.peer} was silent for {self._silence_s:g} s and is given up; {_tasks(n)} taken back")
        if lost:
            self._on_change()

    def pause(self) -> None:
        """Lend nothing more for now: guests are heard, and wait for what follows."""
        with self._lock:
            self._is_paused = True

    def finish(self) -> None:
        """Lend nothing more, and tell guests so."""
        self._ended.set()

    @property
    def n_guests(self) -> int:
        """How many hosts help."""
        return len(self._guests)

    def n_workers(self) -> int:
        """How many workers guests have."""
        with self._lock:
            return sum(guest.n_workers for guest in self._guests.values())

    def about(self) -> wire.About:
        """What is going on, for people."""
        now = self._clock()
        with self._lock:
            guests = list(self._guests.values())
        found = [
            wire.Guest(
                name=guest.peer,
                hardware=guest.hardware,
                n_workers=guest.n_workers,
                n_held=len(guest.parcels),
                silent_s=max(0.0, now - guest.heard_at),
            )
            for guest in guests[: wire.MAX_TASKS]
        ]
        return wire.About(self._name, self.standing(), found)

    def standing(self) -> wire.Standing:
        """What this broker says of itself."""
        counts = self._broker.counts()
        return wire.Standing(
            n_queued=counts.n_queued,
            n_workers=self._n_own_workers(),
            n_busy=counts.n_leased,
            n_lent=min(counts.n_lent, 10_000),
            n_borrowed=min(counts.n_borrowed, 10_000),
            n_links=self.n_guests,
            is_over=self._ended.is_set(),
        )

    # ---- what is asked ----

    def _welcome(self, hello: wire.Hello, host: str) -> wire.Answer:
        if hello.evoae != __version__:
            reason = f"it runs evoae {hello.evoae}, the search evoae {__version__}; install the same version"
            return wire.Refused("version", reason)
        if hello.own is not None and hello.own == self._own:
            return wire.Refused("own", "it is this host itself")
        token = secrets.token_bytes(16)
        with self._lock:
            if len(self._guests) >= self._most_guests:
                return wire.Refused("full", f"{len(self._guests)} hosts help already")
            taken = {guest.peer for guest in self._guests.values()}
            name = hello.name or host
            peer = next(peer for peer in _names(name) if peer not in taken)
            self._guests[token] = _Guest(peer, hello, self._clock())
        self._on_change()
        if hello.listens_on is not None:
            self._on_helper(host, hello.listens_on)
        return wire.Welcome(token, self._name, self._silence_s, self._own)

    def _loans(self, poll: wire.Poll) -> wire.Answer:
        guest = self._heard(poll.session)
        if guest is None:
            for ending in poll.endings:
                self._end(None, ending)
            return _unknown_session()
        guest.hardware = poll.hardware or guest.hardware
        if poll.n_workers and not guest.is_welcomed:
            # Its workers load for a while.
            guest.is_welcomed = True
            self._tell(f"{guest.peer} helps with {poll.n_workers} worker{'s' * (poll.n_workers > 1)}")
        if poll.n_workers != guest.n_workers:
            guest.n_workers = poll.n_workers
            self._on_change()
        for ending in poll.endings:
            self._end(guest, ending)
        synced = self._broker.sync(guest.peer, frozenset(poll.held), poll.running, self._n_own_workers())
        self._forget(guest, [*(loan.id for loan in synced.reclaimed), *synced.to_drop])
        if self._ended.is_set() or (poll.n_idle + poll.n_ahead == 0 and poll.wait_s == 0):
            return wire.Loans([], list(synced.to_drop), self._ended.is_set())
        if self._is_paused:
            self._ended.wait(poll.wait_s)
            return wire.Loans([], list(synced.to_drop), self._ended.is_set())
        # Whoever runs out of work first finds some left: one for each worker there is.
        n_left = self._n_own_workers() + self.n_workers()
        n_idle = min(poll.n_idle, wire.MAX_TASKS)
        found = self._broker.lend(
            guest.peer,
            n_idle=n_idle,
            n_ahead=min(poll.n_ahead, wire.MAX_TASKS - n_idle),
            n_left=n_left,
            timeout_s=0.0 if synced.to_drop else poll.wait_s,
        )
        loans = self._packed(guest, found)
        if self._heard(poll.session) is None:
            # It was given up while this waited; another may have its name by now.
            self._broker.reclaim(guest.peer, [lease.id for lease in found])
            return _unknown_session()
        return wire.Loans(loans, list(synced.to_drop), self._ended.is_set())

    def _packed(self, guest: _Guest, found: list[Lease]) -> list[wire.Loan]:
        """Loans as they travel, as many as there is room for; the others go back."""
        loans = []
        room = _ROOM
        for number, lease in enumerate(found):
            parcel = self._freight.pack(lease.task.payload)
            room -= len(parcel.payload) + _ROUND_A_LOAN
            if room < 0:
                self._broker.reclaim(guest.peer, [other.id for other in found[number:]])
                break
            with self._lock:
                guest.parcels[lease.id] = parcel
            loans.append(
                wire.Loan(
                    id=lease.id,
                    payload=parcel.payload,
                    name=lease.task.name[:200],
                    timeout_s=lease.task.timeout_s,
                    inputs=list(parcel.inputs),
                    has_output=parcel.output is not None,
                )
            )
        return loans

    def _report(self, report: wire.Report) -> wire.Answer:
        guest = self._heard(report.session)
        for ending in report.endings:
            self._end(guest, ending)
        return wire.Taken() if guest is not None else _unknown_session()

    def _end(self, guest: _Guest | None, ending: wire.Ending) -> None:
        peer = guest.peer if guest is not None else ""
        worker = f"{peer}/{ending.worker}"
        kind, reason, payload = ending.kind, ending.reason, ending.payload
        parcel = guest.parcels.get(ending.loan) if guest is not None else None
        # What has timed out, or failed, brings a reason and nothing else.
        if parcel is not None and kind == "reported" and (payload or ending.outcome is Outcome.OK):
            try:
                payload = self._freight.unpack_result(payload, parcel)
            except ValueError as error:
                kind, reason = "lost", f"it sent a result that is none: {error}"
        if kind == "reported":
            self._broker.report_loan(
                *(peer, ending.loan, ending.outcome, payload, reason), worker=worker, run_s=ending.run_s
            )
        elif kind == "lost":
            self._broker.lose_loan(
                *(peer, ending.loan, reason), worker=worker, run_s=ending.run_s, log=ending.log, tell=self._on_loss
            )
        elif self._broker.refuse_loan(peer, ending.loan) is not None and guest is not None:
            # Others are likely to end likewise.
            if not guest.has_refused:
                self._tell(f"{peer} cannot run a task, which is given to others: {reason}")
            guest.has_refused = True
        if guest is not None:
            self._forget(guest, [ending.loan])

    def _part(self, fetch: wire.Fetch) -> wire.Answer:
        guest = self._heard(fetch.session)
        if guest is None:
            return _unknown_session()
        with self._lock:
            paths = [parcel.inputs.get(fetch.fingerprint) for parcel in guest.parcels.values()]
        path = next(filter(None, paths), None)
        if path is None:
            return wire.Refused("gone", "no task that you have needs this file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(fetch.offset)
            return wire.Part(file.read(wire.MAX_CHUNK), size)

    def _put(self, put: wire.Put) -> wire.Answer:
        guest = self._heard(put.session)
        if guest is None:
            return _unknown_session()
        with self._lock:
            parcel = guest.parcels.get(put.loan)
        if parcel is None or parcel.output is None:
            return wire.Refused("gone", "you have no such task, or one that makes no file")
        return guest.arrivals.take(put, parcel.output)

    def _leave(self, leave: wire.Leave) -> wire.Answer:
        with self._lock:
            guest = self._guests.pop(leave.session, None)
        if guest is not None:
            n = len(self._broker.reclaim(guest.peer))
            self._forget(guest, list(guest.parcels))
            self._tell(f"{guest.peer} has left" + (f"; {_tasks(n)} taken back" if n else ""))
            self._on_change()
        return wire.Taken()

    # ---- guests ----

    def _heard(self, session: bytes) -> _Guest | None:
        with self._lock:
            guest = self._guests.get(session)
            if guest is not None:
                guest.heard_at = self._clock()
            return guest

    def _is_silent(self, guest: _Guest, now: float) -> bool:
        return now - guest.heard_at > self._silence_s

    def _forget(self, guest: _Guest, loans: Iterable[int]) -> None:
        """Drop what was known of loans that have ended."""
        for loan in loans:
            with self._lock:
                guest.parcels.pop(loan, None)
            guest.arrivals.forget(loan)


def _names(name: str) -> Iterator[str]:
    """The name, and others like it for hosts that are called the same."""
    yield name
    yield from (f"{name} ({number})" for number in itertools.count(2))


def _unknown_session() -> wire.Refused:
    return wire.Refused("unknown", "this host was silent for too long, or has left; it may say hello again")


def _tasks(n: int) -> str:
    return f"{n} task{'s' * (n != 1)}"
