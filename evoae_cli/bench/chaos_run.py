"""The process that the faults happen to: an engine and its workers, and a thread that watches them and aims at them.

It reads its orders from standard input and prints its verdicts; whatever else is printed is a stray line.
"""

import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import msgspec

from evoae_cli.bench import mortal
from evoae_cli.bench.chaos_plan import MAX_FAULTS, Aim, Course, Ended, Part, Strike, Verdict, judge
from evoae_cli.broker.task import Task
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.engine.protocol import WorkerView

_LOOK_S = 0.002
_EARLY = 0.5
"""A worker is hit in the first part of its task, up to this share: before it can be done with it and begin another."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, one part after the other."""

    parts: tuple[Part, ...]
    workers: int
    heartbeat_interval_s: float
    heartbeat_timeout_s: float
    seed: int
    folder: str
    """For the journals."""


class Watcher:
    """Sees who works at what, and sends the signals that are due."""

    def __init__(self, engine: LocalEngine, part: Part, rng: Random) -> None:
        self._engine = engine
        self._rng = rng
        self._work_s = {deed.number: deed.work_s for deed in part.deeds}
        # Of each task: the faults that have come, and those that its own workers will do to themselves.
        self._n_faults = Counter({deed.number: len(deed.wounds) for deed in part.deeds})
        self._due = list(reversed(part.aims))
        # Second faults, by the task that they are meant for.
        self._again: dict[int, int] = {}
        self._hit: set[int] = set()
        self._n_read = 0
        self.strikes: list[Strike] = []
        self.seats: dict[str, list[int]] = {}
        self.born: dict[int, float] = {}
        self.ended: list[Ended] = []
        """Results so far. The thread that takes them appends, this one only reads."""

    def wait_until_ready(self) -> None:
        """Until each worker could take a task."""
        while not all(worker.state == "idle" for worker in self._look()):
            time.sleep(_LOOK_S)

    def watch(self) -> None:
        """Strike until no task is open any more, and each worker that was lost has been replaced."""
        while True:
            workers = self._look()
            self._strike(workers)
            # In this order: a task that ends meanwhile is seen with the next look.
            view = self._engine.view()
            if view.n_queued == view.n_leased == 0 and all(worker.state == "idle" for worker in view.workers):
                return
            time.sleep(_LOOK_S)

    def _look(self) -> tuple[WorkerView, ...]:
        workers = self._engine.view().workers
        now = time.monotonic()
        for worker in workers:
            if worker.pid and worker.pid not in self.born:
                self.born[worker.pid] = now
                self.seats.setdefault(worker.name, []).append(worker.pid)
        return workers

    def _strike(self, workers: tuple[WorkerView, ...]) -> None:
        self._give_up_on_what_has_ended()
        for worker in self._rng.sample(workers, len(workers)):
            if worker.state != "training" or worker.pid in self._hit:
                continue
            task = int(worker.task)
            if task not in self._work_s or worker.running_s > _EARLY * self._work_s[task]:
                continue
            if task in self._again:
                self._send(worker.pid, task, self._again.pop(task))
            elif self._due and self._due[-1].after <= len(self.ended) and self._n_faults[task] < MAX_FAULTS:
                room = MAX_FAULTS - self._n_faults[task]
                if self._due[-1].again is None or room == MAX_FAULTS:
                    aim = self._due.pop()
                    self._send(worker.pid, task, aim.signal)
                    if aim.again is not None:
                        self._again[task] = aim.again

    def _give_up_on_what_has_ended(self) -> None:
        """Where a task has ended before its second fault came, another gets it."""
        news = self.ended[self._n_read :]
        self._n_read += len(news)
        for one in news:
            if one.task in self._again:
                self._due.append(Aim(after=0, signal=self._again.pop(one.task)))

    def _send(self, pid: int, task: int, number: int) -> None:
        at = time.monotonic()
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            # Something else ended it; the fault is still to come.
            self._due.append(Aim(after=0, signal=number))
            return
        self._hit.add(pid)
        self._n_faults[task] += 1
        self.strikes.append(Strike(pid=pid, task=task, at=at, signal=number, place="from outside"))


def run_part(part: Part, orders: Orders) -> Verdict:
    """Run the tasks of one part to the end, and judge what came."""
    folder = Path(orders.folder, part.name)
    folder.mkdir()
    os.environ[mortal.FOLDER] = str(folder)
    engine = LocalEngine(
        [WorkerSpec(device="cpu", threads=1)] * orders.workers,
        mortal.RUNNER,
        heartbeat_interval_s=orders.heartbeat_interval_s,
        heartbeat_timeout_s=orders.heartbeat_timeout_s,
    )
    watcher = Watcher(engine, part, Random(orders.seed))
    with engine:
        watcher.wait_until_ready()
        submitted_at = time.monotonic()
        engine.submit(
            [Task(id=one.number, payload=msgspec.json.encode(one), name=str(one.number)) for one in part.deeds]
        )
        watching = threading.Thread(target=_watch_and_close, args=(watcher, engine, len(part.deeds)), daemon=True)
        watching.start()
        _collect(engine, watcher.ended, len(part.deeds))
        watching.join()
        n_dropped = engine.view().n_late_results
    course = Course(
        submitted_at=submitted_at,
        ended=tuple(watcher.ended),
        strikes=tuple(watcher.strikes),
        seats=watcher.seats,
        born=watcher.born,
        n_dropped=n_dropped,
    )
    return judge(part, course, mortal.read_journals(folder))


def _watch_and_close(watcher: Watcher, engine: LocalEngine, closing: int) -> None:
    watcher.watch()
    # All have ended, as the engine sees it: whatever has not come before this one's result never comes.
    deed = mortal.Deed(number=closing, work_s=0.0, n_reply=0)
    engine.submit([Task(id=closing, payload=msgspec.json.encode(deed), name=str(closing))])


def _collect(engine: LocalEngine, ended: list[Ended], closing: int) -> None:
    """Take all results up to that of the task `closing`."""
    while True:
        result = engine.next_result()
        if result is None:
            continue
        if result.task_id == closing:
            return
        ended.append(
            Ended(
                task=result.task_id,
                at=time.monotonic(),
                outcome=result.outcome,
                reason=result.reason,
                payload=result.payload,
                attempt=result.attempt,
            )
        )


def _end_all(error: threading.ExceptHookArgs) -> None:
    """End the process with a thread that failed: without it the tasks would be waited for for ever."""
    traceback.print_exception(error.exc_value)
    os._exit(1)


def main() -> None:
    """Follow the orders on standard input."""
    # Workers that crash on purpose leave no core files.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.excepthook = _end_all
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    print(msgspec.json.encode([run_part(part, orders) for part in orders.parts]).decode())


if __name__ == "__main__":
    main()
