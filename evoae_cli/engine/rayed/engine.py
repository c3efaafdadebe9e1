"""The engine of a Ray cluster: a broker of this host's, whose workers are Ray's actors.

Leases, attempts, time limits and late results are the broker's, as for workers of this host; Ray places the actors,
brings the files, and says which actor has died. What may not leave this host runs in one worker here.
"""

import atexit
import contextlib
import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Lease, Lost, Task, TaskResult
from evoae_cli.engine.local import local_engine
from evoae_cli.engine.protocol import EngineView, WorkerLoss, WorkerState, WorkerView
from evoae_cli.engine.rayed.cluster import PULSE, Cluster, Fate, fate_of
from evoae_cli.engine.rayed.inside import Orders, Ready, Reply
from evoae_cli.engine.rayed.options import RayOptions
from evoae_cli.engine.terms import MakeEngine, Terms
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.hosts.freight import Parcel
from evoae_cli.outcome import Outcome
from evoae_cli.version import __version__
from evoae_cli.wholefile import write_whole

LOOK_S = 1.0
"""How often the cluster is asked what it has."""
MAX_FRUITLESS = 3
"""Actors in a row, for each worker that is wanted, that may die before they have loaded, before all is given up."""
_MAX_NEWS = 1000
_FOR_RUNNERS = "EVOAE_BENCH_"
"""Variables so named tell runners what to do, and go wherever these are."""
_GOODBYE_S = 10.0
_LONGEST_PAUSE_S = 60.0
_SILENCE_S = 30.0
"""At least so long an actor may be silent: the network, and other work on its node, may hold a pulse up."""


def on_ray(options: RayOptions) -> MakeEngine:
    """Makes engines on the Ray that `options` name."""

    def make(terms: Terms) -> RayEngine:
        return RayEngine(terms, Cluster(options, terms.specs[0].threads))

    return make


class _Hand:
    """One actor. All of it belongs to the loop; views read single values."""

    def __init__(self, name: str, actor: Any, now: float) -> None:
        self.name = name
        self.actor = actor
        self.state: WorkerState = "starting"
        self.ready: Ready | None = None
        self.lease: Lease | None = None
        self.parcel: Parcel | None = None
        self.begun_at = now
        self.progress = 0.0
        self.asked_at = math.inf
        """When the pulse was asked for that has not come; infinite where none is on its way."""


