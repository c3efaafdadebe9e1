"""Puts a finished file where a person wants it: checked beforehand, written whole or not at all."""

import errno
import os
from pathlib import Path

from evoae_cli.errors import EvoaeError, ImageError, UsageError
from evoae_cli.evaluation.folder import files_below
from evoae_cli.evaluation.readers import SUFFIXES
from evoae_cli.wholefile import write_whole


def check_target(option: str, path: Path, suffix: str, *, is_forced: bool) -> None:
    """Raise UsageError unless the file `path`, given by `option`, may be written; it must end in `suffix`."""
    named = f"{option} {path}"
    try:
        if path.suffix.lower() != suffix:
            raise UsageError(f"{named}: the ending must be {suffix}")
        if path.is_dir():
            raise UsageError(f"{named} is a folder; name a file in it")
        if path.exists() and not is_forced:
            raise UsageError(f"{named} exists; add --force to overwrite it")
        parent = path.absolute().parent
        if not parent.is_dir():
            remedy = f"{path.parent} is a file; name a folder" if parent.is_file() else _missing(path.parent)
            raise UsageError(f"{named}: {remedy}")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise UsageError(f"{named}: no permission to write in {path.parent}; choose another folder")
    except OSError as error:
        raise UsageError(f"{named}: {error.strerror}; choose another file") from error


def deliver(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises UsageError if the folder cannot take it, EvoaeError for a full disk."""
    try:
        write_whole(path, content)
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another file") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            # Longer by what it is called while it is written.
            raise UsageError(f"cannot write {path}: {error.strerror}; choose a shorter one") from error
        raise EvoaeError(f"cannot write {path} ({error.strerror or error}); make room, or write elsewhere") from error


def named_images(inputs: list[Path]) -> dict[str, Path]:
    """The images that `inputs` stand for, by name: of a file its own, of a folder's files the path below the folder.

    Raises ImageError for what is missing or no image, for a folder without images, and where two have one name.
    """
    found: dict[str, Path] = {}
    for given in inputs:
        try:
            images = _images_of(given)
        except OSError as error:
            raise ImageError(f"{given}: {error.strerror}; name images, or folders with images") from error
        for name, path in images.items():
            if name in found:
                raise ImageError(f"{found[name]} and {path} would both be called {name}; name the folder around them")
            found[name] = path
    return found


def _images_of(given: Path) -> dict[str, Path]:
    if given.is_dir():
        names = [name for name in files_below(given) if Path(name).suffix.lower() in SUFFIXES]
        if not names:
            raise ImageError(f"{given} holds no image; use {_KINDS}")
        return {name: given / name for name in names}
    if not given.exists():
        raise ImageError(f"{given} does not exist; name images, or folders with images")
    if given.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{given}: the ending {given.suffix!r} is not known; use {_KINDS}")
    return {given.name: given}


_KINDS = ", ".join(sorted(SUFFIXES))


def _missing(folder: Path) -> str:
    return f"the folder {folder} does not exist; make it first"
