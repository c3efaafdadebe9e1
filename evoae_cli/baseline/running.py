"""Which study of a comparison runs now: the others have ended, or wait for their turn."""

from pathlib import Path

from evoae_cli.baseline.plan import list_baselines, named_baseline
from evoae_cli.errors import StudyError
from evoae_cli.study.locate import list_studies, newest_first
from evoae_cli.study.lock import LOCK, lock_holder


def running_part(folder: Path) -> Path | None:
    """The study that a process runs in the comparison in `folder`, if any."""
    parts = sorted(lock.parent for lock in folder.glob(f"*/{LOCK}"))
    return next((part for part in parts if lock_holder(part) is not None), None)


def newest_running() -> Path | None:
    """The newest study that a process runs, also one of a comparison; None where none runs."""
    parts = [part for folder in list_baselines() if (part := running_part(folder)) is not None]
    studies = [folder for folder in list_studies() if lock_holder(folder) is not None]
    return next(iter(newest_first([*parts, *studies])), None)


def named_running_part(name: str) -> Path | None:
    """The study that runs in the comparison that `name` means; None where it means none.

    Raises StudyError for a comparison in which nothing runs.
    """
    folder = named_baseline(name)
    if folder is None:
        return None
    part = running_part(folder)
    if part is None:
        # Between two studies, and while other methods are measured, there is nobody to ask either.
        raise StudyError(
            f"no study of {folder} runs now; if its command has ended, go on with it: evoae resume {folder}"
        )
    return part
