"""Where studies lie: names and folders. Free of torch, so that completion, `list` and `show` are quick."""

import os
from datetime import datetime
from pathlib import Path

from evoae_cli.errors import StudyError

DATABASE = "study.db"
SETTINGS = "study.toml"
LIVE = "live.json"
BEST = "best"


def runs_folder() -> Path:
    """The folder of named studies: `EVOAE_RUNS`, else `runs` below the current folder."""
    return Path(os.environ.get("EVOAE_RUNS") or "runs")


def is_study(folder: Path) -> bool:
    """Whether a study lies in this folder."""
    return (folder / DATABASE).is_file()


def study_path(name: str) -> Path:
    """The folder that a study's name means: a bare name lies under `runs/`, anything with a separator is a path.

    Raises StudyError for an empty name.
    """
    if not name.strip():
        raise StudyError("the study's name is empty; give a name or a folder")
    is_bare = os.sep not in name and name not in (".", "..") and not name.startswith("~")
    return runs_folder() / name if is_bare else Path(name).expanduser()


def list_studies() -> list[Path]:
    """All studies in the runs folder, the one started last first."""
    runs = runs_folder()
    if not runs.is_dir():
        return []
    studies = [folder for folder in runs.iterdir() if is_study(folder)]
    return sorted(studies, key=lambda folder: (_started_ns(folder), folder.name), reverse=True)


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
    for folder in (study_path(name), Path(name).expanduser()):
        if is_study(folder):
            return folder, False
    folder = study_path(name)
    if folder.exists():
        raise StudyError(f"{folder} is no study: it has no {DATABASE}")
    known = ", ".join(path.name for path in list_studies()[:5])
    raise StudyError(f"no study {name!r}; " + (f"there are: {known}" if known else "start one: evoae search denoise"))


def new_study_folder(name: str | None, objective: str, now: datetime | None = None) -> Path:
    """The folder for a new study, not yet made: `name`, else `runs/<objective>-<date>-<time>`.

    Raises StudyError if something is there already.
    """
    if name is not None:
        folder = study_path(name)
        if is_study(folder):
            raise StudyError(f"study {folder} exists; continue it: evoae resume {folder}, or choose another --study")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StudyError(f"--study {folder} exists and is no study; choose a new or empty folder")
        return folder
    stem = f"{objective}-{(now or datetime.now()).strftime('%Y%m%d-%H%M%S')}"
    folder, n = runs_folder() / stem, 2
    while folder.exists():
        folder, n = runs_folder() / f"{stem}-{n}", n + 1
    return folder
