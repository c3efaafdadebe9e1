"""The streams: what is printed reaches stderr as it is, and a closed terminal ends nothing."""

import errno
import io
import os

import pytest
from rich.console import Console

from evoae_cli.app.console import HangupProof, ResultStream, can_redraw, say, warn


def test_a_line_is_neither_broken_nor_read_as_markup() -> None:
    console = Console(file=io.StringIO(), width=20)
    line = "Continue with: evoae resume runs/[bold]a-rather-long-name"
    say(console, line)
    warn(console, "odd")
    assert console.file.getvalue() == f"{line}\nwarning: odd\n"  # type: ignore[attr-defined]


class BrokenStream(io.StringIO):
    """Fails as a stream does whose other end has gone, or whose disk is full."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, text: str) -> int:
        raise OSError(self._number, os.strerror(self._number))

    def flush(self) -> None:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE, errno.ENOSPC])
def test_what_cannot_be_shown_on_a_terminal_or_a_full_disk_is_no_error(number: int) -> None:
    proof = HangupProof(BrokenStream(number))
    assert proof.write("text") == 4
    proof.flush()


def test_results_that_cannot_be_written_are_an_error_that_is_remembered() -> None:
    stream = ResultStream(BrokenStream(errno.ENOSPC))
    assert stream.error is None
    with pytest.raises(OSError, match="No space") as caught:
        stream.write("text")
    assert stream.error is caught.value
    with pytest.raises(OSError, match="No space"):
        stream.flush()


def test_a_screen_is_drawn_only_on_a_terminal_that_can_move_its_cursor() -> None:
    assert can_redraw(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}))
    assert not can_redraw(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}))
    assert not can_redraw(Console(file=io.StringIO(), _environ={"TERM": "xterm"}))
