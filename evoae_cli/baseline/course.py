"""The course of a comparison: its studies one after the other, then what else is measured."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evoae_cli.baseline.plan import Part, Plan, check_search
from evoae_cli.baseline.sitting import Sitting
from evoae_cli.baseline.summary import is_ended

if TYPE_CHECKING:
    from evoae_cli.engine.terms import MakeEngine
    from evoae_cli.study.study import Study, StudyResult


class Attendant(ABC):
    """Who has a comparison run: where its studies do, how they are shown, and what else than `evoae stop` ends them."""

    @abstractmethod
    def make_engine(self, *, has_more: bool) -> "MakeEngine":
        """What makes the engine of the next study; with `has_more` another one follows."""

    @abstractmethod
    def run(self, study: "Study") -> "StudyResult":
        """Run a study to its end, and show it."""

    @abstractmethod
    def warn(self, text: str) -> None:
        """Pass a warning on."""

    def opening(self, number: int, part: Part) -> AbstractContextManager[None]:
        """Within the block the study of `part`, the `number`th of all from 1 on, is loaded."""
        return nullcontext()

    def measuring(self, what: str) -> AbstractContextManager[None]:
        """Within the block this is done: `preparing to measure`, `measuring U-Net, 1 of 3`."""
        return nullcontext()

    def stoppable(self, stop: Callable[[], None], kill: Callable[[], None]) -> AbstractContextManager[object]:
        """Within the block what runs can be asked to stop, and be ended at once."""
        return nullcontext()


def run_comparison(
    folder: Path,
    plan: Plan,
    attendant: Attendant,
    *,
    is_retrying: bool = False,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """Run what is left of the comparison in `folder`, whose plan is `plan`; False where it was stopped before its end.

    `is_retrying` and `changes` are what `Study.open` takes. Raises StudyError where a process has it or its search is
    not where it was, and what `open_part` and `Measurements` raise.
    """
    check_search(plan)
    course = _Course(folder, plan, attendant, is_retrying, changes)
    with Sitting(folder) as sitting:
        if not (course.run_studies(sitting) and course.measure(sitting)):
            return False
        sitting.end()
    return True


@dataclass(frozen=True)
class _Course:
    folder: Path
    plan: Plan
    attendant: Attendant
    is_retrying: bool
    changes: Mapping[str, Any]

    def run_studies(self, sitting: Sitting) -> bool:
        """Those that are left; whether none of them was stopped."""
        due = [
            (number, part)
            for number, part in enumerate(self.plan.parts, start=1)
            if self.is_retrying or not is_ended(self.folder, part)
        ]
        for number, part in due:
            if sitting.is_stopping:
                return False
            with self.attendant.opening(number, part):
                study = self._open(part, has_more=number < due[-1][0])
            stop, kill = study.request_stop, study.kill
            with self.attendant.stoppable(stop, kill), sitting.doing(stop, kill):
                result = self.attendant.run(study)
            if result.state == "interrupted":
                return False
        return True

    def measure(self, sitting: Sitting) -> bool:
        """What there is besides; whether that was not stopped."""
        with self.attendant.measuring("preparing to measure"):
            from evoae_cli.baseline.rivals import Measurements, StoppedMeasuringError

            measurements = Measurements(self.folder, self.plan, warn=self.attendant.warn, changes=self.changes)
            due = measurements.due
        if not due:
            return True
        stop = measurements.stop
        with self.attendant.stoppable(stop, stop), sitting.doing(stop, stop), measurements:
            for number, name in enumerate(due, start=1):
                with self.attendant.measuring(f"measuring {name}, {number} of {len(due)}"):
                    try:
                        measurements.measure(name)
                    except StoppedMeasuringError:
                        return False
        return True

    def _open(self, part: Part, *, has_more: bool) -> "Study":
        from evoae_cli.baseline.studies import open_part

        return open_part(
            *(self.folder, self.plan, part),
            warn=self.attendant.warn,
            make_engine=self.attendant.make_engine(has_more=has_more),
            is_retrying=self.is_retrying,
            changes=self.changes,
        )
