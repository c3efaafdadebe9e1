"""The sign of life of a worker, from a thread of its own, so that it goes on while an evaluation computes."""

import os
import threading
import time

from evoae_cli.worker.messages import HEARTBEAT


class Heart:
    """Writes a heartbeat every `interval_s` to `fd`; ends the process when nobody reads them any more."""

    def __init__(self, fd: int, interval_s: float) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._interval_s = interval_s
        # Lease id and share done, replaced as one value: the two threads never see half a change.
        self._now = (0, 0.0)

    def start(self) -> None:
        """Begin to beat."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def begin(self, lease_id: int) -> None:
        """From now on beats renew this lease."""
        self._now = (lease_id, 0.0)

    def progress(self, share: float) -> None:
        """Tell how much of the task is done, 0 to 1, with the next beat."""
        self._now = (self._now[0], share)

    def end(self) -> None:
        """The task is over: from now on beats only say that the worker lives."""
        self._now = (0, 0.0)

    def _beat(self) -> None:
        while True:
            try:
                os.write(self._fd, HEARTBEAT.pack(*self._now))
            except BlockingIOError:
                # The coordinator is stopped; it will find thousands of beats when it goes on.
                pass
            except OSError:
                # It is gone, and a worker never outlives it.
                os._exit(1)
            time.sleep(self._interval_s)
