"""The two streams: stdout for the result, stderr for everything a person looks at meanwhile."""

import contextlib
import os
import shutil
import sys
from typing import IO, Any, TextIO, cast

from rich.console import Console


class HangupProof:
    """A text stream that swallows what cannot be shown: its terminal or reader is gone, or the disk of a log is full.

    A study outlives a closed terminal (SIGHUP) long enough to store what runs; a failed write to
    the screen must not end it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or pretend to."""
        self._attempt(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, or pretend to."""
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @staticmethod
    def _attempt(call: Any, *args: Any) -> None:
        with contextlib.suppress(OSError):
            call(*args)


class ResultStream:
    """stdout as it is, which remembers that a write failed: so that is told apart from a bug, and from other disks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write. Raises OSError."""
        return int(self._attempt(self._stream.write, text))

    def flush(self) -> None:
        """Flush. Raises OSError."""
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _attempt(self, call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except OSError as error:
            self.error = error
            raise


def fill_streams() -> bool:
    """Put /dev/null where a standard stream was closed; returns whether stdout was open.

    Otherwise the next file that is opened, such as the study's database, would receive what is printed.
    """
    is_open = sys.stdout is not None
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (open until the process ends)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    return is_open


def let_go(stream: TextIO) -> None:
    """Send what `stream` still holds nowhere, if it cannot be written: the interpreter would try, and complain."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def stderr_console() -> Console:
    """Where screens, lines, warnings and errors go. rich honours NO_COLOR, COLUMNS and TERM."""
    return Console(file=cast(IO[str], HangupProof(sys.stderr)), highlight=False)


def result_width() -> int | None:
    """Columns of the terminal that shows stdout; None for a file or a pipe, which gets whole lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def can_redraw(console: Console) -> bool:
    """Whether a screen can be drawn in place; otherwise plain lines are written."""
    return console.is_terminal and not console.is_dumb_terminal


def say(console: Console, text: str, style: str | None = None) -> None:
    """One line as it is: no markup, and never broken, so that paths can be copied; above a live screen if one runs."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def warn(console: Console, text: str) -> None:
    """One line that begins with `warning:`."""
    say(console, f"warning: {text}", "yellow")
