"""Where studies lie: names and folders. Free of torch, so that completion, `list` and `show` are quick."""

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from evoae_cli.errors import StudyError
from evoae_cli.marks import STUDY

DATABASE = STUDY
SETTINGS = "study.toml"
LIVE = "live.json"
BEST = "best"
START = "start.safetensors"
"""The weights that a training starts from, where it is not from scratch."""

_N_NAMED = 5
"""Studies that are named where one is not found."""
_LONGEST_NAME = 255
"""Bytes in the name of a file or folder, on the file systems of Linux and macOS."""


def runs_folder() -> Path:
    """The folder of named studies: `EVOAE_RUNS`, else `runs` below the current folder."""
    return Path(os.environ.get("EVOAE_RUNS") or "runs")


def is_study(folder: Path) -> bool:
    """Whether a study lies in this folder; False also where that may not be looked at."""
    return os.path.isfile(folder / DATABASE)


def study_path(name: str) -> Path:
    """The folder that a study's name means: a bare name lies under `runs/`, anything with a separator is a path; where
    there is none, as for `chance/uniform-0`, it is sought under `runs/` too.

    Raises StudyError for an empty name, or one that no file can have.
    """
    if not name.strip():
        raise StudyError("the study's name is empty; give a name or a folder")
    if not name.isprintable() and not os.path.lexists(name):
        raise StudyError(f"the study's name {name!r} holds what no line can show; choose another")
    is_bare = os.sep not in name and name not in (".", "..") and not name.startswith("~")
    folder = runs_folder() / name if is_bare else plain_path(name)
    if not os.path.lexists(folder) and is_study(inner := runs_folder() / name):
        folder = inner
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in folder.parts):
        raise StudyError(f"the name {name[:20]}... is too long; use at most {_LONGEST_NAME} bytes")
    return folder


def shortest_name(folder: Path) -> str:
    """The study's name where that is enough to find it, else its folder: for lines to copy."""
    if folder.name in ("", ".."):
        # As `.` has none: elsewhere the line would mean another folder.
        return str(folder.resolve())
    is_name = not folder.name.startswith("-") and study_path(folder.name) == folder
    return folder.name if is_name else str(folder)


def plain_path(name: str) -> Path:
    """`name` as a path, with a leading `~` replaced where its user is known, and kept as it is elsewhere."""
    return Path(os.path.expanduser(name))


def list_studies() -> list[Path]:
    """All studies in the runs folder, the one started last first. Raises StudyError if it may not be looked at."""
    return newest_first(folders_in_runs(is_study))


def newest_first(studies: Iterable[Path]) -> list[Path]:
    """Studies in the order in which they were started, the last one first."""
    return sorted(studies, key=lambda folder: (_started_ns(folder), folder.name), reverse=True)


def folders_in_runs(is_wanted: Callable[[Path], bool]) -> list[Path]:
    """What lies in the runs folder and is wanted, by name. Raises StudyError if it may not be looked at."""
    runs = runs_folder()
    if not os.path.isdir(runs):
        return []
    try:
        return sorted(folder for folder in runs.iterdir() if is_wanted(folder))
    except OSError as error:
        raise StudyError(f"cannot list {runs} ({error.strerror}); check its permissions") from error


def _started_ns(folder: Path) -> int:
    """When a study was started or last changed, in nanoseconds; 0 where its settings are missing."""
    try:
        return (folder / SETTINGS).stat().st_mtime_ns
    except OSError:
        return 0


def find_study(name: str | None) -> tuple[Path, bool]:
    """The folder of study `name`, or the newest where none is named; and whether it was chosen as the newest.

    Raises StudyError if there is none.
    """
    if name is None:
        studies = list_studies()
        if not studies:
            raise StudyError(f"no study in {runs_folder()}/; start one: evoae search denoise")
        return studies[0], True
    folder = study_path(name)
    for place in (folder, plain_path(name)):
        if is_study(place):
            return place, False
    try:
        (folder / DATABASE).stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise StudyError(f"{folder} cannot be looked at ({error.strerror}); check its permissions") from error
    if folder.exists():
        raise StudyError(f"{folder} is no study: it has no {DATABASE}")
    names = [path.name for path in list_studies()]
    known = ", ".join(names[:_N_NAMED]) + (f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else "")
    raise StudyError(f"no study {name!r}; " + (f"there are: {known}" if known else "start one: evoae search denoise"))


def new_study_folder(name: str | None, objective: str, now: datetime | None = None) -> Path:
    """The folder for a new study, not yet made: `name`, else `runs/<objective>-<date>-<time>`.

    Raises StudyError if something is there already, or may not be looked at.
    """
    if name is not None:
        folder = study_path(name)
        if is_study(folder):
            raise StudyError(f"study {folder} exists; continue it: evoae resume {folder}, or choose another --study")
        try:
            # A link to nothing is something, too.
            is_taken = os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir()))
        except OSError as error:
            raise StudyError(f"--study {folder} cannot be looked at ({error.strerror}); choose another") from error
        if is_taken:
            raise StudyError(f"--study {folder} exists and is no study; choose a new or empty folder")
        return folder
    stem = f"{objective}-{(now or datetime.now()).strftime('%Y%m%d-%H%M%S')}"
    folder, n = runs_folder() / stem, 2
    while os.path.lexists(folder):
        folder, n = runs_folder() / f"{stem}-{n}", n + 1
    return folder
