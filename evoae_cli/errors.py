"""The errors evoae raises on purpose, told apart by what the reader can do about them.

Each message is one line for a person: it names the value seen and the remedy. Anything else that is raised is a bug.
"""

from typing import ClassVar


class EvoaeError(Exception):
    """The work could not be done, though it was asked for correctly: exit code 1."""

    exit_code: ClassVar[int] = 1


class BugError(EvoaeError):
    """A fault of evoae that ended one piece of the work, while the rest goes on; `trace` says where it lies."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


class UsageError(EvoaeError):
    """What was asked for cannot be done as asked; the person can change the command, setting or file: exit code 2."""

    exit_code: ClassVar[int] = 2


class GenotypeError(UsageError):
    """A text that describes no genotype, or one outside the search space."""


class ImageError(UsageError):
    """Images that are missing, unreadable, too few or of the wrong shape."""


class StudyError(UsageError):
    """A study that is missing, in use, of another version, or does not fit what was asked of it."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).splitlines() or [""])[0].strip() or type(error).__name__
