"""A coordinator that is killed where its orders say, and a runner whose workers note what they begin, for a benchmark.

All is the real study; at one point a real method is wrapped, so that its n-th call ends the coordinator by SIGKILL.
What lies in a worker's hands is struck from there. The classical methods are not measured: they need longer than the
rest of so small a study, and no part of it depends on them.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.bench import hashed
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import EvaluationRequest, Request
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.evolution import Evolution
from evoae_cli.study import best, model
from evoae_cli.study.locate import BEST
from evoae_cli.study.resolve import resolve
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study, StudyEvent
from evoae_cli.wholefile import PART
from evoae_cli.worker import evaluation
from evoae_cli.worker.runner import Progress, Run, Start

_RUNNER = f"{__name__}:start"
ORDERS = "EVOAE_BENCH_RESUME"
"""The environment variable that brings the orders to the workers."""
_MIDDLE = 0.4
"""Share of a finalist's training, at least, after which it is struck."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a study: to its end, or to the point where it dies."""

    folder: str
    notes: str
    """An existing folder, of this run alone."""
    settings: dict[str, Any] | None
    """Of a new study; None resumes the one in the folder."""
    is_hashed: bool = False
    """Whether a candidate's fitness is its hash. Such a study has no weights, and is stopped after its search."""
    point: str | None = None
    """One of `POINTS`."""
    nth: int = 1
    """Which of the times that the point is reached is the last."""


class Trigger:
    """Counts how often a point is reached, by all processes of a run together, and kills the victim at the n-th."""

    def __init__(self, orders: Orders, victim: int) -> None:
        self._notes = Path(orders.notes)
        self._nth = orders.nth
        self._victim = victim

    def is_due(self) -> bool:
        """Count once more; whether this is the time."""
        return next(n for n in count(1) if self._is_first_to_count(n)) == self._nth

    def pull(self) -> None:
        """Kill the victim, and do nothing more: the signal may take a moment, or concern another process."""
        os.kill(self._victim, signal.SIGKILL)
        while True:
            signal.pause()

    def reached(self) -> None:
        """Count once more, and kill if this is the time."""
        if self.is_due():
            self.pull()

    def _is_first_to_count(self, n: int) -> bool:
        try:
            os.close(os.open(self._notes / f"reached-{n}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


Arm = Callable[[Trigger], None]


def _after(name: str, *owners: Any) -> Arm:
    """Strike when the function `name` of one of the owners has returned."""

    def arm_one(owner: Any, trigger: Trigger) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            trigger.reached()
            return result

        setattr(owner, name, wrapped)

    def arm(trigger: Trigger) -> None:
        for owner in owners:
            arm_one(owner, trigger)

    return arm


def _before_commit(name: str) -> Arm:
    """Strike when the store's method `name` has executed all of its transaction, and not yet committed it."""

    def arm(trigger: Trigger) -> None:
        original = getattr(Store, name)

        def wrapped(store: Store, *args: Any, **kwargs: Any) -> Any:
            if trigger.is_due():
                transaction = store._transaction
                setattr(store, "_transaction", lambda: _dying(transaction(), trigger))  # noqa: B010  (mypy: a method)
            return original(store, *args, **kwargs)

        setattr(Store, name, wrapped)

    return arm


@contextmanager
def _dying(transaction: AbstractContextManager[Any], trigger: Trigger) -> Iterator[Any]:
    with transaction as db:
        yield db
        trigger.pull()


def _before_renaming(folder: str) -> Arm:
    """Strike when a file of `folder` has been written aside, and not yet been given its name."""

    def arm(trigger: Trigger) -> None:
        original = Path.replace

        def replace(path: Path, target: Any) -> Path:
            if path.parent.name == folder and path.name.endswith(PART):
                trigger.reached()
            return original(path, target)

        setattr(Path, "replace", replace)  # noqa: B010  (mypy: a method)

    return arm


IN_COORDINATOR: dict[str, Arm] = {
    "before an evaluation is committed": _before_commit("append"),
    "after an evaluation is committed": _after("append", Store),
    "after tell": _after("tell", Evolution),
    "before a generation is committed": _before_commit("put_generation"),
    "after a generation is committed": _after("put_generation", Store),
    "between two files of best/": _after("write_whole", model, best),
    "before a file of best/ is renamed": _before_renaming(BEST),
}
WITHIN_FINALIST = "in the middle of a finalist's training"
IN_WORKERS: dict[str, Arm] = {
    "before an evaluation's weights are renamed": _before_renaming("weights"),
    # The runner itself looks out for this one.
    WITHIN_FINALIST: lambda trigger: None,
}
POINTS = (*IN_COORDINATOR, *IN_WORKERS)
"""What `Orders.point` may name."""


def start(device: str, threads: int) -> tuple[str, Run]:
    """A worker's start: that of real evaluations, or of hashes, with a file of notes that is locked while it lives."""
    orders = msgspec.json.decode(os.environ[ORDERS], type=Orders)
    # Not buffered: what was noted stays when the process is killed.
    notes = os.open(Path(orders.notes, f"{os.getpid()}.begun"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    fcntl.flock(notes, fcntl.LOCK_EX)
    begin: Start = hashed.start if orders.is_hashed else evaluation.start
    hardware, run = begin(device, threads)
    trigger = Trigger(orders, os.getppid())
    if orders.point in IN_WORKERS:
        IN_WORKERS[orders.point](trigger)

    def noting(payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
        request = msgspec.msgpack.decode(payload, type=Request)
        if not isinstance(request, EvaluationRequest):
            return hashed.run(payload, progress)
        os.write(notes, f"{request.stage} {request.genotype} {request.seed_index}\n".encode())
        if orders.point == WITHIN_FINALIST and request.stage == "final":
            progress = _striking(progress, trigger)
        return run(payload, progress)

    return hardware, noting


def _striking(progress: Progress, trigger: Trigger) -> Progress:
    has_passed = False

    def watched(share: float) -> None:
        nonlocal has_passed
        if share >= _MIDDLE and not has_passed:
            has_passed = True
            trigger.reached()
        progress(share)

    return watched


def begun(notes: Path) -> list[str]:
    """`stage genotype seed_index` of each evaluation that a worker of this run has begun."""
    return [line for path in sorted(notes.glob("*.begun")) for line in path.read_text().splitlines()]


def alive(notes: Path) -> list[int]:
    """Process ids of the workers of this run that still live, frozen ones included."""
    return [int(path.stem) for path in sorted(notes.glob("*.begun")) if _is_locked(path)]


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def follow(text: str, printed: str) -> None:
    """Be a coordinator: follow the orders, given as JSON, and print to the file `printed`. For a process of its own."""
    with open(printed, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ[ORDERS] = text
    orders = msgspec.json.decode(text, type=Orders)
    if orders.point in IN_COORDINATOR:
        IN_COORDINATOR[orders.point](Trigger(orders, os.getpid()))
    folder = Path(orders.folder)

    def note(event: StudyEvent) -> None:
        if orders.is_hashed and event.kind == "finalist":
            study.request_stop()

    try:
        if orders.settings is None:
            study = Study.open(folder, warn=_refuse, runner=_RUNNER)
        else:
            study = Study.create(resolve("denoise", orders.settings), folder, warn=_refuse, runner=_RUNNER)
        study.run(note)
    except EvoaeError as error:
        sys.exit(str(error))


def _refuse(warning: str) -> None:
    raise EvoaeError(f"the benchmark's images are not as expected: {warning}")
