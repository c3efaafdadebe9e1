"""The lock that gives a study one writer."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from evoae_cli.errors import StudyError


class StudyLock:
    """`study.lock` beside the database: held while a process writes to the study, freed by the kernel when it ends.

    Raises StudyError with the holder's process id when another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "study.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise StudyError(
                f"study {folder} is in use by process {holder}; wait for it to end, "
                f"or watch it: evoae show {folder} --watch"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
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
    path = folder / "study.lock"
    if not path.exists():
        return None
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = file.read().strip()
            return int(text) if text.isdigit() else 0
    return None
