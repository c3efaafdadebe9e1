"""Which images the inputs of a command stand for, and where each result goes, checked before the first is written."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evoae_cli.applying.pixels import check_suffix
from evoae_cli.errors import ImageError, UsageError
from evoae_cli.evaluation.folder import files_below
from evoae_cli.evaluation.readers import SUFFIXES


@dataclass(frozen=True)
class Job:
    """One image file and where its result goes."""

    source: Path
    target: Path | None
    """None where nothing is to be written."""
    name: str
    """The file's path below the folder that was named, or its own name."""


def plan(inputs: Sequence[Path], out: Path | None, *, is_forced: bool = False, is_folder: bool = False) -> list[Job]:
    """The jobs for files and folders (searched recursively, hidden ones and what lies in `out` left out).

    One file goes to the file `out`, or into it if it is a folder or `is_folder` says so; several files and folders go
    into the folder `out`, those of a folder by their path below it. `out` None: nothing is to be written.

    Raises UsageError or ImageError, and has touched nothing, where an input is missing or holds no image, two results
    would be one file, a result would replace an input, or, unless `is_forced`, anything at all.
    """
    try:
        return _plan(inputs, out, is_forced=is_forced, is_folder=is_folder)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; choose another file") from error


def named_images(inputs: Sequence[Path]) -> dict[str, Path]:
    """The images that `inputs` stand for, by name: of a file its own, of a folder's files the path below the folder.

    Raises what `plan` raises, and ImageError where two have one name.
    """
    found: dict[str, Path] = {}
    for job in plan(inputs, None):
        if job.name in found:
            raise ImageError(
                f"{found[job.name]} and {job.source} would both be called {job.name}; name the folder around them"
            )
        found[job.name] = job.source
    return found


def _plan(inputs: Sequence[Path], out: Path | None, *, is_forced: bool, is_folder: bool) -> list[Job]:
    for path in inputs:
        if not path.exists():
            raise ImageError(f"{path} does not exist; name images, or folders with images")
    is_single = len(inputs) == 1 and inputs[0].is_file()
    if out is not None:
        is_folder = is_folder or not is_single or (out.is_dir() and out.suffix.lower() not in SUFFIXES)
    found = list(_unique(_found(inputs, out)))
    if out is None:
        return [Job(source, None, name) for source, name in found]
    jobs = [Job(source, out / name if is_folder else out, name) for source, name in found]
    if is_folder and out.exists() and not out.is_dir():
        raise UsageError(f"-o {out} is a file; several results go into a folder, name one")
    _check_distinct(jobs)
    _check_targets(jobs, out, is_forced=is_forced, is_folder=is_folder)
    return jobs


def _found(inputs: Sequence[Path], out: Path | None) -> Iterator[tuple[Path, str]]:
    """(file, name) of each image that the inputs stand for."""
    for path in inputs:
        if path.is_file():
            check_suffix(path)
            yield path, path.name
        elif path.is_dir():
            names = [name for name in files_below(path) if Path(name).suffix.lower() in SUFFIXES]
            if out is not None and path.resolve() in out.resolve().parents:
                # What lies there are an earlier run's results.
                names = [name for name in names if out.resolve() not in (path / name).resolve().parents]
            if not names:
                raise ImageError(f"{path} holds no image; name files or folders with PNG, JPEG, TIFF, WebP or NPY")
            yield from ((path / name, name) for name in names)
        else:
            raise ImageError(f"{path} is no file; name images or folders")


def _unique(found: Iterator[tuple[Path, str]]) -> Iterator[tuple[Path, str]]:
    """Without what was named twice, as a file and by its folder."""
    seen: set[tuple[str, str]] = set()
    for source, name in found:
        if (key := (os.path.realpath(source), name)) not in seen:
            seen.add(key)
            yield source, name


def _check_distinct(jobs: Sequence[Job]) -> None:
    by_target: dict[Path, Path] = {}
    for job in jobs:
        if job.target is None:
            continue
        if (other := by_target.setdefault(job.target, job.source)) != job.source:
            raise UsageError(
                f"{other} and {job.source} would both become {job.target}; denoise them one after the other"
            )
    for target in by_target:
        if inner := next((parent for parent in target.parents if parent in by_target), None):
            raise UsageError(
                f"{by_target[inner]} would become {inner}, which must be a folder for {by_target[target]}; "
                "denoise them one after the other"
            )


def _check_targets(jobs: Sequence[Job], out: Path, *, is_forced: bool, is_folder: bool) -> None:
    sources = {}
    for job in jobs:
        # A link to nothing in a folder is one unreadable file; that is told when its turn comes.
        with contextlib.suppress(OSError):
            status = job.source.stat()
            sources[status.st_dev, status.st_ino] = job.source
    present = []
    for job in jobs:
        target = job.target
        if target is None:
            continue
        if not is_folder:
            check_suffix(target)
        if target.exists():
            status = target.stat()
            if source := sources.get((status.st_dev, status.st_ino)):
                is_itself = "the image itself" if len(jobs) == 1 else f"the input {source}"
                raise UsageError(f"-o {target} is {is_itself}; choose another {'folder' if is_folder else 'file'}")
            if target.is_dir():
                raise UsageError(f"-o {target} is a folder; name a file in it")
            present.append(target)
    if present and not is_forced:
        more = f" (and {len(present) - 1} more)" if len(present) > 1 else ""
        raise UsageError(f"-o {present[0]} exists{more}; add --force to overwrite {'them' if more else 'it'}")
    for place in dict.fromkeys(job.target.parent for job in jobs if job.target is not None):
        _check_place(place, out, may_be_made=is_folder)


def _check_place(place: Path, out: Path, *, may_be_made: bool) -> None:
    """Raise UsageError unless files can be written in the folder `place`, which `may_be_made`."""
    nearest = place.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(f"-o {out}: {nearest if may_be_made else place} is a file; name a folder")
    if nearest != place.absolute() and not may_be_made:
        raise UsageError(f"-o {out}: the folder {place} does not exist; make it first")
    if not os.access(nearest, os.W_OK | os.X_OK):
        shown = place if nearest == place.absolute() else nearest
        raise UsageError(f"-o {out}: no permission to write in {shown}; choose another folder")
