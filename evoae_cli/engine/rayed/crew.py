"""The workers of a Ray cluster: one loop that hires actors, gives them tasks, hears of them and replaces them.

Whatever Ray tells, in threads of its own, comes to the loop through an inbox, so all of its state has one owner.
"""

import contextlib
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Lease, Lost
from evoae_cli.engine.protocol import WorkerLoss, WorkerView, loss_of
from evoae_cli.engine.rayed.cluster import PULSE, Cluster, Fate, fate_of
from evoae_cli.engine.rayed.hand import Hand
from evoae_cli.engine.rayed.inside import Orders, Ready, Reply
from evoae_cli.engine.terms import Terms
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.hosts.freight import Parcel
from evoae_cli.outcome import Outcome
from evoae_cli.version import __version__
from evoae_cli.wholefile import write_whole

LOOK_S = 1.0
"""How often the cluster is asked what it has."""
MAX_FRUITLESS = 3
"""Actors in a row, for each worker that is wanted, that may die before they have loaded, before all is given up."""
_FOR_RUNNERS = "EVOAE_BENCH_"
"""Variables so named tell runners what to do, and go wherever these are."""
_GOODBYE_S = 10.0
_LONGEST_PAUSE_S = 60.0


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
        self._tell = tell
        self._on_failure = on_failure
        self._on_change = on_change
        self._clock = clock
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="evoae ray", daemon=True)
        # All mutable state. It belongs to the loop's thread, and is replaced as a whole where others read it, or is a
        # single value.
        self._hands: Mapping[str, Hand] = {}
        self._n_named = 0
        self._n_asked = terms.n_workers
        self._n_room = terms.n_workers or 1
        self._n_fruitless = 0
        self._hire_at = 0.0
        self._look_at = 0.0
        self._files: dict[str, Any] = {}
        self._is_short = False
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
        self._n_asked = n
        self.wake()

    def stop(self) -> None:
        """End all workers at once, and leave the cluster."""
        self._is_stopping = True
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(_GOODBYE_S)

    @property
    def n_wanted(self) -> int:
        """How many workers there are to be."""
        return self._n_asked if self._n_asked is not None else self._n_room

    def view(self) -> tuple[WorkerView, ...]:
        """All workers at this moment."""
        now = self._clock()
        return tuple(hand.view(self._device, now) for hand in self._hands.values())

    def _run(self) -> None:
        try:
            self._cluster.connect()
            while not self._is_stopping:
                self._look()
                self._feed()
                self._wait()
        except Exception as error:
            self._on_failure(self._cluster.explained(error))
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
        self.paused_s += gap_s
        self._broker.extend(gap_s)
        for hand in self._hands.values():
            hand.asked_at += gap_s

    @property
    def _device(self) -> str:
        """What an actor computes on: Ray shows it only the GPUs that it has."""
        return "cuda:0" if self._cluster.needs.gpus else "cpu"

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
        if self._n_room != max(1, room):
            self._n_room = max(1, room)
            self._on_change()
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
        for hand in surplus[: max(0, len(staying) - self.n_wanted)]:
            if hand.lease is None:
                self._dismiss(hand)
            else:
                hand.state = "draining"
        if now >= self._hire_at:
            for _ in range(self.n_wanted - len(staying)):
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
        hand = Hand(f"ray-{self._n_named}", self._cluster.hire(orders), now)
        self._hands = {**self._hands, hand.name: hand}
        self._cluster.call(hand.actor.ready, then=self._later(self._on_ready, hand))

    def _dismiss(self, hand: Hand) -> None:
        self._hands = {name: each for name, each in self._hands.items() if each is not hand}
        hand.state = "lost"
        self._cluster.dismiss(hand.actor)

    def _later(self, do: Callable[[Hand, Any], None], hand: Hand) -> Callable[[Any], None]:
        """What Ray calls when it knows: the loop then does the work, unless the actor is gone by then."""

        def then(found: Any) -> None:
            self._inbox.put(lambda: do(hand, found) if hand.state != "lost" else None)

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

    def _give(self, hand: Hand, lease: Lease) -> None:
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

    def _on_ready(self, hand: Hand, found: Any) -> None:
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

    def _lose(self, hand: Hand, fate: Fate) -> None:
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

    def _bury(self, hand: Hand, fate: Fate) -> None:
        """An actor has died before it had loaded. Raises EvoaeError where that is so again and again."""
        self._dismiss(hand)
        self._n_fruitless += 1
        # Others may still load elsewhere: that a node cannot, or is lost, does not end the search.
        is_hopeless = self._n_fruitless >= MAX_FRUITLESS * self.n_wanted
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

    def _keep_loss(self, hand: Hand | None, lost: Lost) -> None:
        ready, worker = None if hand is None else hand.ready, lost.lease.worker
        if ready is None:
            self._on_loss(loss_of(lost, worker=worker))
        else:
            self._on_loss(loss_of(lost, worker=f"{worker} on {ready.host}", pid=ready.pid))


def _nothing() -> None:
    """Only wakes the loop."""
