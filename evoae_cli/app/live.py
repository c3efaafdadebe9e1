"""A live screen: draws in place, a few times a second, until the block ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import Segment

Draw = Callable[[int, int], RenderableType]
"""(columns, lines) -> what to show now, no larger than that."""

REFRESHES_PER_SECOND = 4
"""Times advance smoothly, and a slow connection keeps up."""


class _Screen(RenderHook):
    """Asks what to show each time it is drawn, so a changed window size is honoured too.

    Terminals that become narrower break the last frame's lines, and some tell the new width only some frames later, so
    that nobody can say how many rows to go back over. As a hook of the console this then clears the window once.
    """

    def __init__(self, console: Console, draw: Draw) -> None:
        self._console = console
        self._draw = draw
        self._frame_width = 0
        """Columns of the longest line of the last frame."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = self._draw(options.max_width, console.height)
        lines = console.render_lines(drawn, options.update(height=None), pad=False)
        self._frame_width = max(map(Segment.get_line_length, lines), default=0)
        for line in lines:
            yield from line
            yield Segment.line()

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Called by the console with what it is about to print."""
        if self._frame_width <= self._console.width or not self._console.is_terminal:
            return renderables
        self._frame_width = 0
        return [Control.clear(), Control.home(), *renderables]


@contextmanager
def live_screen(console: Console, draw: Draw) -> Iterator[None]:
    """Within the block the screen stands at the bottom of the terminal; what `console` prints appears above it."""
    screen = _Screen(console, draw)
    live = Live(
        screen,
        console=console,
        refresh_per_second=REFRESHES_PER_SECOND,
        transient=True,
        vertical_overflow="crop",
    )
    # Before Live's own hook, which puts its way back in front of what it is given.
    console.push_render_hook(screen)
    try:
        with live:
            yield
    finally:
        console.pop_render_hook()
