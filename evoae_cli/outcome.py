"""How a task ended: the one word that science and plumbing share, so it lies below both."""

from enum import StrEnum


class Outcome(StrEnum):
    """How an evaluation ended. Only `OK` has a fitness above 0; the others are results too, which selection sees."""

    OK = "ok"
    DIVERGED = "diverged"
    """The loss became NaN or infinite."""
    OOM = "oom"
    """Memory ran out, also after one retry in smaller batches."""
    TIMEOUT = "timeout"
    """It took longer than allowed."""
    CRASHED = "crashed"
    """The code raised, or three workers were lost while they ran it."""
