"""Puts a finished file where a person wants it: checked beforehand, written whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.wholefile import writing_whole


def check_target(option: str, path: Path, suffix: str, *, is_forced: bool) -> None:
    """Raise UsageError unless the file `path`, given by `option`, may be written; it must end in `suffix`."""
    named = f"{option} {path}"
    try:
        if path.suffix.lower() != suffix:
            raise UsageError(f"{named}: the ending must be {suffix}")
        if path.is_dir():
            raise UsageError(f"{named} is a folder; name a file in it")
        if os.path.lexists(path) and not is_forced:
            what = "exists" if path.exists() else "is a link to nothing"
            raise UsageError(f"{named} {what}; add --force to overwrite it")
        parent = path.absolute().parent
        if not parent.is_dir():
            remedy = f"{path.parent} is a file; name a folder" if parent.is_file() else _missing(path.parent)
            raise UsageError(f"{named}: {remedy}")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise UsageError(f"{named}: no permission to write in {path.parent}; choose another folder")
    except OSError as error:
        raise UsageError(f"{named}: {error.strerror}; choose another file") from error


def deliver(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises what `delivering` raises."""
    with delivering(path) as aside:
        aside.write_bytes(content)


@contextmanager
def delivering(path: Path) -> Iterator[Path]:
    """The block fills the file that it is given, which then becomes `path`, whole or not at all.

    Raises UsageError if the folder cannot take it, EvoaeError for a full disk.
    """
    try:
        with writing_whole(path) as aside:
            yield aside
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another file") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            # Longer by what it is called while it is written.
            raise UsageError(f"cannot write {path}: {error.strerror}; choose a shorter one") from error
        raise EvoaeError(f"cannot write {path} ({error.strerror or error}); make room, or write elsewhere") from error


def _missing(folder: Path) -> str:
    return f"the folder {folder} does not exist; make it first"
