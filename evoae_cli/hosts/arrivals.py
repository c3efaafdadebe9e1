"""Files that guests have made, on their way into their places: part by part, and never seen before they are whole."""

import contextlib
import os
import threading
from pathlib import Path

from evoae_cli.hosts import wire
from evoae_cli.wholefile import PART

MAX_OUTPUT = 1 << 32
"""Bytes of a file: more are no weights."""


class Arrivals:
    """The files of one guest's loans."""

    def __init__(self) -> None:
        # All mutable state, under the lock: by loan, the file that grows and how far it is.
        self._lock = threading.Lock()
        self._growing: dict[int, tuple[Path, int]] = {}

    def take(self, put: wire.Put, target: Path) -> wire.Answer:
        """Add a part to the file that will be `target`; a first part begins it anew.

        Raises OSError where it cannot be written.
        """
        # Hidden, as all that is not whole: a study that goes on clears such files away.
        part = target.with_name(f".{target.name}.{put.loan}{PART}")
        with self._lock:
            _, size = self._growing.get(put.loan, (part, 0))
            if put.offset not in (0, size):
                return wire.Refused("wrong", f"this part of the file begins at {put.offset}, not at {size}")
            if put.offset + len(put.data) > MAX_OUTPUT:
                return wire.Refused("wrong", f"a file of more than {MAX_OUTPUT} bytes")
            part.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "wb" if put.offset == 0 else "ab") as file:
                file.write(put.data)
                if put.is_last:
                    file.flush()
                    os.fsync(file.fileno())
            if put.is_last:
                os.replace(part, target)
                self._growing.pop(put.loan, None)
            else:
                self._growing[put.loan] = (part, put.offset + len(put.data))
        return wire.Taken()

    def forget(self, loan: int) -> None:
        """Drop what has come of a file that never became whole."""
        with self._lock:
            part, _ = self._growing.pop(loan, (None, 0))
            if part is not None:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
