"""The live screen: draws snapshots in place, a few times a second, until the block ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from evoae_cli.app.screen import render
from evoae_cli.study.snapshot import Snapshot

REFRESHES_PER_SECOND = 4
"""Times advance smoothly, and a slow connection keeps up."""


class _Screen:
    """Pulls a snapshot each time it is drawn, so a changed window size is honoured too."""

    def __init__(self, pull: Callable[[], Snapshot]) -> None:
        self._pull = pull

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield render(self._pull(), options.max_width, console.height)


@contextmanager
def live_screen(console: Console, pull: Callable[[], Snapshot]) -> Iterator[None]:
    """Within the block the screen stands at the bottom of the terminal; what `console` prints appears above it."""
    live = Live(
        _Screen(pull),
        console=console,
        refresh_per_second=REFRESHES_PER_SECOND,
        transient=True,
        vertical_overflow="crop",
    )
    with live:
        yield
