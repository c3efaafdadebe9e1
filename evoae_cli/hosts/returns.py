"""The way back: results of borrowed tasks, and the files that they made, to the host that lent them."""

import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple

import msgspec

from evoae_cli.broker.task import MAX_PAYLOAD, TaskResult
from evoae_cli.hosts import wire
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.freight import Freight
from evoae_cli.hosts.holdings import Holding, Holdings
from evoae_cli.hosts.line import Line, RefusedError
from evoae_cli.outcome import Outcome

_ROUND_AN_ENDING = 10_000
"""Bytes that an ending may take beside its payload: its log, above all."""
_MAX_LOG = 8000


class Rider(NamedTuple):
    """A result that rides with a poll."""

    holding: Holding
    result: TaskResult
    ending: wire.Ending


class Returns:
    """Hands what is in `outbox` back over `line`. One thread calls `step`.

    Results without a file ride with the next poll instead, where one is about to go: see `board`. `on_come` is called
    when results have come, `on_taken` with those that the other side has taken, or wants no more.
    """

    def __init__(
        self,
        outbox: "SimpleQueue[TaskResult | None]",
        holdings: Holdings,
        line: Line,
        freight: Freight,
        depot: Depot,
        *,
        on_come: Callable[[], None],
        on_taken: Callable[[list[TaskResult]], None],
    ) -> None:
        self._outbox = outbox
        self._holdings = holdings
        self._line = line
        self._freight = freight
        self._depot = depot
        self._on_come = on_come
        self._on_taken = on_taken
        # Results that are under way: if a step fails, the next one sends the same again.
        self._results: list[TaskResult] = []
        self.n_done = 0
        # Shared with the thread that polls, under the lock: what rides with its next poll, and whether that one waits
        # at the other side, so that nothing may wait for its return.
        self._lock = threading.Lock()
        self._session: bytes | None = None
        self._riders: list[Rider] = []
        self._is_poll_away = False

    def step(self) -> None:
        """Wait for results, and hand back all that have come.

        Raises what `Line.ask` raises, save where the other side wants them no more; they are kept then.
        """
        if not self._results:
            self._collect()
            is_riding = self._ride()
            self._on_come()
            if is_riding:
                return
        by_session: dict[bytes, list[tuple[Holding, TaskResult]]] = {}
        for result in self._results:
            holding = self._holdings.known(result.task_id)
            if holding is not None:
                by_session.setdefault(holding.session, []).append((holding, result))
        for session, pairs in by_session.items():
            try:
                endings = [self._sent(holding, result) for holding, result in pairs]
                self._line.ask(wire.Report(session, endings), wire.Taken)
            except RefusedError as error:
                # A late one, of a session that has ended: it was counted there. A poll finds the same out.
                if error.kind != "unknown":
                    raise
        results, self._results = self._results, []
        self._forget(results)

    def board(self, session: bytes, *, is_waiting: bool) -> list[Rider]:
        """What rides with a poll of this session that goes now; what ended in another one is reported to that.

        With `is_waiting` the poll waits at the other side, if nothing rides with it. To be followed by `landed`.
        """
        with self._lock:
            self._session = session
            late = [rider for rider in self._riders if rider.holding.session != session]
            riders = [rider for rider in self._riders if rider.holding.session == session]
            self._riders = []
            self._is_poll_away = is_waiting and not riders
        for rider in late:
            self._outbox.put(rider.result)
        return riders

    def landed(self, riders: list[Rider], *, is_taken: bool) -> None:
        """The poll has returned; what the other side has not taken rides with the next one."""
        with self._lock:
            self._is_poll_away = False
            if not is_taken:
                self._riders = [*riders, *self._riders]
        if is_taken:
            self._forget([rider.result for rider in riders])

    def _ride(self) -> bool:
        """Have what was collected ride with the next poll, if there is one to go, and room; whether it does."""
        riders = []
        for result in self._results:
            holding = self._holdings.known(result.task_id)
            if holding is not None:
                ending, has_file = self._ending(holding, result)
                if has_file:
                    return False
                riders.append(Rider(holding, result, ending))
        with self._lock:
            n_bytes = sum(len(rider.ending.payload) + _ROUND_AN_ENDING for rider in (*self._riders, *riders))
            is_late = any(rider.holding.session != self._session for rider in riders)
            if self._is_poll_away or is_late or n_bytes > wire.MAX_MESSAGE // 2:
                return False
            self._riders += riders
        known = {rider.result.task_id for rider in riders}
        results, self._results = self._results, []
        self._forget([result for result in results if result.task_id not in known])
        return True

    def _collect(self) -> None:
        """Wait for a result; take as many as fit into one message."""
        room = wire.MAX_MESSAGE
        result = self._outbox.get()
        while result is not None:
            self._results.append(result)
            room -= len(result.payload) + _ROUND_AN_ENDING
            if room < MAX_PAYLOAD + _ROUND_AN_ENDING or len(self._results) == wire.MAX_TASKS:
                return
            try:
                result = self._outbox.get_nowait()
            except Empty:
                return

    def _forget(self, results: list[TaskResult]) -> None:
        if not results:
            return
        self._holdings.forget(result.task_id for result in results)
        self.n_done += sum(not result.is_host_failure for result in results)
        for result in results:
            with contextlib.suppress(OSError):
                self._depot.output(result.task_id).unlink(missing_ok=True)
        self._on_taken(results)

    def _sent(self, holding: Holding, result: TaskResult) -> wire.Ending:
        """A result as it travels, once the file that was made has gone before it."""
        ending, has_file = self._ending(holding, result)
        if has_file:
            try:
                self._send_file(holding)
            except RefusedError as error:
                if error.kind == "wrong":
                    return _refused(ending, str(error))
                # Nobody waits for it any more: without its file it is counted as late.
                if error.kind not in ("gone", "unknown"):
                    raise
            except OSError as error:
                return _refused(ending, f"what it has made cannot be read: {error.strerror or error}")
        return ending

    def _ending(self, holding: Holding, result: TaskResult) -> tuple[wire.Ending, bool]:
        """A result as it travels, and whether a file goes before it."""
        kind: wire.EndingKind = "reported"
        payload, has_file, reason = b"", False, result.reason
        if result.is_worker_loss:
            kind = "lost"
        elif result.is_host_failure:
            kind = "refused"
        elif result.outcome is Outcome.OOM:
            # Its owner may have more memory.
            kind, reason = "refused", result.reason or "out of memory"
        elif result.payload:
            try:
                payload, has_file = self._freight.pack_result(result.payload)
            except ValueError as error:
                kind, reason = "lost", f"its result cannot be sent: {error}"
        ending = wire.Ending(
            loan=holding.loan.id,
            kind=kind,
            outcome=result.outcome,
            payload=payload,
            reason=reason[:600],
            worker=result.worker[:200],
            run_s=max(0.0, result.run_s),
            log=result.log[-_MAX_LOG:],
        )
        return ending, has_file and holding.loan.has_output

    def _send_file(self, holding: Holding) -> None:
        offset, is_last = 0, False
        with open(self._depot.output(holding.local_id), "rb") as file:
            while not is_last:
                data = file.read(wire.MAX_CHUNK)
                is_last = len(data) < wire.MAX_CHUNK
                self._line.ask(wire.Put(holding.session, holding.loan.id, offset, data, is_last), wire.Taken)
                offset += len(data)


def _refused(ending: wire.Ending, reason: str) -> wire.Ending:
    """The same task, for others to run."""
    return msgspec.structs.replace(ending, kind="refused", payload=b"", reason=reason[:600])
