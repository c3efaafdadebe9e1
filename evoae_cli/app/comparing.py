"""Runs a comparison for a person: its studies one after the other, then what else is measured, its page, its result."""

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
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
from evoae_cli.baseline.plan import Plan, check_search, read_plan
from evoae_cli.baseline.sitting import Sitting
from evoae_cli.baseline.summary import baseline_summary, is_ended
from evoae_cli.errors import UsageError
from evoae_cli.study.resolve import EARLIER, resolve

if TYPE_CHECKING:
    from evoae_cli.study.study import Study


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
    comparison = _Comparison(folder, plan, show, place, is_retrying, changes)
    return run_hosted(place.hosting, resolve(plan.objective, EARLIER, plan.settings, changes), show, comparison.run)


def say_baseline(folder: Path, *, is_json: bool) -> None:
    """Print what the comparison in `folder` has come to."""
    found = baseline_summary(folder)
    text = json.dumps(found.as_json()) if is_json else "\n".join(baseline_lines(found, folder, result_width()))
    sys.stdout.write(text + "\n")


@dataclass(frozen=True)
class _Comparison:
    folder: Path
    plan: Plan
    show: Show
    place: Place
    is_retrying: bool
    changes: Mapping[str, Any]

    def run(self) -> int:
        """To its end, or to the first Ctrl-C; the exit code."""
        with Sitting(self.folder) as sitting:
            stopped_by = self._run_studies(sitting)
            if stopped_by is None:
                stopped_by = self._measure(sitting)
            if stopped_by is None:
                sitting.end()
        if stopped_by is not None:
            resume = command_line("evoae", "resume", self.folder)
            self.show.say(f"interrupted; all finished evaluations are stored. Continue with: {resume}")
            return exit_code(stopped_by)
        from evoae_cli.page.write import renew_pages

        for page in renew_pages(self.folder, self.show.warn):
            self.show.say(f"report: {page}")
        say_baseline(self.folder, is_json=self.show.is_json)
        return 0

    def _run_studies(self, sitting: Sitting) -> int | None:
        """Those that are left; the signal that stopped one, or None."""
        parts = self.plan.parts
        due = [
            (number, part)
            for number, part in enumerate(parts, start=1)
            if self.is_retrying or not is_ended(self.folder, part)
        ]
        for number, part in due:
            if sitting.is_stopping:
                return signal.SIGINT
            seed = f", seed {part.seed}" if self.plan.n_pairs > 1 else ""
            self.show.say(f"{number} of {len(parts)}: {part.title}{seed}", "bold")
            with self.show.preparing("loading PyTorch and the images"):
                from evoae_cli.baseline.studies import open_part

                study = open_part(
                    *(self.folder, self.plan, part),
                    warn=self.show.warn,
                    make_engine=self.place.make_engine(has_more=number < due[-1][0]),
                    is_retrying=self.is_retrying,
                    changes=self.changes,
                )
            stopped_by = self._run_study(study, sitting)
            if stopped_by is not None:
                return stopped_by
        return None

    def _run_study(self, study: "Study", sitting: Sitting) -> int | None:
        """To its end; the signal that stopped it, or None."""
        stop, kill = study.request_stop, study.kill
        with interruptible(stop, kill) as interruption, sitting.doing(stop, kill):
            result = shown(study, self.show)
        # `evoae stop` acts as Ctrl-C.
        return (interruption.signum or signal.SIGINT) if result.state == "interrupted" else None

    def _measure(self, sitting: Sitting) -> int | None:
        """What there is besides; the signal that stopped it, or None."""
        with self.show.preparing("preparing to measure"):
            from evoae_cli.baseline.rivals import Measurements, StoppedMeasuringError

            measurements = Measurements(self.folder, self.plan, warn=self.show.warn, changes=self.changes)
            due = measurements.due
        if not due:
            return None
        stop = measurements.stop
        with interruptible(stop, stop) as interruption, sitting.doing(stop, stop), measurements:
            for number, name in enumerate(due, start=1):
                with self.show.preparing(f"measuring {name}, {number} of {len(due)}"):
                    try:
                        measurements.measure(name)
                    except StoppedMeasuringError:
                        return interruption.signum or signal.SIGINT
        return None
