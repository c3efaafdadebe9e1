"""The live screen in a window whose width changes."""

import io

from rich.console import Console
from test_screen import make_snapshot

from evoae_cli.app.live import live_screen
from evoae_cli.app.screen import render

CLEARED = "\x1b[2J"


def test_a_window_that_becomes_narrower_is_cleared_once_and_never_else() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=30, _environ={"TERM": "xterm"})
    written = console.file

    def draw() -> int:
        """Have a frame drawn, above it a line; returns how often the window was cleared so far."""
        console.print("a line above")
        return written.getvalue().count(CLEARED)  # type: ignore[attr-defined]

    with live_screen(console, lambda width, height: render(make_snapshot(), width, height)):
        assert draw() == 0
        console.width = 100
        assert draw() == 0
        console.width = 50
        assert [draw(), draw()] == [1, 1]
        console.width = 80
        assert draw() == 1
    assert "25.…B" in written.getvalue()  # type: ignore[attr-defined]
