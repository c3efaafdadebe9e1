"""The borrowing side of a link: a broker that helps another host's.

Three threads, each with a connection of its own, so that none waits for another: one polls, which brings tasks and is
the heartbeat; one hands results back; one fetches the files that tasks need. Any of them may find the other side gone.
Then it tries again, with growing pauses, until the lender says that it knows the link no more: what was borrowed is
given up, and the link begins anew.
"""

import contextlib
import threading
import time
from collections.abc import Callable

import msgspec

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import MAX_PAYLOAD, Task, TaskResult
from evoae_cli.errors import EvoaeError
from evoae_cli.hosts import wire
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.appetite import Appetite, Wanted
from evoae_cli.hosts.caller import UnreachableError, WrongKeyError
from evoae_cli.hosts.contact import Contact
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.fetches import Fetches
from evoae_cli.hosts.freight import Freight
from evoae_cli.hosts.holdings import Holding, Holdings
from evoae_cli.hosts.line import Line, RefusedError
from evoae_cli.hosts.returns import Returns
from evoae_cli.outcome import Outcome
from evoae_cli.version import __version__

PAUSES_S = (0.2, 15.0)
"""The first pause before the other side is tried again, and the longest; each is twice as long as the one before."""
_POLL = "poll"
_SHARED_PAUSE_S = 0.1
"""Between polls of one of several links, none of which may wait at its lender."""
GONE_AFTER_S = 600.0
"""So long a lender may be away, as when its search is resumed elsewhere, before those who help it give it up."""
_GOODBYE_S = 1.0
"""How long the end may wait for the other side."""
_MOST_REFUSED = 3
"""Tasks in a row that this host could not run, after which it asks for no more."""


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """A link at one moment, for people."""

    address: str
    name: str
    """Of the lender; empty until it has answered."""
    n_held: int
    n_done: int
    trouble: str
    """Why it is down, in one line; empty while it is up."""


