"""The lock that gives a study one writer."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from evoae_cli.errors import StudyError

LOCK = "study.lock"
_PATIENCE_S = 0.2
"""`lock_holder` of another process takes the lock for an instant; that must not refuse a writer."""


class StudyLock:
    """`study.lock` beside the database: held while a process writes to the study, freed by the kernel when it ends.

    Raises StudyError with the holder's process id when another process has it, and where the file system has no locks;
    OSError where the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._path = path = folder / LOCK
        was_there = path.exists()
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            self._file = path.open("a+")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_same_file(self._file.fileno(), path):
                    break
                # Its holder removed the file with the folder: what was locked is no longer the study's.
                self._file.close()
            except BlockingIOError:
                self._file.seek(0)
                holder = self._file.read().strip() or "unknown"
                self._file.close()
                if time.monotonic() > deadline:
                    raise StudyError(
                        f"study {folder} is in use by process {holder}; wait for it to end, "
                        f"or watch it: evoae show {folder} --watch"
                    ) from None
                time.sleep(_PATIENCE_S / 10)
            except OSError as error:
                self._file.close()
                if not was_there:
                    path.unlink(missing_ok=True)
                raise StudyError(
                    f"study {folder} cannot be locked ({error.strerror}): its file system has no flock, or it fails; "
                    "keep studies on another disk"
                ) from error
        self._file.seek(0)
        self._found = self._file.read()
        self._is_new = not was_there and not self._found
        status = os.fstat(self._file.fileno())
        self._times_ns = (status.st_atime_ns, status.st_mtime_ns)
        self._put(f"{os.getpid()}\n")

    def abandon(self) -> None:
        """Free the study, with the file as it was found: who is refused has changed nothing."""
        if self._is_new and _is_same_file(self._file.fileno(), self._path):
            self._path.unlink()
        elif not self._is_new:
            self._put(self._found)
            os.utime(self._file.fileno(), ns=self._times_ns)
        self.release()

    def _put(self, text: str) -> None:
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()

    def release(self) -> None:
        """Free the study for the next process. Idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_holder(folder: Path) -> int | None:
    """Process id of the process that writes to this study now, or None."""
    try:
        file = (folder / LOCK).open("r")
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read().strip()
            return int(text) if text.isdigit() else 0
        except OSError:
            # Where no lock can be had, no process has one.
            return None
    return None


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
