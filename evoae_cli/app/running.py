"""Runs a study for a person: shows it while it runs, honours Ctrl-C, ends with the result and the exit code."""

import json
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from evoae_cli.app.closing import closing
from evoae_cli.app.common import command_line
from evoae_cli.app.console import can_redraw, say, warn
from evoae_cli.app.lines import SILENCE_S, Narrator, ticking, write_event
from evoae_cli.app.live import live_screen
from evoae_cli.app.screen import render
from evoae_cli.app.signals import exit_code, interruptible

if TYPE_CHECKING:
    from evoae_cli.study.study import Study, StudyEvent, StudyResult


@dataclass(frozen=True)
class Show:
    """How a command speaks while it works."""

    console: Console
    is_quiet: bool
    is_json: bool

    @contextmanager
    def preparing(self, what: str) -> Iterator[None]:
        """Say that something takes a while: a spinner where the terminal can, else lines that count the seconds."""
        if self.is_quiet:
            yield
        elif can_redraw(self.console):
            with self.console.status(what):
                yield
        else:
            say(self.console, what)
            with ticking(lambda passed_s: say(self.console, f"{what}: {passed_s:.0f} s")):
                yield

    def say(self, text: str, style: str | None = None) -> None:
        """One line on stderr, unless all is to be quiet."""
        if not self.is_quiet:
            say(self.console, text, style)

    def warn(self, text: str) -> None:
        """One warning on stderr, always."""
        warn(self.console, text)

    def open_page(self, path: Path) -> None:
        """Open a page in the browser, or warn that there is none."""
        if not webbrowser.open(path.absolute().as_uri()):
            self.warn(f"no browser could be opened; open {path} yourself")


@dataclass(frozen=True)
class Delivered:
    """What became of the images that a study was to clean at its end."""

    report: dict[str, Any]
    """As `evoae denoise --json` prints it."""
    is_whole: bool
    """Whether all of them were looked at: it was not interrupted."""
    has_failures: bool


Deliver = Callable[[Path, Callable[[], bool]], Delivered]
"""Takes the folder of the model, and what says whether to stop."""


def run_study(
    study: "Study", show: Show, limit_s: float | None, deliver: Deliver | None = None, *, is_opened: bool = False
) -> int:
    """Run `study` to its end, its time limit or the first Ctrl-C, and print the result. Returns the exit code.

    Unless it was interrupted, its page is written, and opened if `is_opened`, and `deliver` is what remains to be done
    with its model.
    """
    from evoae_cli.page.write import page_of_failure

    delivered, page = None, None
    with interruptible(study.request_stop, study.kill) as interruption:
        with page_of_failure(study.folder, show.warn, lambda path: show.say(f"report: {path}")):
            result = shown(study, show, limit_s)
        # Until the result is out, a late Ctrl-C must not tear it.
        if result.state != "interrupted":
            page = _page(result.folder, show)
        _say_end(result, show, page)
        if deliver is not None and result.model is not None and result.state != "interrupted":
            delivered = deliver(result.model, lambda: interruption.signum is not None)
        _print_result(result, show, delivered, page)
    if is_opened and page is not None:
        show.open_page(page)
    if result.state == "interrupted" or (delivered is not None and not delivered.is_whole):
        # `evoae stop` acts as Ctrl-C.
        return exit_code(interruption.signum or signal.SIGINT)
    return 1 if result.state == "failed" or (delivered is not None and delivered.has_failures) else 0


def shown(study: "Study", show: Show, limit_s: float | None = None) -> "StudyResult":
    """Run `study` to its end, and show it while it runs."""
    is_live = not show.is_quiet and can_redraw(show.console)
    screen: AbstractContextManager[None] = nullcontext()
    narrator: Narrator | None = None
    if is_live:
        screen = live_screen(show.console, lambda width, height: render(study.snapshot(), width, height))
    elif not show.is_quiet:
        narrator = Narrator(show.console, study.snapshot)
        narrator.tick(0)
        # Each tick tells what is new, which is nothing most of the time.
        screen = ticking(narrator.tick, repeat(SILENCE_S))
    with screen:
        return study.run(_listener(show, narrator), limit_s=limit_s)


def _listener(show: Show, narrator: Narrator | None) -> "Callable[[StudyEvent], None]":
    """What to do with each event. The live screen, which needs no `narrator`, shows all but warnings by itself."""

    def hear(event: "StudyEvent") -> None:
        if narrator is not None:
            narrator.before_event()
        if event.kind == "warning" or narrator is not None:
            write_event(show.console, event)

    return hear


def _page(folder: Path, show: Show) -> Path | None:
    from evoae_cli.page.write import renew_page

    return renew_page(folder, show.warn)


def _say_end(result: "StudyResult", show: Show, page: Path | None) -> None:
    if result.state == "interrupted":
        resume = command_line("evoae", "resume", result.folder)
        show.say(f"interrupted; all finished evaluations are stored. Continue with: {resume}")
    elif result.model is None:
        say(show.console, f"evoae: no candidate could be trained; see: evoae show {result.folder} --history", "red")
    elif not show.is_quiet:
        show.console.print(closing(result.summary, result.folder, show.console.width, page), soft_wrap=True)


def _print_result(result: "StudyResult", show: Show, delivered: Delivered | None, page: Path | None) -> None:
    if show.is_json:
        more: dict[str, Any] = {} if page is None else {"report": str(page)}
        more |= {} if delivered is None else {"denoised": delivered.report}
        _print(json.dumps(result.summary | more))
    elif result.model is not None and result.state != "interrupted":
        _print(str(result.model))


def _print(result: str) -> None:
    sys.stdout.write(result + "\n")
    sys.stdout.flush()
