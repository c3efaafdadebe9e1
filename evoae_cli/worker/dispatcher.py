"""The one loop that starts, feeds, watches and replaces workers. It waits for all of them together and never polls.

A report is read, recorded, answered with the worker's next task and handed to the search in one pass, by one thread.
"""

import contextlib
import math
import os
import selectors
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnContext

import msgspec

from evoae_cli.broker.broker import Broker
from evoae_cli.errors import EvoaeError
from evoae_cli.worker import process
from evoae_cli.worker.channel import FrameError
from evoae_cli.worker.messages import Report, Work, decode_from_worker, encode
from evoae_cli.worker.spawn import Worker

MAX_FRUITLESS = 3
"""Workers in a row that may die in one seat without having run anything, before it pauses or all is given up."""
_MAX_PAUSE_S = 60.0


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A place for one worker: where it computes, and with how many CPU threads."""

    device: str
    threads: int


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker counts as lost."""

    heartbeat_interval_s: float
    heartbeat_timeout_s: float
    start_timeout_s: float


class Seat:
    """A worker's place, which outlives the workers that take it. `log` is the descriptor of its log."""

    def __init__(self, name: str, spec: WorkerSpec, log: int) -> None:
        self.name = name
        self.spec = spec
        self.log = log
        self.worker: Worker | None = None
        self.n_fruitless = 0
        """Workers in a row that died here without having run anything."""
        self.fill_at = 0.0
        """When the next worker may start, while there is none."""


