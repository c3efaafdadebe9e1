"""Shows how far a command is with its images: a bar where the terminal can, else a line now and then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evoae_cli.app.console import can_redraw, say
from evoae_cli.app.lines import ticking
from evoae_cli.app.running import Show


@contextmanager
def counting(show: Show, what: str, n: int) -> Iterator[Callable[[], None]]:
    """Within it, the function that it gives is called after each of `n` pieces of work."""
    n_done = 0

    def count() -> None:
        nonlocal n_done
        n_done += 1

    if show.is_quiet:
        yield count
    elif can_redraw(show.console):
        # Loading what draws the bar would slow down every other command.
        from rich.progress import Progress

        with Progress(console=show.console, transient=True) as progress:
            task = progress.add_task(what, total=n)
            yield lambda: progress.advance(task)
    else:
        with ticking(lambda passed_s: say(show.console, f"{what}: {n_done} of {n}, {passed_s:.0f} s")):
            yield count
