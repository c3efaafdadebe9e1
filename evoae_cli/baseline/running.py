"""What of a comparison runs now: one of its studies, or between two of them only its own process."""

from pathlib import Path

from evoae_cli.baseline.plan import list_baselines, named_baseline
from evoae_cli.errors import StudyError
from evoae_cli.study.locate import list_studies, newest_first
from evoae_cli.study.lock import LOCK, lock_holder


def running_part(folder: Path) -> Path | None:
    """The study that a process runs in the comparison in `folder`, if any."""
    parts = sorted(lock.parent for lock in folder.glob(f"*/{LOCK}"))
    return next((part for part in parts if lock_holder(part) is not None), None)


def running_in(folder: Path) -> Path | None:
    """The study that a process runs in the comparison in `folder`; the folder itself while it loads the next one or
    measures other methods; None where no process is at it.
    """
    part = running_part(folder)
    return folder if part is None and lock_holder(folder) is not None else part


def newest_running() -> Path | None:
    """The newest study that a process runs, or what runs in a comparison as `running_in` says; None where none does."""
    compared = [there for folder in list_baselines() if (there := running_in(folder)) is not None]
    studies = [folder for folder in list_studies() if lock_holder(folder) is not None]
    return next(iter(newest_first([*compared, *studies])), None)


def named_running(name: str) -> Path | None:
    """What runs in the comparison that `name` means, as `running_in` says; None where it means none.

    Raises StudyError for a comparison that no process runs.
    """
    folder = named_baseline(name)
    if folder is None:
        return None
    there = running_in(folder)
    if there is None:
        raise StudyError(f"no process runs {folder} now; go on with it: evoae resume {folder}")
    return there