class Dispatcher:
    """One worker process for each seat, fed from `broker`. A worker that dies or falls silent is replaced.

    `clock` is the broker's. A worker whose lease is lost is killed before the loop waits again, so that one which was
    frozen never thaws to report late: SIGKILL ends a stopped process where it stands. Only a report written between the
    last look at its channel and the kill arrives late; the broker drops it.
    """

    def __init__(
        self,
        broker: Broker,
        seats: Sequence[Seat],
        runner: str,
        timing: Timing,
        context: SpawnContext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._runner = runner
        self._timing = timing
        self._context = context
        self._clock = clock
        # All mutable state. It belongs to the thread that calls `run`; other threads read single values of seats and
        # workers for views, set `_is_stopping`, and share the wake pipe under its lock.
        self.seats = {seat.name: seat for seat in seats}
        self._idle: dict[str, Worker] = {}
        # No deadline lies before this. Heartbeats only move deadlines away: one look at them all per timeout is enough.
        self._check_at = -math.inf
        # Until when heartbeats could be heard: the end of the latest wait. Silence counts only until then.
        self._listened_at = clock()
        self._is_stopping = False
        self._selector = selectors.DefaultSelector()
        self._wake_lock = threading.Lock()
        self._is_woken = False
        self._wake_read, self._wake_write = os.pipe()
        self._is_closed = False

    def wake(self) -> None:
        """Tell the loop, from any thread, that tasks were submitted."""
        with self._wake_lock:
            if not self._is_woken and not self._is_closed:
                self._is_woken = True
                os.write(self._wake_write, b"\0")

    def ask_to_stop(self) -> None:
        """Make `run` end, from any thread."""
        self._is_stopping = True
        self.wake()

    def run(self) -> None:
        """Loop until asked to stop, then kill all workers. Raises EvoaeError when no worker can start any more."""
        self._selector.register(self._wake_read, selectors.EVENT_READ, (self._on_wake, None))
        try:
            while not self._is_stopping:
                self._look_at_deadlines()
                self._feed()
                self._handle(self._check_at - self._clock())
        finally:
            self._end_all()

    def close(self) -> None:
        """Close what belongs to the loop, after it has ended."""
        self._selector.close()
        with self._wake_lock:
            self._is_closed = True
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _handle(self, timeout_s: float) -> None:
        """Wait until something happens or `timeout_s` is over, and deal with all that has happened."""
        # Heartbeats end a wait as often, so this wakes nobody up who slept; a longer wait was a pause.
        is_listening = any(seat.worker is not None for seat in self.seats.values())
        longest_s = self._timing.heartbeat_interval_s if is_listening else math.inf
        timeout_s = min(timeout_s, longest_s)
        events = self._selector.select(None if timeout_s == math.inf else timeout_s)
        since, self._listened_at = self._listened_at, self._clock()
        if self._listened_at - since > longest_s + self._timing.heartbeat_interval_s:
            self._forgive(self._listened_at - since)
        for key, _ in events:
            handler, worker = key.data
            # An event of this batch may belong to a worker that an earlier one has buried.
            if worker is None or not worker.is_buried:
                handler(worker)

    def _forgive(self, gap_s: float) -> None:
        """Count nothing of a time in which this process was stopped, and perhaps its workers too."""
        self._broker.extend(gap_s)
        for seat in self.seats.values():
            if seat.worker is not None:
                seat.worker.deadline += gap_s

    def _feed(self) -> None:
        """Give tasks to idle workers while there are both."""
        while self._idle:
            name, worker = next(iter(self._idle.items()))
            lease = self._broker.lease(name)
            if lease is None:
                return
            del self._idle[name]
            worker.progress = 0.0
            worker.running = (lease, self._clock())
            self._check_at = min(self._check_at, lease.expires_at)
            worker.tasks.write(encode(Work(lease.id, lease.task.payload)))
            if worker.tasks.is_pending:
                self._selector.register(worker.tasks.fd, selectors.EVENT_WRITE, (self._on_writable, worker))

    def _look_at_deadlines(self) -> None:
        """Kill what is silent, and start what is missing."""
        if self._clock() < self._check_at:
            return
        # What has arrived counts before anything is declared lost.
        self._handle(0)
        # Not the clock's time: a pause may begin here too.
        now = self._listened_at
        for lost in self._broker.expire(now):
            seat = self.seats.get(lost.lease.worker)
            if seat is not None and seat.worker is not None:
                self._kill(seat.worker, lost.reason)
        for seat in self.seats.values():
            if seat.worker is None:
                if seat.fill_at <= now:
                    self._fill(seat)
            elif seat.worker.deadline <= now:
                self._kill(seat.worker, self._silence(seat.worker))
        deadlines = [seat.worker.deadline if seat.worker else seat.fill_at for seat in self.seats.values()]
        expiry = self._broker.next_deadline()
        self._check_at = min([*deadlines, math.inf if expiry is None else expiry])

    def _silence(self, worker: Worker) -> str:
        if worker.state == "starting":
            return f"not ready within {self._timing.start_timeout_s:g} s"
        return f"no heartbeat for {self._timing.heartbeat_timeout_s:g} s"

    def _kill(self, worker: Worker, reason: str) -> None:
        self._idle.pop(worker.name, None)
        worker.kill(reason)

    def _fill(self, seat: Seat) -> None:
        setup = process.Setup(
            coordinator=os.getpid(),
            runner=self._runner,
            device=seat.spec.device,
            threads=seat.spec.threads,
            heartbeat_interval_s=self._timing.heartbeat_interval_s,
        )
        start_by = self._clock() + self._timing.start_timeout_s
        no_room = ""
        try:
            seat.worker = worker = Worker(self._context, seat.name, setup, seat.log, start_by)
        except OSError as error:
            no_room = str(error)
        if no_room:
            # Out of the handler: an error that is kept must not keep the half-made worker with it.
            self._leave_fruitless(seat, no_room)
            return
        self._selector.register(worker.results.fd, selectors.EVENT_READ, (self._on_result, worker))
        self._selector.register(worker.heartbeats, selectors.EVENT_READ, (self._on_heartbeat, worker))
        self._selector.register(worker.process.sentinel, selectors.EVENT_READ, (self._on_death, worker))

    def _leave_fruitless(self, seat: Seat, reason: str) -> None:
        seat.n_fruitless += 1
        if all(each.n_fruitless >= MAX_FRUITLESS for each in self.seats.values()):
            raise EvoaeError(f"no worker can start; {seat.name}, attempt {seat.n_fruitless}: {reason}")
        excess = seat.n_fruitless - MAX_FRUITLESS
        self._fill_at(seat, self._clock() + (min(_MAX_PAUSE_S, 2.0**excess) if excess >= 0 else 0.0))

    def _fill_at(self, seat: Seat, when: float) -> None:
        seat.fill_at = when
        self._check_at = min(self._check_at, when)

    def _heard_of(self, worker: Worker) -> None:
        worker.deadline = self._clock() + self._timing.heartbeat_timeout_s
        self._check_at = min(self._check_at, worker.deadline)

    def _on_wake(self, _: None) -> None:
        # Before the broker is asked: a task submitted from here on writes again, an earlier one is found now.
        with self._wake_lock:
            os.read(self._wake_read, 1)
            self._is_woken = False

    def _on_writable(self, worker: Worker) -> None:
        worker.tasks.flush()
        if not worker.tasks.is_pending:
            self._selector.unregister(worker.tasks.fd)

    def _on_heartbeat(self, worker: Worker) -> None:
        beat = worker.last_heartbeat()
        if beat is None:
            # It is dying: its sentinel comes next.
            self._selector.unregister(worker.heartbeats)
            return
        lease_id, share = beat
        if lease_id and self._broker.renew(lease_id):
            worker.progress = share
        if worker.state == "idle":
            self._heard_of(worker)

    def _on_result(self, worker: Worker) -> None:
        self._take(worker, worker.results.read)
        if worker.results.is_ended or worker.state == "lost":
            self._selector.unregister(worker.results.fd)

    def _take(self, worker: Worker, read: Callable[[], list[bytes]]) -> None:
        """Act on the messages that `read` brings; a worker that sends anything else is killed."""
        try:
            for body in read():
                message = decode_from_worker(body)
                if isinstance(message, Report):
                    self._broker.report(
                        message.lease_id,
                        message.outcome,
                        message.payload,
                        message.reason,
                        is_host_failure=message.is_host_failure,
                    )
                    # A second report of an earlier task does not end the one that runs.
                    if worker.running is None or worker.running[0].id != message.lease_id:
                        continue
                    worker.running = None
                    self.seats[worker.name].n_fruitless = 0
                else:
                    worker.hardware = message.hardware
                if worker.state != "lost":
                    worker.state = "idle"
                    self._idle[worker.name] = worker
                    self._heard_of(worker)
        except (FrameError, msgspec.DecodeError) as error:
            self._kill(worker, f"it sent rubbish: {error}")

    def _on_death(self, worker: Worker) -> None:
        # Its last report may still be in the pipe; only what is left after that is lost.
        self._take(worker, worker.results.read_all)
        has_begun = not worker.tasks.is_unread
        self._bury(worker)
        self._broker.lose(worker.name, worker.why_lost(), has_begun)
        seat = self.seats[worker.name]
        if worker.running is not None:
            self._fill_at(seat, self._clock())
        else:
            self._leave_fruitless(seat, ": ".join(filter(None, (worker.why_lost(), worker.last_words()))))

    def _bury(self, worker: Worker) -> None:
        self._idle.pop(worker.name, None)
        self.seats[worker.name].worker = None
        for fd in (worker.tasks.fd, worker.results.fd, worker.heartbeats, worker.process.sentinel):
            with contextlib.suppress(KeyError):
                self._selector.unregister(fd)
        worker.bury()

    def _end_all(self) -> None:
        workers = [seat.worker for seat in self.seats.values() if seat.worker is not None]
        for worker in workers:
            worker.kill("the engine was stopped")
        for worker in workers:
            self._bury(worker)