class Link:
    """Borrows tasks for `broker` from the one at `address`, from `start` to `stop`.

    `own` is the number by which this host's own broker, if it has one, knows itself. `tell` gets one line for people,
    and must not wait. A request waits `patience_s` for the other side, and a poll comes every `beat_s` at least; how
    long a silence the lender bears, it says itself. A lender that cannot be reached for `gone_after_s` is given up.
    `on_idle` is called when it holds nothing any more.
    """

    def __init__(
        self,
        broker: Broker,
        address: Address,
        key: bytes,
        freight: Freight,
        depot: Depot,
        appetite: Appetite,
        *,
        name: str,
        own: bytes | None = None,
        listens_on: int | None = None,
        patience_s: float = 10.0,
        beat_s: float = 1.0,
        gone_after_s: float = GONE_AFTER_S,
        pauses_s: tuple[float, float] = PAUSES_S,
        tell: Callable[[str], None],
        on_idle: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self._key = key
        self._lender = str(address)
        self._broker = broker
        self._freight = freight
        self._depot = depot
        self._appetite = appetite
        self._name = name
        self._own = own
        self._listens_on = listens_on
        self._patience_s = patience_s
        self._beat_s = beat_s
        self._pauses_s = pauses_s
        self._tell = tell
        self._on_idle = on_idle
        self._polling, self._reporting = Line(address, key, patience_s), Line(address, key, patience_s)
        self._contact = Contact(_POLL, patience_s=patience_s, gone_after_s=gone_after_s, clock=clock)
        self._holdings = Holdings(appetite.new_id)
        # All mutable state beside the holdings, under the condition's lock; each is a single value, which views read.
        self._changed = threading.Condition()
        self._session: bytes | None = None
        self._title = ""
        self._n_refused = 0
        self._n_freed = 0
        self._is_draining = False
        self._is_stopping = False
        self._has_ended = False
        self.failure: EvoaeError | None = None
        """Why it is not tried again: another key, another version, or nobody there for too long."""
        self.is_own = False
        """Whether it was a link from this host to itself, which has ended."""
        self.lender_id: bytes | None = None
        """A number by which the other side can be known, whatever the address; None until it has said it."""
        self._outbox = broker.open_outbox(self._lender)
        self._returns = Returns(
            *(self._outbox, self._holdings, self._reporting, freight, depot),
            on_come=self._wake_poll,
            on_taken=self._note_taken,
        )
        self._fetches = Fetches(
            *(self._holdings, Line(address, key, patience_s), depot, self._lender, tell, beat_s),
            on_here=lambda holding: self._give([holding]),
            on_failure=self._refuse,
        )
        self._lines = (self._polling, self._reporting, self._fetches.line)
        self._threads = [
            threading.Thread(target=self._keep_doing, args=(what, step), name=f"evoae link: {what}", daemon=True)
            for what, step in ((_POLL, self._poll), ("return", self._returns.step), ("fetch", self._fetches.step))
        ]
        appetite.join(self._lender)

    def connect(self) -> str:
        """Say hello, and return what the other side calls itself; otherwise the first poll says it.

        Raises UnreachableError, WrongKeyError or RefusedError.
        """
        hands = self._appetite.hands()
        hello = wire.Hello(
            name=self._name,
            evoae=__version__,
            n_workers=hands.n_ready,
            hardware=hands.hardware,
            listens_on=self._listens_on,
            own=self._own,
        )
        welcome = self._polling.ask(hello, wire.Welcome)
        self._session, self._title, self.lender_id = welcome.session, welcome.name, welcome.own
        return welcome.name

    def start(self) -> None:
        """Begin to help."""
        for thread in self._threads:
            thread.start()

    def drain(self) -> None:
        """Ask for nothing more, and give back what no worker has begun; what runs is finished and returned."""
        self._is_draining = True
        self._take_out(self._holdings.local_ids())
        self._wake_poll()
        if not self._holdings:
            self._on_idle()

    @property
    def n_held(self) -> int:
        """Tasks that it has, also those whose results are under way."""
        return len(self._holdings) if self.failure is None else 0

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to do: the search has ended, or the link has failed."""
        return self.failure is not None or (self._has_ended and not self._holdings)

    def abort(self) -> None:
        """Have whatever it does fail at once: the first half of `stop`, which does not wait."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._outbox.put(None)
        self._fetches.wake()
        for line in self._lines:
            line.abort()

    def stop(self) -> None:
        """End the link. What is still held is given up; the lender is told, if it can be reached at once."""
        self.abort()
        for thread in self._threads:
            # One that waits for a host which is not there stays behind: it does nothing more.
            if thread.ident is not None:
                thread.join(_GOODBYE_S)
        self._broker.close_outbox(self._lender)
        self._appetite.leave(self._lender)
        if any(thread.is_alive() for thread in self._threads):
            return
        for line in self._lines:
            line.close()
        if self._session is not None and not self._contact.trouble:
            # Else it notices by itself.
            with contextlib.suppress(EvoaeError), contextlib.closing(Line(self.address, self._key, _GOODBYE_S)) as line:
                line.ask(wire.Leave(self._session), wire.Taken)

    def view(self) -> LinkView:
        """The link at this moment."""
        return LinkView(
            address=self._lender,
            name=self._title,
            n_held=self.n_held,
            n_done=self._returns.n_done,
            trouble=str(self.failure or self._contact.trouble),
        )

    # ---- what all threads do ----

    def _keep_doing(self, what: str, step: Callable[[], None]) -> None:
        """Take one step after the other; where the other side is not there, after a pause that grows."""
        shortest_s, longest_s = self._pauses_s
        pause_s = shortest_s
        while not (self._is_stopping or self.is_own) and self.failure is None:
            try:
                step()
            except UnreachableError as error:
                self._be_down(what, str(error))
            except WrongKeyError as error:
                self._fail(error)
            except RefusedError as error:
                if error.kind == "version":
                    self._fail(error)
                elif error.kind == "own":
                    self._end_as_own()
                else:
                    self._be_down(what, str(error))
            except Exception as error:
                # A fault of ours. Silence would have the lender wait for ever for what is here.
                self._fail(EvoaeError(f"helping {self.address} has ended by a fault: {type(error).__name__}: {error}"))
                raise
            else:
                self._be_up(what)
                pause_s = shortest_s
                continue
            self._pause(pause_s)
            # What is held here is lost with the lender's patience.
            pause_s = min(2 * pause_s, self._patience_s / 4 if self._holdings else longest_s, longest_s)

    def _pause(self, seconds: float) -> None:
        """Wait, unless the link is to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or self.is_own or self.failure is not None, seconds)

    def _be_down(self, what: str, trouble: str) -> None:
        """Tell people that a connection gets no answer; give the other side up where that has lasted."""
        if self._is_stopping:
            return
        silence = self._contact.lost(what, trouble, is_leaving=self._is_draining or self._has_ended)
        if silence.is_over and self._has_ended:
            # Nobody waits for what is here.
            self._take_out(self._holdings.local_ids())
            self._holdings.give_up(self._holdings.local_ids())
            self._on_idle()
        elif silence.is_over:
            self._fail(UnreachableError(f"{trouble}, and has not for {silence.borne_s:g} s; it is given up"))
        elif silence.is_news:
            self._tell(f"{trouble}; trying again")

    def _be_up(self, what: str) -> None:
        if self._contact.found(what):
            self._tell(f"{self.address} is there again")

    def _fail(self, error: EvoaeError) -> None:
        self._take_out(self._holdings.local_ids())
        self.failure = error
        self._tell(str(error))
        self._close_up()

    def _end_as_own(self) -> None:
        """It leads to this host's own broker, by an address that could not be told from others."""
        self.is_own = self._has_ended = True
        self._close_up()

    def _close_up(self) -> None:
        """Have all threads notice the end."""
        self._outbox.put(None)
        self._fetches.wake()
        with self._changed:
            self._changed.notify_all()

    def _begin_anew(self) -> None:
        """The lender knows this link no more, and has given to others what it had."""
        self._session = None
        local_ids = self._holdings.local_ids()
        self._take_out(local_ids)
        self._holdings.give_up(local_ids)
        if local_ids:
            n = len(local_ids)
            self._tell(f"{self.address} has taken {n} task{'s' * (n > 1)} back after a silence; beginning anew")

    def _take_out(self, local_ids: list[int]) -> None:
        """Forget those of the tasks that no worker has begun."""
        waiting = self._broker.give_up_borrowed(self._lender, local_ids)
        self._holdings.forget(task.id for task in waiting)
        self._holdings.give_up_fetching(local_ids)

    # ---- polling ----

    def _poll(self) -> None:
        session = self._session
        if session is None:
            self._tell(f"helping {self.connect()} at {self.address}")
            return
        # Before anything is looked at, so that no worker becomes free unseen.
        n_freed = self._n_freed
        may_ask = not self._is_draining and self._n_refused < _MOST_REFUSED
        wanted = self._appetite.ask(self._lender, self._holdings.n_fetching) if may_ask else Wanted(0, 0)
        if wanted.has_own_waiting:
            # They would wait behind these, and somebody else may have nothing to do.
            self._take_out(self._holdings.local_ids())
        held, running = self._holdings.ids(self._broker.borrowed_running(self._lender))
        n_wanted = wanted.n_idle + wanted.n_ahead
        is_waiting = n_wanted > 0 and not self._appetite.is_shared
        hands = self._appetite.hands()
        riders = self._returns.board(session, is_waiting=is_waiting)
        is_waiting = is_waiting and not riders
        riding = {rider.ending.loan for rider in riders}
        poll = wire.Poll(
            session=session,
            held=[number for number in held if number not in riding],
            running=[number for number in running if number not in riding],
            n_idle=wanted.n_idle,
            n_ahead=wanted.n_ahead,
            n_workers=hands.n_ready,
            wait_s=self._beat_s if is_waiting else 0.0,
            hardware=hands.hardware,
            endings=[rider.ending for rider in riders],
        )
        is_taken = False
        try:
            answer = self._polling.ask(poll, wire.Loans)
            is_taken = True
            self._be_up(_POLL)
            self._take(answer, session)
        except RefusedError as error:
            if error.kind != "unknown":
                raise
            # It has counted what rode with this poll as late.
            is_taken = True
            self._begin_anew()
            return
        finally:
            self._returns.landed(riders, is_taken=is_taken)
            self._appetite.settled(self._lender, self._holdings.n_fetching)
        if not answer.loans and not is_waiting:
            # Until a worker has become free, or for the next heartbeat.
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_stopping or self._n_freed != n_freed,
                    _SHARED_PAUSE_S if n_wanted else self._beat_s,
                )

    def _take(self, answer: wire.Loans, session: bytes) -> None:
        had_ended, self._has_ended = self._has_ended, answer.is_over
        if answer.is_over and not had_ended:
            self._tell(f"{self._title} has ended")
        if answer.to_drop:
            local_ids = self._holdings.local_ids(answer.to_drop)
            self._take_out(local_ids)
            self._holdings.give_up(local_ids)
            if not self._holdings:
                self._on_idle()
        # Those that were on their way when this host began to leave go back: the next poll does not name them.
        loans = [] if self._is_draining else answer.loans
        wanted = {fingerprint for loan in loans for fingerprint in loan.inputs}
        here = {fingerprint for fingerprint in wanted if self._depot.find(fingerprint)}
        self._give(self._holdings.add(loans, session, here))
        if self._holdings.n_fetching:
            self._fetches.wake()

    def _give(self, ready: list[Holding]) -> None:
        """Give loans whose files are here to the workers."""
        tasks = []
        for holding in ready:
            loan = holding.loan
            inputs = {name: path for name in loan.inputs if (path := self._depot.find(name)) is not None}
            try:
                payload = self._freight.unpack(loan.payload, inputs, self._depot.output(holding.local_id))
                if len(payload) > MAX_PAYLOAD:
                    raise ValueError(f"with the paths of this host it has {len(payload)} bytes, at most {MAX_PAYLOAD}")
            except ValueError as error:
                self._refuse(holding, f"the task cannot be read here: {error}")
                continue
            task = Task(
                id=holding.local_id, payload=payload, name=loan.name, timeout_s=loan.timeout_s, lender=self._lender
            )
            tasks.append(task)
        self._broker.submit(tasks)

    def _refuse(self, holding: Holding, reason: str) -> None:
        """Have a loan go back that this host cannot run."""
        self._outbox.put(
            TaskResult(task_id=holding.local_id, outcome=Outcome.CRASHED, reason=reason, is_host_failure=True)
        )

    def _wake_poll(self) -> None:
        """A worker has become free, or nothing more is to be asked for."""
        with self._changed:
            self._n_freed += 1
            self._changed.notify_all()

    def _note_taken(self, results: list[TaskResult]) -> None:
        """Ask for no more where nothing can be run here; tell when there is nothing left to do."""
        for result in results:
            self._n_refused = self._n_refused + 1 if result.is_host_failure else 0
            if self._n_refused == _MOST_REFUSED:
                self._tell(
                    f"{_MOST_REFUSED} tasks in a row cannot be run here, so it asks for no more: {result.reason}"
                )
        if not self._holdings:
            self._on_idle()
