"""The worker processes of one host, for callers in any thread."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evoae_cli.broker.broker import Broker
from evoae_cli.engine.protocol import WorkerView
from evoae_cli.errors import EvoaeError
from evoae_cli.worker.dispatcher import Dispatcher, Seat, Timing, WorkerSpec
from evoae_cli.worker.lifeline import SIGNALS_OF_THE_TERMINAL
from evoae_cli.worker.spawn import spawn_context


class Pool:
    """One process for each spec, fed from `broker`, from construction to `stop`.

    `logs` is a folder for a log per worker; None for files without a name, gone with the pool. `on_failure` is called,
    from the pool's thread, with the error that ended the pool: an EvoaeError when no worker can start any more.

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._on_failure = on_failure
        self._seats = [
            Seat(name, spec, _open_log(logs, name))
            for name, spec in ((f"worker-{number}", spec) for number, spec in enumerate(specs, 1))
        ]
        self._dispatcher = Dispatcher(broker, self._seats, runner, timing, spawn_context(), clock)
        # A daemon, so that a coordinator that fails can end; its workers end with it.
        self._thread = threading.Thread(target=self._run, name="evoae dispatcher", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Tell the workers that tasks were submitted."""
        self._dispatcher.wake()

    def stop(self) -> None:
        """Kill all workers, wait until they are gone, and close everything. To be called once."""
        self._dispatcher.ask_to_stop()
        self._thread.join()
        self._dispatcher.close()
        for seat in self._seats:
            os.close(seat.log)

    def view(self) -> tuple[WorkerView, ...]:
        """All workers at this moment."""
        now = self._clock()
        return tuple(_view(seat, now) for seat in self._seats)

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
    is_training = running is not None and state == "idle"
    return WorkerView(
        name=seat.name,
        device=seat.spec.device,
        hardware=worker.hardware,
        pid=worker.pid,
        state="training" if is_training else state,
        task=running[0].task.name if running else "",
        running_s=max(0.0, now - running[1]) if running else 0.0,
        progress=worker.progress if running else 0.0,
    )


def _open_log(folder: Path | None, name: str) -> int:
    """A descriptor to read and append; without a folder, of a file that has no name and leaves nothing behind."""
    if folder is None:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / f"{name}.log", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise EvoaeError(f"cannot write the workers' logs in {folder}: {error.strerror}") from error
