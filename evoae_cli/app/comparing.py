"""Runs a comparison for a person: shows it while it runs, honours Ctrl-C, ends with its page and its result."""

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evoae_cli.app.baselined import baseline_lines
from evoae_cli.app.common import command_line
from evoae_cli.app.console import result_width
from evoae_cli.app.engines import Place
from evoae_cli.app.hosting import run_hosted
from evoae_cli.app.running import Show, shown
from evoae_cli.app.signals import exit_code, interruptible
from evoae_cli.baseline.course import Attendant, run_comparison
from evoae_cli.baseline.plan import Part, Plan, check_search, read_plan
from evoae_cli.baseline.summary import baseline_summary, is_ended
from evoae_cli.errors import UsageError
from evoae_cli.study.resolve import EARLIER, resolve

if TYPE_CHECKING:
    from evoae_cli.engine.terms import MakeEngine
    from evoae_cli.study.study import Study, StudyResult


def run_baseline(
    folder: Path,
    show: Show,
    place: Place,
    *,
    is_retrying: bool = False,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Run what is left of the comparison in `folder`, and print what it has come to; returns the exit code.

    `place` is where its trainings run; what is compared with them runs here, where its milliseconds mean something.
    `is_retrying` and `changes` are what `Study.open` takes.
    """
    plan = read_plan(folder)
    check_search(plan)
    if place.hosting is not None and not is_retrying and all(is_ended(folder, part) for part in plan.parts):
        raise UsageError(f"all studies of {folder} have ended, so there is nothing that other hosts could help with")
    run = partial(_run, folder, plan, _Person(plan, show, place), is_retrying=is_retrying, changes=changes)
    return run_hosted(place.hosting, resolve(plan.objective, EARLIER, plan.settings, changes), show, run)


def say_baseline(folder: Path, *, is_json: bool) -> None:
    """Print what the comparison in `folder` has come to."""
    found = baseline_summary(folder)
    text = json.dumps(found.as_json()) if is_json else "\n".join(baseline_lines(found, folder, result_width()))
    sys.stdout.write(text + "\n")


class _Person(Attendant):
    """Someone at a terminal."""

    def __init__(self, plan: Plan, show: Show, place: Place) -> None:
        self.show = show
        # `evoae stop` acts as Ctrl-C.
        self.stopped_by: int = signal.SIGINT
        self._plan = plan
        self._place = place

    def make_engine(self, *, has_more: bool) -> "MakeEngine":
        return self._place.make_engine(has_more=has_more)

    def run(self, study: "Study") -> "StudyResult":
        return shown(study, self.show)

    def warn(self, text: str) -> None:
        self.show.warn(text)

    @contextmanager
    def opening(self, number: int, part: Part) -> Iterator[None]:
        seed = f", seed {part.seed}" if self._plan.n_pairs > 1 else ""
        self.show.say(f"{number} of {len(self._plan.parts)}: {part.title}{seed}", "bold")
        with self.show.preparing("loading PyTorch and the images"):
            yield

    def measuring(self, what: str) -> AbstractContextManager[None]:
        return self.show.preparing(what)

    @contextmanager
    def stoppable(self, stop: Callable[[], None], kill: Callable[[], None]) -> Iterator[None]:
        with interruptible(stop, kill) as interruption:
            yield
        self.stopped_by = interruption.signum or signal.SIGINT


def _run(folder: Path, plan: Plan, person: _Person, **how: Any) -> int:
    """To its end, or to the first Ctrl-C; the exit code."""
    show = person.show
    if not run_comparison(folder, plan, person, **how):
        resume = command_line("evoae", "resume", folder)
        show.say(f"interrupted; all finished evaluations are stored. Continue with: {resume}")
        return exit_code(person.stopped_by)
    from evoae_cli.page.write import renew_pages

    for page in renew_pages(folder, show.warn):
        show.say(f"report: {page}")
    say_baseline(folder, is_json=show.is_json)
    return 0
