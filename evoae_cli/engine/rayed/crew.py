"""The workers of a Ray cluster at work: one loop that gives them tasks, hears of them, and misses the silent.

Whatever Ray tells, in threads of its own, comes to the loop through an inbox, so all of its state has one owner.
"""

import contextlib
import math
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Lease, Lost
from evoae_cli.engine.protocol import WorkerLoss, WorkerView, loss_of
from evoae_cli.engine.rayed.cluster import PULSE, Cluster, Fate, fate_of
from evoae_cli.engine.rayed.hand import Hand
from evoae_cli.engine.rayed.inside import Reply
from evoae_cli.engine.rayed.roster import Roster
from evoae_cli.engine.terms import Terms
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.hosts.freight import Parcel
from evoae_cli.outcome import Outcome
from evoae_cli.version import __version__
from evoae_cli.wholefile import write_whole

LOOK_S = 1.0
"""How often the cluster is asked what it has."""
UNREACHABLE_S = 30.0
"""How long the head of the cluster may be unreachable: after 60 s Ray ends the process, without a word of ours."""
_GOODBYE_S = 60.0
_OWES_S = 2.0
"""An actor whose sign of life has been due for so long gets no task: its node may be gone."""


class Crew:
    """Actors of `cluster` that run the tasks of `broker`, from `start` to `stop`.

    An actor that gives no sign of life for `silence_s` is ended. `on_loss` gets each worker that is lost with a task,
    `tell` one line for people, `on_failure` the error after which nothing can run any more; `on_change` is called when
    the cluster has room for another number of workers. All are called from the loop's thread, and none may wait.
    """

    def __init__(
        self,
        terms: Terms,
        cluster: Cluster,
        broker: Broker,
        *,
        silence_s: float,
        on_loss: Callable[[WorkerLoss], None],
        tell: Callable[[str], None],
        on_failure: Callable[[Exception], None],
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = terms
        self._cluster = cluster
        self._broker = broker
        self._silence_s = silence_s
        self._on_loss = on_loss
        self._on_failure = on_failure
        self._clock = clock
        self._roster = Roster(terms, cluster, on_hired=self._welcome, on_change=on_change, tell=tell, clock=clock)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="evoae ray", daemon=True)
        # All mutable state. It belongs to the loop's thread; what others read is a single value.
        self._look_at = 0.0
        self._heard_at = 0.0
        """Until when all has been heard that was told: nobody is late at a later moment."""
        self._answered_at = 0.0
        self._files: dict[str, Any] = {}
        self._is_stopping = False
        self.paused_s = 0.0
        """Seconds in which this process was stopped."""

    def start(self) -> None:
        """Join the cluster and hire workers; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """Tell the loop that tasks were submitted, from any thread."""
        self._inbox.put(_nothing)

    def resize(self, n: int) -> None:
        """Have `n` workers from now on, from any thread."""
        self._roster.n_asked = n
        self.wake()

    def stop(self) -> None:
        """End all workers at once, and leave the cluster."""
        self._is_stopping = True
        self.wake()
        give_up_at = time.monotonic() + _GOODBYE_S
        # The next search of this process could not join a cluster before this one has left its own.
        while self._thread.is_alive() and time.monotonic() < give_up_at:
            self._thread.join(1.0)

    @property
    def n_wanted(self) -> int:
        """How many workers there are to be."""
        return self._roster.n_wanted

    @property
    def n_room(self) -> int:
        """How many the cluster has room for, at least 1."""
        return self._roster.n_room

    def view(self) -> tuple[WorkerView, ...]:
        """All workers at this moment."""
        now = self._clock()
        return tuple(hand.view(self._roster.device, now) for hand in self._roster.hands.values())

    def _run(self) -> None:
        # A Ray that is started here inherits it: when the terminal is closed, what runs is still finished.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            self._cluster.connect()
            self._answered_at = self._heard_at = self._clock()
            while not self._is_stopping:
                self._look()
                self._feed()
                self._wait()
        except Exception as error:
            self._on_failure(self._cluster.explained(error))
        finally:
            # Without its head the cluster would not hear of it.
            if self._cluster.answers():
                with contextlib.suppress(Exception):
                    self._roster.disband()
            self._cluster.leave()

    def _wait(self) -> None:
        """Wait until something has happened, or is due, and do all that has."""
        deadline = self._broker.next_deadline()
        begun_at = self._clock()
        patience_s = max(0.0, min(self._look_at, math.inf if deadline is None else deadline) - begun_at)
        todo: list[Callable[[], None]] = []
        with contextlib.suppress(queue.Empty):
            todo.append(self._inbox.get(timeout=patience_s))
        now = self._clock()
        if (gap_s := now - begun_at) > patience_s + LOOK_S:
            self.paused_s += gap_s
            self._excuse(gap_s)
        if (busy_s := begun_at - self._heard_at) > LOOK_S:
            # A slow disk, or a cluster that takes its time.
            self._excuse(busy_s)
        self._heard_at = now
        with contextlib.suppress(queue.Empty):
            while True:
                todo.append(self._inbox.get_nowait())
        for do in todo:
            do()

    def _excuse(self, gap_s: float) -> None:
        """Let nobody be late for a time in which this loop could hear nobody, the head of the cluster included."""
        self._answered_at += gap_s
        self._broker.extend(gap_s)
        for hand in self._roster.hands.values():
            hand.asked_at += gap_s
            hand.is_ready_by += gap_s

    def _look(self) -> None:
        """See whose time is up, who is silent, and what the cluster has. Raises EvoaeError where it is gone."""
        self._expire()
        if self._heard_at < self._look_at:
            return
        self._look_at = self._heard_at + LOOK_S
        self._ask_after(self._heard_at)
        if self._cluster.answers():
            self._answered_at = self._heard_at
            self._roster.adjust()
        elif self._heard_at - self._answered_at > UNREACHABLE_S:
            raise EvoaeError(
                f"the head of the Ray cluster has been out of reach for {UNREACHABLE_S:g} s; when it is well, resume"
            )

    def _ask_after(self, now: float) -> None:
        """Ask those that have loaded for a sign of life, and end those that owe one."""
        for hand in list(self._roster.hands.values()):
            if now > hand.is_ready_by:
                self._roster.bury(hand, f"{hand.host} has not loaded in {self._terms.timing.start_timeout_s:g} s")
            elif now - hand.asked_at > self._silence_s:
                self._lose(hand, Fate(f"no sign of life for {self._silence_s:g} s"))
            elif hand.state != "starting" and hand.asked_at == math.inf:
                hand.asked_at = now
                self._cluster.call(hand.actor.pulse, then=self._later(self._on_pulse, hand), group=PULSE)

    def _expire(self) -> None:
        """End what takes too long, and take back what was silent."""
        for lost in self._broker.expire(self._heard_at, tell=self._tell_lost):
            hand = self._roster.hands.get(lost.lease.worker)
            if hand is not None:
                self._roster.dismiss(hand)
                self._look_at = 0.0

    # ---- what actors are asked ----

    def _later(self, do: Callable[[Hand, Any], None], hand: Hand) -> Callable[[Any], None]:
        """What Ray calls when it knows: the loop then does the work, unless the actor is gone by then."""

        def then(found: Any) -> None:
            self._inbox.put(lambda: do(hand, found) if hand.state != "lost" else None)

        return then

    def _welcome(self, hand: Hand) -> None:
        self._cluster.call(hand.actor.arrive, then=self._later(self._on_arrival, hand))

    def _feed(self) -> None:
        """Give tasks to actors that have none while there are both."""
        for hand in self._roster.hands.values():
            if hand.state != "idle" or hand.is_fetching or self._heard_at - hand.asked_at > _OWES_S:
                continue
            lease = self._broker.lease(hand.name)
            if lease is None:
                return
            hand.lease, hand.parcel, hand.state = lease, self._terms.freight.pack(lease.task.payload), "training"
            hand.begun_at, hand.progress = self._clock(), 0.0
            parcel = hand.parcel
            self._cluster.call(
                hand.actor.run, lease.id, parcel.payload, list(parcel.inputs), then=self._later(self._on_reply, hand)
            )

    def _provide(self, hand: Hand, fingerprints: Sequence[str], parcel: Parcel) -> None:
        """Bring files to a node that lacks them. Raises OSError where one cannot be read here.

        The task that needs them goes back meanwhile: its time is not that of gigabytes on their way.
        """
        for fingerprint in fingerprints:
            if fingerprint not in self._files:
                self._files[fingerprint] = self._cluster.keep(parcel.inputs[fingerprint])
        self._broker.give_back(hand.name)
        hand.is_fetching = True
        files = {fingerprint: self._files[fingerprint] for fingerprint in fingerprints}
        self._cluster.call(hand.actor.fetch, files, then=self._later(self._on_files, hand))

    # ---- what actors tell ----

    def _on_arrival(self, hand: Hand, found: Any) -> None:
        if isinstance(found, BaseException):
            self._roster.bury(hand, fate_of(found).reason)
            return
        hand.arrival = arrival = found
        hand.node, hand.host = arrival.node, arrival.host
        if arrival.evoae != __version__:
            reason = f"it has evoae {arrival.evoae}, and this host {__version__}"
            if self._roster.bar(hand, reason):
                return
            raise UsageError(f"{arrival.host}: {reason}; install the same on all nodes")
        hand.is_ready_by = self._clock() + self._terms.timing.start_timeout_s
        self._cluster.call(hand.actor.load, then=self._later(self._on_load, hand))

    def _on_load(self, hand: Hand, found: Any) -> None:
        if isinstance(found, BaseException):
            self._roster.bury(hand, fate_of(found).reason)
        else:
            self._roster.begin(hand, found)

    def _on_files(self, hand: Hand, found: Any) -> None:
        if isinstance(found, BaseException):
            self._lose(hand, fate_of(found))
            return
        hand.is_fetching = False
        if hand.state == "draining":
            self._roster.dismiss(hand)
            self._look_at = 0.0
        elif found and not self._roster.bar(hand, found):
            raise EvoaeError(f"{found}; mend this and resume, nothing that was found is lost")

    def _on_pulse(self, hand: Hand, found: Any) -> None:
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

    def _on_reply(self, hand: Hand, found: Any) -> None:
        if isinstance(found, BaseException):
            self._lose(hand, fate_of(found))
            return
        reply: Reply = found
        lease, parcel = hand.lease, hand.parcel
        assert lease is not None
        assert parcel is not None
        if reply.lacks:
            try:
                self._provide(hand, reply.lacks, parcel)
            except OSError as error:
                reason = f"{error.filename}: {error.strerror}"
                self._broker.report(lease.id, Outcome.CRASHED, reason=reason, is_host_failure=True)
        elif reply.is_host_failure and self._roster.bar(hand, reply.reason):
            # It says nothing of the task, which another node may run.
            self._broker.lose(hand.name, reply.reason, has_begun=False, tell=lambda lost: self._keep_loss(hand, lost))
            self._look_at = 0.0
            return
        else:
            self._report(lease, parcel, reply)
        hand.lease, hand.parcel = None, None
        if reply.is_last or (hand.state == "draining" and not hand.is_fetching):
            self._roster.dismiss(hand)
            self._look_at = 0.0
        elif hand.state != "draining":
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

    def _lose(self, hand: Hand, fate: Fate) -> None:
        """An actor is gone, or is ended since it is silent; its task is run again, or ends."""
        lease = hand.lease
        self._roster.dismiss(hand)
        self._look_at = 0.0
        if lease is None:
            return
        if fate.is_out_of_memory:
            self._broker.report(lease.id, Outcome.OOM, reason=f"Ray: {fate.reason}")
            return
        self._broker.lose(hand.name, fate.reason, tell=lambda lost: self._keep_loss(hand, lost))

    def _tell_lost(self, lost: Lost) -> None:
        self._keep_loss(self._roster.hands.get(lost.lease.worker), lost)

    def _keep_loss(self, hand: Hand | None, lost: Lost) -> None:
        arrival, worker = None if hand is None else hand.arrival, lost.lease.worker
        if arrival is None:
            self._on_loss(loss_of(lost, worker=worker))
        else:
            self._on_loss(loss_of(lost, worker=f"{worker} on {arrival.host}", pid=arrival.pid))


def _nothing() -> None:
    """Only wakes the loop."""