class RayEngine:
    """Runs tasks in actors of a Ray cluster; satisfies `engine.protocol.Engine`.

    Without a number of workers there are as many as the cluster has room for, at each moment; with one, those for which
    there is no room wait for nodes to come, and an autoscaler sees them waiting.
    """

    def __init__(self, terms: Terms, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._terms = terms
        self._cluster = cluster
        self._clock = clock
        self._silence_s = max(_SILENCE_S, terms.timing.heartbeat_timeout_s)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._broker = Broker(self._silence_s, clock=clock, on_available=lambda: self._soon(_nothing))
        # For what may not travel: a search has a few such tasks, at its start and at its end.
        self._home = local_engine(msgspec.structs.replace(terms, specs=terms.specs[:1]))
        self._home_thread = threading.Thread(target=self._bring_home, name="evoae home worker", daemon=True)
        self._thread = threading.Thread(target=self._run, name="evoae ray", daemon=True)
        # All mutable state. What people have not heard of is under the lock; the rest belongs to the loop's thread, is
        # replaced as a whole where others read it, or is a single value.
        self._lock = threading.Lock()
        self._losses: deque[WorkerLoss] = deque(maxlen=_MAX_NEWS)
        self._news: deque[str] = deque(maxlen=_MAX_NEWS)
        self._hands: Mapping[str, _Hand] = {}
        self._n_named = 0
        self._n_asked = terms.n_workers
        self._n_room = terms.n_workers or 1
        self._n_fruitless = 0
        self._hire_at = 0.0
        self._look_at = 0.0
        self._files: dict[str, Any] = {}
        self._is_short = False
        self._paused_s = 0.0
        self._failure: Exception | None = None
        self._is_home_started = False
        self._is_stopped = False

    # ---- engine.protocol.Engine ----

    def start(self) -> None:
        """Join the cluster and hire workers; returns at once."""
        atexit.register(self.stop)
        self._thread.start()

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those already waiting.

        Raises ValueError for a payload too large, an id in use or a time limit that is not above 0.
        """
        if staying := [task for task in tasks if not task.may_travel]:
            if not self._is_home_started:
                self._is_home_started = True
                self._home.start()
                self._home_thread.start()
            self._home.submit(staying)
        if travelling := [task for task in tasks if task.may_travel]:
            self._broker.submit(travelling)

    def next_result(self, *, is_waiting: bool = True) -> TaskResult | None:
        """Block until a task has ended and return its result; None when `wake` was called or there is other news.

        With `is_waiting=False` it never blocks: None also where no task has ended. Raises EvoaeError, from then on,
        when nothing can run any more.
        """
        try:
            result = self._broker.results.get(is_waiting)
        except queue.Empty:
            return None
        if result is None and self._failure is not None:
            self.wake()
            if isinstance(self._failure, EvoaeError):
                raise self._failure
            raise RuntimeError("the loop of the engine failed") from self._failure
        return result

    def wake(self) -> None:
        """Make one `next_result` return None. Safe to call from a signal handler."""
        self._broker.results.put(None)

    def resize(self, n: int) -> None:
        """Have `n` workers from now on. Raises UsageError for less than 1."""
        if n < 1:
            raise UsageError(f"{n} workers can run nothing; ask for at least 1")
        self._n_asked = n
        self._soon(_nothing)

    def take_losses(self) -> list[WorkerLoss]:
        """The workers lost since the last call, in order."""
        with self._lock:
            losses = list(self._losses)
            self._losses.clear()
        return [*losses, *self._home.take_losses()]

    def take_news(self) -> list[str]:
        """What people should know of the cluster since the last call."""
        with self._lock:
            news = list(self._news)
            self._news.clear()
        return news

    def withdraw(self) -> int:
        """Take back every task that no worker runs, and say how many; they give no result."""
        return self._broker.withdraw() + self._home.withdraw()

    def view(self) -> EngineView:
        """What is going on now."""
        now = self._clock()
        counts, home = self._broker.counts(), self._home.view()
        return EngineView(
            workers=(
                *(_view(hand, self._device, now) for hand in self._hands.values()),
                *(worker for worker in home.workers if worker.task),
            ),
            n_workers=self._n_wanted,
            n_queued=counts.n_queued + home.n_queued,
            n_leased=counts.n_leased + home.n_leased,
            n_done=counts.n_done + home.n_done,
            n_lost_leases=counts.n_lost_leases + home.n_lost_leases,
            paused_s=self._paused_s,
            n_late_results=counts.n_late + counts.n_duplicate + counts.n_unknown + home.n_late_results,
        )

    def stop(self) -> None:
        """End all workers at once, whatever they run, and leave the cluster. Idempotent."""
        if self._is_stopped:
            return
        self._is_stopped = True
        atexit.unregister(self.stop)
        self._soon(_nothing)
        if self._thread.ident is not None:
            self._thread.join(_GOODBYE_S)
        self._home.stop()
        self._home.wake()

    def __enter__(self) -> "RayEngine":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---- what runs here ----

    def _bring_home(self) -> None:
        """Put the results of what runs here among the others."""
        while not self._is_stopped:
            try:
                result = self._home.next_result()
            except EvoaeError as error:
                self._fail(error)
                return
            # None: a worker here was lost, or this is the end.
            self._broker.results.put(result)

    # ---- the loop ----

    def _soon(self, do: Callable[[], None]) -> None:
        """Have the loop do something, from any thread."""
        self._inbox.put(do)

    def _run(self) -> None:
        try:
            self._cluster.connect()
            while not self._is_stopped:
                self._look()
                self._feed()
                self._wait()
        except Exception as error:
            self._fail(error)
        finally:
            for hand in self._hands.values():
                with contextlib.suppress(Exception):
                    self._cluster.dismiss(hand.actor)
            self._cluster.leave()

    def _wait(self) -> None:
        """Wait until something has happened, or is due, and do all that has."""
        deadline = self._broker.next_deadline()
        since = self._clock()
        patience_s = max(0.0, min(self._look_at, math.inf if deadline is None else deadline) - since)
        todo: list[Callable[[], None]] = []
        with contextlib.suppress(queue.Empty):
            todo.append(self._inbox.get(timeout=patience_s))
        if (gap_s := self._clock() - since) > patience_s + LOOK_S:
            self._forgive(gap_s)
        with contextlib.suppress(queue.Empty):
            while True:
                todo.append(self._inbox.get_nowait())
        for do in todo:
            do()

    def _forgive(self, gap_s: float) -> None:
        """Count nothing of a time in which this process was stopped, and could hear nobody."""
        self._paused_s += gap_s
        self._broker.extend(gap_s)
        for hand in self._hands.values():
            hand.asked_at += gap_s

    @property
    def _device(self) -> str:
        """What an actor computes on: Ray shows it only the GPUs that it has."""
        return "cuda:0" if self._cluster.needs.gpus else "cpu"

    @property
    def _n_wanted(self) -> int:
        return self._n_asked if self._n_asked is not None else self._n_room

    def _look(self) -> None:
        """See what the cluster has, who is silent, and whose time is up."""
        now = self._clock()
        self._expire()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        room = self._cluster.room()
        if not room and not self._is_short:
            self._tell(
                f"Ray has no room for a worker, which needs {self._cluster.needs}: it has {self._cluster.described()}; "
                "waiting for nodes"
            )
        self._is_short = not room
        self._n_room = max(1, room)
        self._resize(now)
        for hand in list(self._hands.values()):
            if hand.state == "starting":
                continue
            if now - hand.asked_at > self._silence_s:
                self._lose(hand, Fate(f"no sign of life for {self._silence_s:g} s"))
            elif hand.asked_at == math.inf:
                hand.asked_at = now
                self._cluster.call(hand.actor.pulse, then=self._later(self._on_pulse, hand), group=PULSE)

    def _resize(self, now: float) -> None:
        staying = [hand for hand in self._hands.values() if hand.state != "draining"]
        # First those that are not there yet, then those that have nothing to do; in each case the latest first.
        rank = {"starting": 0, "idle": 1}
        staying.reverse()
        surplus = sorted(staying, key=lambda hand: rank.get(hand.state, 2))
        for hand in surplus[: max(0, len(staying) - self._n_wanted)]:
            if hand.lease is None:
                self._dismiss(hand)
            else:
                hand.state = "draining"
        if now >= self._hire_at:
            for _ in range(self._n_wanted - len(staying)):
                self._hire(now)

    def _hire(self, now: float) -> None:
        self._n_named += 1
        orders = Orders(
            runner=self._terms.runner,
            device=self._device,
            threads=self._terms.specs[0].threads,
            environ={name: value for name, value in os.environ.items() if name.startswith(_FOR_RUNNERS)},
            freight=self._terms.freight,
            make_files=self._terms.make_files,
        )
        hand = _Hand(f"ray-{self._n_named}", self._cluster.hire(orders), now)
        self._hands = {**self._hands, hand.name: hand}
        self._cluster.call(hand.actor.ready, then=self._later(self._on_ready, hand))

    def _dismiss(self, hand: _Hand) -> None:
        self._hands = {name: each for name, each in self._hands.items() if each is not hand}
        hand.state = "lost"
        self._cluster.dismiss(hand.actor)

    def _later(self, do: Callable[[_Hand, Any], None], hand: _Hand) -> Callable[[Any], None]:
        """What Ray calls when it knows: the loop then does the work, unless the actor is gone by then."""

        def then(found: Any) -> None:
            self._soon(lambda: do(hand, found) if hand.state != "lost" else None)

        return then

    def _feed(self) -> None:
        """Give tasks to actors that have none while there are both."""
        for hand in self._hands.values():
            if hand.state != "idle":
                continue
            lease = self._broker.lease(hand.name)
            if lease is None:
                return
            self._give(hand, lease)

    def _give(self, hand: _Hand, lease: Lease) -> None:
        parcel = self._terms.freight.pack(lease.task.payload)
        try:
            for fingerprint, path in parcel.inputs.items():
                if fingerprint not in self._files:
                    self._files[fingerprint] = self._cluster.keep(path)
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            self._broker.report(lease.id, Outcome.CRASHED, reason=reason, is_host_failure=True)
            return
        hand.lease, hand.parcel, hand.state = lease, parcel, "training"
        hand.begun_at, hand.progress = self._clock(), 0.0
        files = {fingerprint: self._files[fingerprint] for fingerprint in parcel.inputs}
        self._cluster.call(hand.actor.run, lease.id, parcel.payload, files, then=self._later(self._on_reply, hand))

    # ---- what Ray tells ----

    def _on_ready(self, hand: _Hand, found: Any) -> None:
        if isinstance(found, BaseException):
            self._bury(hand, fate_of(found))
            return
        ready: Ready = found
        if ready.evoae != __version__:
            raise UsageError(
                f"{ready.host} has evoae {ready.evoae}, and this host {__version__}; install the same on all nodes"
            )
        hand.ready = ready
        self._n_fruitless = 0
        hand.state = "idle"

    def _on_pulse(self, hand: _Hand, found: Any) -> None:
        if isinstance(found, BaseException):
            self._lose(hand, fate_of(found))
            return
        hand.asked_at = math.inf
        lease_id, share = found
        if hand.lease is not None:
            # Also where its call is still on its way there: the actor lives.
            self._broker.renew(hand.lease.id)
            if lease_id == hand.lease.id:
                hand.progress = share

    def _on_reply(self, hand: _Hand, found: Any) -> None:
        if isinstance(found, BaseException):
            self._lose(hand, fate_of(found))
            return
        reply: Reply = found
        lease, parcel = hand.lease, hand.parcel
        assert lease is not None
        assert parcel is not None
        if reply.is_host_failure and lease.attempt < MAX_FRUITLESS:
            # Another node may have what this one lacks.
            self._lose(hand, Fate(reply.reason))
            return
        hand.lease, hand.parcel = None, None
        self._n_fruitless = 0
        self._report(lease, parcel, reply)
        if reply.is_last or hand.state == "draining":
            self._dismiss(hand)
            self._look_at = 0.0
        else:
            hand.state = "idle"

    def _report(self, lease: Lease, parcel: Parcel, reply: Reply) -> None:
        """Keep what was made, and hand on what was found."""
        payload, reason = reply.payload, reply.reason
        outcome, is_host_failure = reply.outcome, reply.is_host_failure
        try:
            if reply.made is not None and parcel.output is not None:
                write_whole(parcel.output, reply.made)
            if payload:
                payload = self._terms.freight.unpack_result(payload, parcel)
        except (EvoaeError, OSError, ValueError) as error:
            outcome, payload, reason, is_host_failure = Outcome.CRASHED, b"", str(error), True
        self._broker.report(lease.id, outcome, payload, reason, is_host_failure=is_host_failure)

    def _lose(self, hand: _Hand, fate: Fate) -> None:
        """An actor is gone, or is ended since it is silent; its task is run again, or ends."""
        lease = hand.lease
        self._dismiss(hand)
        self._look_at = 0.0
        if lease is None:
            return
        if fate.is_out_of_memory:
            self._broker.report(lease.id, Outcome.OOM, reason=f"Ray: {fate.reason}")
            return
        self._broker.lose(hand.name, fate.reason, tell=lambda lost: self._keep_loss(hand, lost))

    def _bury(self, hand: _Hand, fate: Fate) -> None:
        """An actor has died before it had loaded. Raises EvoaeError where that is so again and again."""
        self._dismiss(hand)
        self._n_fruitless += 1
        # Others may still load elsewhere: that a node cannot, or is lost, does not end the search.
        is_hopeless = self._n_fruitless >= MAX_FRUITLESS * self._n_wanted
        if is_hopeless and not any(each.ready for each in self._hands.values()):
            raise EvoaeError(f"no worker can start on Ray; attempt {self._n_fruitless}: {fate.reason}")
        if self._n_fruitless >= MAX_FRUITLESS:
            self._hire_at = self._clock() + min(_LONGEST_PAUSE_S, 2.0 ** (self._n_fruitless - MAX_FRUITLESS))

    def _expire(self) -> None:
        """End what takes too long, and take back what was silent."""
        for lost in self._broker.expire(tell=self._tell_lost):
            hand = self._hands.get(lost.lease.worker)
            if hand is not None:
                self._dismiss(hand)
                self._look_at = 0.0

    def _tell_lost(self, lost: Lost) -> None:
        self._keep_loss(self._hands.get(lost.lease.worker), lost)

    def _keep_loss(self, hand: _Hand | None, lost: Lost) -> None:
        ready = None if hand is None else hand.ready
        loss = WorkerLoss(
            worker=lost.lease.worker if ready is None else f"{lost.lease.worker} on {ready.host}",
            pid=0 if ready is None else ready.pid,
            reason=lost.reason,
            log="",
            task=lost.lease.task.name,
            attempt=lost.lease.attempt,
            has_begun=lost.has_begun,
            is_last=lost.result is not None,
        )
        with self._lock:
            self._losses.append(loss)
        self.wake()

    def _tell(self, line: str) -> None:
        with self._lock:
            self._news.append(line)
        self.wake()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self.wake()


def _view(hand: _Hand, device: str, now: float) -> WorkerView:
    lease, ready = hand.lease, hand.ready
    return WorkerView(
        name=hand.name,
        device=device,
        hardware="" if ready is None else ready.hardware,
        pid=0 if ready is None else ready.pid,
        state=hand.state,
        task="" if lease is None else lease.task.name,
        running_s=0.0 if lease is None else max(0.0, now - hand.begun_at),
        progress=hand.progress if lease is not None else 0.0,
    )


def _nothing() -> None:
    """Only wakes the loop."""
