"""The one loop that starts, feeds, watches and replaces workers. It waits for all of them together and never polls.

A report is read, recorded, answered with the worker's next task and handed to the search in one pass, by one thread.
"""

import contextlib
import math
import selectors
import time
from collections.abc import Callable

import msgspec

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Lost
from evoae_cli.engine.protocol import WorkerLoss
from evoae_cli.errors import EvoaeError
from evoae_cli.worker.channel import FrameError
from evoae_cli.worker.messages import Report, decode_from_worker
from evoae_cli.worker.seats import Seat, Seats
from evoae_cli.worker.spawn import Worker
from evoae_cli.worker.starter import Starter
from evoae_cli.worker.wakepipe import WakePipe

_SURPLUS = "fewer workers are wanted"
_LONGEST_DELAY_S = 0.5
"""A busy machine may wake this process so late; longer, and it was stopped."""


class Dispatcher:
    """One worker process for each seat, fed from `broker`. A worker that dies or falls silent is replaced.

    `clock` is the broker's. `on_loss` is called, from the loop's thread and under the broker's lock, with each worker
    that is lost while it holds a task.

    A worker whose lease is lost is killed before the loop waits again, so that one which was frozen never thaws to
    report late: SIGKILL ends a stopped process where it stands. Only a report written between the last look at its
    channel and the kill arrives late; the broker drops it.
    """

    def __init__(
        self,
        broker: Broker,
        seats: Seats,
        starter: Starter,
        on_loss: Callable[[WorkerLoss], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._starter = starter
        self._timing = starter.timing
        self._on_loss = on_loss
        self._clock = clock
        # All mutable state. It belongs to the thread that calls `run`; other threads read single values of seats and
        # workers for views, set `_n_wanted` and `_is_stopping`, and wake it.
        self._seats = seats
        self._n_wanted = seats.n_staying
        self._idle: dict[str, Worker] = {}
        # No deadline lies before this. Heartbeats only move deadlines away: one look at them all per timeout is enough.
        self._check_at = -math.inf
        # Until when heartbeats could be heard: the end of the latest wait. Silence counts only until then.
        self._listened_at = clock()
        self.paused_s = 0.0
        """Seconds in which this process was stopped."""
        self._is_stopping = False
        self._selector = selectors.DefaultSelector()
        self._pipe = WakePipe()

    def wake(self) -> None:
        """Tell the loop, from any thread, that tasks were submitted."""
        self._pipe.wake()

    def ask_for(self, n: int) -> None:
        """Have `n` workers from now on, from any thread."""
        self._n_wanted = n
        self.wake()

    def ask_to_stop(self) -> None:
        """Make `run` end, from any thread."""
        self._is_stopping = True
        self.wake()

    def run(self) -> None:
        """Loop until asked to stop, then kill all workers. Raises EvoaeError when no worker can start any more."""
        self._selector.register(self._pipe.fd, selectors.EVENT_READ, (self._on_wake, None))
        try:
            while not self._is_stopping:
                self._resize()
                self._look_at_deadlines()
                self._feed()
                self._handle(self._check_at - self._clock())
        finally:
            self._end_all()

    def close(self) -> None:
        """Close what belongs to the loop, after it has ended."""
        self._selector.close()
        self._pipe.close()

    def _handle(self, timeout_s: float) -> None:
        """Wait until something happens or `timeout_s` is over, and deal with all that has happened."""
        # Heartbeats end a wait as often, so this wakes nobody up who slept; a longer wait was a pause.
        is_listening = any(seat.worker is not None for seat in self._seats.named.values())
        longest_s = self._timing.heartbeat_interval_s if is_listening else math.inf
        timeout_s = min(timeout_s, longest_s)
        events = self._selector.select(None if timeout_s == math.inf else timeout_s)
        since, self._listened_at = self._listened_at, self._clock()
        if self._listened_at - since > longest_s + min(self._timing.heartbeat_interval_s, _LONGEST_DELAY_S):
            self._forgive(self._listened_at - since)
        for key, _ in events:
            handler, worker = key.data
            # An event of this batch may belong to a worker that an earlier one has buried.
            if worker is None or not worker.is_buried:
                handler(worker)

    def _forgive(self, gap_s: float) -> None:
        """Count nothing of a time in which this process was stopped, and perhaps its workers too."""
        self.paused_s += gap_s
        self._broker.extend(gap_s)
        for seat in self._seats.named.values():
            if seat.worker is not None:
                seat.worker.deadline += gap_s

    def _resize(self) -> None:
        if (n := self._n_wanted) == self._seats.n_staying:
            return
        for worker in self._seats.resize(n):
            self._kill(worker, _SURPLUS)
        # There may be new seats to fill.
        self._check_at = -math.inf

    def _feed(self) -> None:
        """Give tasks to idle workers while there are both."""
        while self._idle:
            name, worker = next(iter(self._idle.items()))
            lease = self._broker.lease(name)
            if lease is None:
                return
            del self._idle[name]
            worker.give(lease, self._clock())
            self._check_at = min(self._check_at, lease.expires_at, lease.ends_at)
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
        # Read before, since files are not read under the broker's lock.
        due = self._broker.due(now)
        logs = {lease.id: self._seats.log_of(lease.worker) for lease in due}
        unbegun = {lease.id for lease in due if not self._seats.has_begun(lease.worker)}
        expired = self._broker.expire(
            now, logs, unbegun, tell=lambda lost: self._tell(lost, logs.get(lost.lease.id, ""))
        )
        for lost in expired:
            seat = self._seats.named.get(lost.lease.worker)
            if seat is not None and seat.worker is not None:
                self._kill(seat.worker, lost.reason)
        for seat in self._seats.named.values():
            if seat.deadline() <= now:
                if seat.worker is None:
                    self._fill(seat)
                else:
                    self._kill(seat.worker, self._silence(seat.worker))
        expiry = self._broker.next_deadline()
        deadlines = [seat.deadline() for seat in self._seats.named.values()]
        self._check_at = min([*deadlines, math.inf if expiry is None else expiry])

    def _tell(self, lost: Lost, log: str) -> None:
        self._on_loss(self._seats.loss(lost, log))

    def _silence(self, worker: Worker) -> str:
        if worker.state == "starting":
            return f"not ready within {self._timing.start_timeout_s:g} s"
        return f"no heartbeat for {self._timing.heartbeat_timeout_s:g} s"

    def _kill(self, worker: Worker, reason: str) -> None:
        self._idle.pop(worker.name, None)
        worker.kill(reason)

    def _fill(self, seat: Seat) -> None:
        no_room = ""
        try:
            worker = self._starter.start(seat.name, seat.spec, self._seats.open_log(seat), self._clock())
        except (OSError, EvoaeError) as error:
            no_room = str(error)
        if no_room:
            # Out of the handler: an error that is kept must not keep the half-made worker with it.
            self._leave_fruitless(seat, no_room)
            return
        seat.worker = worker
        seat.pid = worker.pid
        self._selector.register(worker.results.fd, selectors.EVENT_READ, (self._on_result, worker))
        self._selector.register(worker.heartbeats, selectors.EVENT_READ, (self._on_heartbeat, worker))
        self._selector.register(worker.process.sentinel, selectors.EVENT_READ, (self._on_death, worker))

    def _leave_fruitless(self, seat: Seat, reason: str) -> None:
        self._fill_at(seat, self._clock() + self._seats.pause_s(seat, reason))

    def _fill_at(self, seat: Seat, when: float) -> None:
        seat.fill_at = when
        self._check_at = min(self._check_at, when)

    def _heard_of(self, worker: Worker) -> None:
        worker.deadline = self._clock() + self._timing.heartbeat_timeout_s
        self._check_at = min(self._check_at, worker.deadline)

    def _on_wake(self, _: None) -> None:
        # Before the broker is asked: a task submitted from here on writes again, an earlier one is found now.
        self._pipe.answer()

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
                    self._seats.named[worker.name].n_fruitless = 0
                    is_last = message.is_last
                else:
                    worker.hardware = message.hardware
                    is_last = False
                self._release(worker, is_last)
        except (FrameError, msgspec.DecodeError) as error:
            self._kill(worker, f"it sent rubbish: {error}")

    def _release(self, worker: Worker, is_last: bool) -> None:
        """Have it wait for a task, unless it is to go: since that was its last one, or fewer workers are wanted."""
        if worker.state == "lost":
            return
        self._heard_of(worker)
        if is_last:
            # Within the timeout, counted from here: it beats no more.
            worker.state = "stopping"
        elif self._seats.named[worker.name].is_draining:
            self._kill(worker, _SURPLUS)
        else:
            worker.state = "idle"
            self._idle[worker.name] = worker

    def _on_death(self, worker: Worker) -> None:
        # Its last report may still be in the pipe; only what is left after that is lost.
        self._take(worker, worker.results.read_all)
        has_begun = not worker.tasks.is_unread
        has_stopped = worker.state == "stopping"
        self._bury(worker)
        seat = self._seats.named[worker.name]
        if worker.running is not None:
            log = worker.task_log()
            self._broker.lose(
                worker.name, worker.why_lost(), has_begun, log=log, tell=lambda lost: self._tell(lost, log)
            )
        if seat.is_draining:
            self._seats.remove(seat)
        elif worker.running is not None or has_stopped:
            self._fill_at(seat, self._clock())
        else:
            self._leave_fruitless(seat, ": ".join(filter(None, (worker.why_lost(), worker.last_words()))))

    def _bury(self, worker: Worker) -> None:
        self._idle.pop(worker.name, None)
        self._seats.named[worker.name].worker = None
        for fd in (worker.tasks.fd, worker.results.fd, worker.heartbeats, worker.process.sentinel):
            with contextlib.suppress(KeyError):
                self._selector.unregister(fd)
        worker.bury()

    def _end_all(self) -> None:
        workers = [seat.worker for seat in self._seats.named.values() if seat.worker is not None]
        for worker in workers:
            worker.kill("the engine was stopped")
        for worker in workers:
            self._bury(worker)
