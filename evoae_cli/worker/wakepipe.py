"""How any thread ends the wait of the one that waits for descriptors."""

import os
import threading


class WakePipe:
    """Readable from the first `wake` until `answer`; however many there are, one byte lies in the pipe."""

    def __init__(self) -> None:
        # All mutable state, under the lock: what is written and what is remembered of it never differ.
        self._lock = threading.Lock()
        self._is_woken = False
        self._is_closed = False
        self.fd, self._write_end = os.pipe()

    def wake(self) -> None:
        """Make `fd` readable, from any thread; nothing after `close`."""
        with self._lock:
            if not self._is_woken and not self._is_closed:
                self._is_woken = True
                os.write(self._write_end, b"\0")

    def answer(self) -> None:
        """Take the wake. What is looked at after this is at least as new as it; a later wake makes `fd` readable again.

        To be called only while `fd` is readable.
        """
        with self._lock:
            os.read(self.fd, 1)
            self._is_woken = False

    def close(self) -> None:
        """Close both ends."""
        with self._lock:
            self._is_closed = True
            os.close(self.fd)
            os.close(self._write_end)
