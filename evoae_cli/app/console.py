"""The two streams: stdout for the result, stderr for everything a person looks at meanwhile."""

import errno
import sys
from typing import IO, Any, TextIO, cast

from rich.console import Console


class HangupProof:
    """A text stream that swallows what can no longer be shown, once its terminal or reader is gone.

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
        try:
            call(*args)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EPIPE, errno.ENXIO):
                raise


def stderr_console() -> Console:
    """Where screens, lines, warnings and errors go. rich honours NO_COLOR, COLUMNS and TERM."""
    return Console(file=cast(IO[str], HangupProof(sys.stderr)), highlight=False)


def can_redraw(console: Console) -> bool:
    """Whether a screen can be drawn in place; otherwise plain lines are written."""
    return console.is_terminal and not console.is_dumb_terminal


def say(console: Console, text: str, style: str | None = None) -> None:
    """One line as it is: no markup, and never broken, so that paths can be copied; above a live screen if one runs."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def warn(console: Console, text: str) -> None:
    """One line that begins with `warning:`."""
    say(console, f"warning: {text}", "yellow")
