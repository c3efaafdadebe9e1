"""Plain lines for a log file or a pipe: one per evaluation, and one for whatever else a person should know."""

from typing import TYPE_CHECKING

from rich.console import Console

from evoae_cli.app.console import say, warn

if TYPE_CHECKING:
    from evoae_cli.study.study import StudyEvent


def write_event(console: Console, event: "StudyEvent") -> None:
    """Write what happened as one line."""
    if event.kind == "warning":
        warn(console, event.line)
    else:
        say(console, event.line)
