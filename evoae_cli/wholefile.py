"""Files that are whole or absent, whatever happens while they are written."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"
"""Ending of what is being written; such a file that is left over is of no use."""


def write_whole(path: Path, content: bytes, *, is_synced: bool = True) -> None:
    """Write `content` so that `path` is never seen half-written: aside, synced, renamed.

    `is_synced=False` leaves out the syncs, for files that are renewed often and lost without harm. Raises OSError, and
    leaves no file of its own, where it cannot write.
    """
    with writing_whole(path, is_synced=is_synced) as aside:
        aside.write_bytes(content)


@contextmanager
def writing_whole(path: Path, *, is_synced: bool = True) -> Iterator[Path]:
    """The same for what is written piece by piece: the block fills the file that it is given, or raises."""
    # Two threads of one process may write the same file, so the process id alone is not enough.
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{PART}")
    try:
        yield aside
        if is_synced:
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if is_synced:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut: a renaming is safe only once its folder is synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
