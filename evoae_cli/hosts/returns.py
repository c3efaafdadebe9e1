"""The way back: results of borrowed tasks, and the files that they made, to the host that lent them."""

import contextlib
from collections.abc import Callable
from queue import Empty, SimpleQueue

from evoae_cli.broker.task import MAX_PAYLOAD, TaskResult
from evoae_cli.hosts import wire
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.freight import Freight
from evoae_cli.hosts.holdings import Holding, Holdings
from evoae_cli.hosts.line import Line, RefusedError

_ROUND_AN_ENDING = 10_000
"""Bytes that an ending may take beside its payload: its log, above all."""
_MAX_LOG = 8000


class Returns:
    """Hands what is in `outbox` back over `line`, in the order in which it ended. One thread calls `step`.

    `on_come` is called when results have come, `on_taken` with those that the other side has taken, or wants no more.
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

    def step(self) -> None:
        """Wait for results, and hand back all that have come.

        Raises what `Line.ask` raises, save where the other side wants them no more; they are kept then.
        """
        if not self._results:
            self._collect()
            self._on_come()
        by_session: dict[bytes, list[tuple[Holding, TaskResult]]] = {}
        for result in self._results:
            holding = self._holdings.known(result.task_id)
            if holding is not None:
                by_session.setdefault(holding.session, []).append((holding, result))
        for session, pairs in by_session.items():
            try:
                endings = [self._ending(holding, result) for holding, result in pairs]
                self._line.ask(wire.Report(session, endings), wire.Taken)
            except RefusedError as error:
                # A late one, of a session that has ended: it was counted there. A poll finds the same out.
                if error.kind != "unknown":
                    raise
        self._forget()

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

    def _forget(self) -> None:
        results, self._results = self._results, []
        self._holdings.forget(result.task_id for result in results)
        self.n_done += sum(not result.is_host_failure for result in results)
        for result in results:
            with contextlib.suppress(OSError):
                self._depot.output(result.task_id).unlink(missing_ok=True)
        self._on_taken(results)

    def _ending(self, holding: Holding, result: TaskResult) -> wire.Ending:
        """A result as it travels; the file that was made goes before it."""
        kind: wire.EndingKind = "reported"
        payload = b""
        if result.is_worker_loss:
            kind = "lost"
        elif result.is_host_failure:
            kind = "refused"
        elif result.payload:
            payload, has_file = self._freight.pack_result(result.payload)
            if has_file and holding.loan.has_output:
                self._send_file(holding)
        return wire.Ending(
            loan=holding.loan.id,
            kind=kind,
            outcome=result.outcome,
            payload=payload,
            reason=result.reason[:600],
            worker=result.worker[:200],
            run_s=max(0.0, result.run_s),
            log=result.log[-_MAX_LOG:],
        )

    def _send_file(self, holding: Holding) -> None:
        offset, is_last = 0, False
        with open(self._depot.output(holding.local_id), "rb") as file:
            while not is_last:
                data = file.read(wire.MAX_CHUNK)
                is_last = len(data) < wire.MAX_CHUNK
                self._line.ask(wire.Put(holding.session, holding.loan.id, offset, data, is_last), wire.Taken)
                offset += len(data)
