"""The worker processes of one host, for callers in any thread."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evoae_cli.broker.broker import Broker
from evoae_cli.engine.protocol import WorkerLoss, WorkerView
from evoae_cli.worker.dispatcher import Dispatcher
from evoae_cli.worker.lifeline import SIGNALS_OF_THE_TERMINAL
from evoae_cli.worker.seats import Seat, Seats
from evoae_cli.worker.spawn import spawn_context
from evoae_cli.worker.starter import Starter, Timing, WorkerSpec


class Pool:
    """One process for each spec to begin with, fed from `broker`, from construction to `stop`.

    `logs` is a folder for a log per worker; None for files without a name, gone with the pool. `on_failure` is called,
    from the pool's thread, with the error that ended the pool: an EvoaeError when no worker can start any more.
    `on_loss` is called likewise with each worker that is lost while it holds a task; it must not wait.

    Raises EvoaeError if the logs cannot be written.
    """

    def __init__(
        self,
        broker: Broker,
        specs: Sequence[WorkerSpec],
        runner: str,
        timing: Timing,
        *,
        logs: Path | None,
        on_failure: Callable[[Exception], None],
        on_loss: Callable[[WorkerLoss], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._on_failure = on_failure
        self._seats = Seats(specs, logs)
        for seat in self._seats.named.values():
            self._seats.open_log(seat)
        starter = Starter(spawn_context(), runner, timing)
        self._dispatcher = Dispatcher(broker, self._seats, starter, on_loss, clock)
        # A daemon, so that a coordinator that fails can end; its workers end with it.
        self._thread = threading.Thread(target=self._run, name="evoae dispatcher", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Tell the workers that tasks were submitted."""
        self._dispatcher.wake()

    def resize(self, n: int) -> None:
        """Have `n` workers from now on."""
        self._dispatcher.ask_for(n)

    def stop(self) -> None:
        """Kill all workers, wait until they are gone, and close everything. To be called once."""
        self._dispatcher.ask_to_stop()
        self._thread.join()
        self._dispatcher.close()
        self._seats.close()

    @property
    def paused_s(self) -> float:
        """Seconds in which this process was stopped while it had workers."""
        return self._dispatcher.paused_s

    def view(self) -> tuple[WorkerView, ...]:
        """All workers at this moment, also those that drain."""
        now = self._clock()
        return tuple(_view(seat, now) for seat in self._seats.named.values())

    def _run(self) -> None:
        # The terminal's signals are for the main thread, whose waiting they interrupt. Children are born with this
        # mask, among them the resource tracker of `multiprocessing`, which a SIGHUP would kill.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_OF_THE_TERMINAL)
        try:
            self._dispatcher.run()
        except Exception as error:
            self._on_failure(error)


def _view(seat: Seat, now: float) -> WorkerView:
    # Each value is read once: the dispatcher may change them meanwhile.
    worker = seat.worker
    if worker is None:
        return WorkerView(name=seat.name, device=seat.spec.device, pid=0, state="lost")
    state, running = worker.state, worker.running
    if seat.is_draining:
        state = "draining"
    elif running is not None and state == "idle":
        state = "training"
    return WorkerView(
        name=seat.name,
        device=seat.spec.device,
        hardware=worker.hardware,
        pid=worker.pid,
        state=state,
        task=running[0].task.name if running else "",
        running_s=max(0.0, now - running[1]) if running else 0.0,
        progress=worker.progress if running else 0.0,
    )
