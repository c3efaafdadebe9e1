"""One study on disk: made, opened, run, stopped, watched."""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from evoae_cli.engine.local import local_engine
from evoae_cli.engine.protocol import Engine
from evoae_cli.engine.terms import MakeEngine, Terms
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.study.best import Best, BestWriter, write_best, write_history
from evoae_cli.study.config import MAX_WORKERS, StudyConfig
from evoae_cli.study.desk import Desk
from evoae_cli.study.expected import ExpectedTimes
from evoae_cli.study.ground import Ground, new_ground, old_ground
from evoae_cli.study.locate import BEST, DATABASE
from evoae_cli.study.model import WEIGHTS
from evoae_cli.study.orders import Order, obeying
from evoae_cli.study.proceedings import Proceedings, StopFlags, Stopped
from evoae_cli.study.publisher import Publisher
from evoae_cli.study.requests import weights_file
from evoae_cli.study.scoreboard import Scoreboard
from evoae_cli.study.snapshot import ArchitectureRow, Snapshot, State
from evoae_cli.study.store import HISTORY_END, Store
from evoae_cli.study.summary import summary
from evoae_cli.study.timelimit import TimeLimit
from evoae_cli.study.training import course_for
from evoae_cli.wholefile import PART
from evoae_cli.worker.freight import EvaluationFreight, kept_images
from evoae_cli.worker.starter import Timing, WorkerSpec

_PATIENCE_S = 3.0
RUNNER = "evoae_cli.worker.evaluation:start"
"""What the workers of a study run: real evaluations."""


class StudyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person may want to read while a study runs."""

    kind: str
    """`evaluated`, `generation`, `finalist`, `warning` or `message`."""
    line: str


class StudyResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run of a study ended."""

    folder: Path
    model: Path | None
    """`best/` of the study; None if nothing was evaluated."""
    state: State
    summary: dict[str, Any]
    """What `evoae show --json` prints."""

    @property
    def front(self) -> tuple[ArchitectureRow, ...]:
        """With several objectives, the candidates that none dominates, the fittest first; else empty."""
        return msgspec.convert(self.summary["front"], tuple[ArchitectureRow, ...])


OnEvent = Callable[[StudyEvent], None]


class Study:
    """A study on disk, made by `create` or `open`; `run` does the work; other threads may call `snapshot`."""

    def __init__(
        self,
        folder: Path,
        ground: Ground,
        runner: str = RUNNER,
        expected: Callable[[str], float] | None = None,
        make_engine: MakeEngine = local_engine,
    ) -> None:
        setup = ground.setup
        self.folder = folder
        self.config = setup.config
        self.images = setup.images
        self._store = ground.store
        self._lock = ground.lock
        self._requests = setup.requests(folder)
        try:
            self._engine: Engine = make_engine(self._terms(runner, setup.devices))
        except BaseException:
            ground.leave(folder)
            raise
        self._desk = Desk(self._engine)
        self._evolution = ground.search
        self._board = Scoreboard(folder, self.config, self._store, self._engine)
        self._expected = ExpectedTimes(self._requests, expected)
        self._stop = StopFlags()
        self._on_event: OnEvent = lambda event: None

    @classmethod
    def create(
        cls,
        config: StudyConfig,
        folder: Path,
        *,
        warn: Callable[[str], None],
        runner: str = RUNNER,
        expected: Callable[[str], float] | None = None,
        make_engine: MakeEngine = local_engine,
    ) -> Self:
        """Make a new study in `folder`. Nothing is written there before settings and images have been found good.

        For benchmarks: `runner` names, as `module:function`, what its workers run in place of real evaluations, and
        `expected` foretells the seconds of a candidate, by its genotype's text. `make_engine` says where they run; see
        `engine.choice`.

        Raises UsageError, ImageError or StudyError in one line.
        """
        return cls(folder, new_ground(config, folder, warn), runner, expected, make_engine)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        warn: Callable[[str], None],
        is_retrying: bool = False,
        runner: str = RUNNER,
        make_engine: MakeEngine = local_engine,
        **changes: Any,
    ) -> Self:
        """Continue a study. `changes` leave the history's beginning as it is: any of `CHANGEABLE`.

        `is_retrying` tries again what ended as `crashed`, `timeout` or `oom`. `runner` is what `create` was given;
        `make_engine` may be another.

        Raises StudyError if there is none, another process has it, or its images are no longer the same.
        """
        return cls(folder, old_ground(folder, warn, is_retrying, changes), runner, make_engine=make_engine)

    def run(self, on_event: OnEvent = lambda event: None, *, limit_s: float | None = None) -> StudyResult:
        """Evolve, train the finalists, read test once; return when all is done or the study was asked to stop.

        With `limit_s` the search ends when just so much time is left as the finalists need.

        Raises EvoaeError when it cannot go on: no worker starts, the disk is full, every candidate fails.
        """
        self._on_event = on_event
        writer = BestWriter(self._write_best)
        try:
            self._store.put_meta(**{"state": "running", HISTORY_END: None})
            self._drop_strays()
            self._engine.start()
            with Publisher(self.folder, self.snapshot) as publisher, obeying(self.folder, self._obey(publisher)):
                self._board.limit = limit = TimeLimit(limit_s, self._active_clock)
                state = self._lead(writer, limit)
                self._finish(state)
        except (EvoaeError, OSError) as error:
            self._board.state = "failed"
            # Where the store itself is what failed, its last committed state stands.
            with contextlib.suppress(EvoaeError):
                self._store.put_event("failed", str(error))
                self._store.put_meta(state="failed")
            if not (self.folder / DATABASE).exists():
                # Whatever else was noticed first.
                where = "if it was moved, resume it where it is now"
                raise EvoaeError(f"study {self.folder} was moved or deleted while it ran; {where}") from error
            if isinstance(error, EvoaeError):
                raise
            raise EvoaeError(f"cannot go on: {error}; all that was stored is safe, resume it later") from error
        finally:
            self._engine.stop()
            writer.abandon()
            self._store.close()
            self._lock.release()
        model = self.folder / BEST
        return StudyResult(
            folder=self.folder,
            model=model if (model / WEIGHTS).is_file() else None,
            state=state,
            summary=summary(self.folder),
        )

    def _lead(self, writer: BestWriter, limit: TimeLimit) -> State:
        """Run the course to its end, or to the stop that was asked for, and leave `best/` up to date."""
        means = Proceedings(
            folder=self.folder,
            config=self.config,
            requests=self._requests,
            store=self._store,
            desk=self._desk,
            evolution=self._evolution,
            board=self._board,
            best_writer=writer,
            stop=self._stop,
            limit=limit,
            expected=self._expected,
            say=self._say,
            warn=self._warn,
            snapshot=self.snapshot,
        )
        try:
            state, finals, winner = course_for(means).run()
        except Stopped:
            if self._stop.is_killed:
                self._engine.stop()
                writer.abandon()
            else:
                self._close(writer)
            self._store.put_event("interrupted", "asked to stop")
            return "interrupted"
        self._close(writer)
        self._write_best(winner, lambda: False)
        # Last, so that what the store calls the winner is what lies in best/.
        self._store.put_meta(
            finalists=[final.genotype for final in finals],
            winner=[winner.evaluation.genotype, winner.evaluation.seed_index],
        )
        return state

    def request_stop(self) -> None:
        """Start nothing new, and stop when what runs now has ended. Safe in a signal handler."""
        self._stop.is_stopping = True
        self._engine.wake()

    def kill(self) -> None:
        """Stop at once, whatever runs; what was stored is kept. Safe in a signal handler."""
        self._stop.is_stopping = self._stop.is_killed = True
        self._engine.wake()

    def resize(self, n_workers: int) -> None:
        """Have `n_workers` from now on: start those that are missing, drain those too many. Callable from any thread.

        Raises UsageError for a number that cannot be.
        """
        if not 1 <= n_workers <= MAX_WORKERS:
            raise UsageError(f"{n_workers} workers cannot be; 1 to {MAX_WORKERS} can, and evoae stop ends the search")
        self._engine.resize(n_workers)
        self._stop.resizes.append(n_workers)
        # The asynchronous search sends one candidate for each worker, so it must hear of new ones.
        self._engine.wake()

    def snapshot(self) -> Snapshot:
        """The study at this moment. Callable from any thread."""
        return self._board.snapshot(self._evolution, self._desk.n_evaluating)

    def _terms(self, runner: str, devices: Sequence[str]) -> Terms:
        """What this study asks of its engine."""
        config, space = self.config, self._requests.network.space
        return Terms(
            runner=runner,
            n_workers=config.workers,
            specs=tuple(WorkerSpec(device=device, threads=config.threads) for device in devices),
            timing=Timing(
                heartbeat_interval_s=config.heartbeat_interval_s,
                heartbeat_timeout_s=config.heartbeat_timeout_s,
                start_timeout_s=config.start_timeout_s,
            ),
            logs=self.folder / "logs",
            title=f"{config.objective} search {self.folder.name} on {socket.gethostname()}"[:200],
            freight=EvaluationFreight(() if space is None else (space,)),
            make_files=kept_images,
        )

    def _obey(self, publisher: Publisher) -> Callable[[Order], None]:
        """What to do with an order; when it returns, others can see what has come of it."""

        def obey(order: Order) -> None:
            if order.kind == "stop":
                self.request_stop()
            elif order.kind == "kill":
                self.kill()
            elif self._stop.is_stopping:
                raise UsageError("the search is stopping, so its workers stay as they are")
            else:
                wanted = order.n if order.kind == "set" else self._board.n_workers
                wanted += {"set": 0, "add": order.n, "remove": -order.n}[order.kind]
                if order.kind == "remove" and wanted < 1:
                    there = f"of {self._board.n_workers} workers one must stay"
                    raise UsageError(f"--remove {order.n} is too many: {there}; to end the search use evoae stop")
                self.resize(wanted)
                self._wait_for_workers()
                publisher.renew()

        return obey

    def _active_clock(self) -> float:
        """Monotonic seconds that stand still while this process is stopped, as by Ctrl-Z."""
        return time.monotonic() - self._engine.view().paused_s

    def _wait_for_workers(self) -> None:
        """Until those that were asked for can be seen, which a busy machine may delay."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up_at:
            view = self._engine.view()
            if sum(worker.state != "draining" for worker in view.workers) == view.n_workers:
                return
            time.sleep(0.02)

    def _close(self, writer: BestWriter) -> None:
        """Have all written that was put, and tell what could not be."""
        writer.close()
        for line in writer.take_failures():
            self._warn(line)

    def _write_best(self, best: Best, is_abandoned: Callable[[], bool]) -> None:
        # The main thread's connection may be inside a transaction; this runs in a thread of its own and only reads.
        store = Store.read(self.folder)
        try:
            write_best(self.folder, self._requests, best, store, is_abandoned)
        finally:
            store.close()

    def _drop_strays(self) -> None:
        """Delete what is of no use: weights of beaten candidates, and files that a killed run was writing."""
        best = self._store.best("search", is_set_aside_too=True)
        kept = weights_file(self.folder, "search", best.evaluation.genotype, 0) if best is not None else None
        for path in (self.folder / "weights").glob("search-*"):
            if path != kept:
                path.unlink(missing_ok=True)
        for place in (self.folder, self.folder / "weights", self.folder / BEST):
            for path in place.glob(f".*{PART}"):
                path.unlink(missing_ok=True)

    def _finish(self, state: State) -> None:
        self._board.state = state
        if state != "interrupted":
            self._board.phase = "finished"
            self._drop_strays()
        if (self.folder / BEST).is_dir() and not self._stop.is_killed:
            write_history(self.folder, self._store)
        front = {"front": self._board.front} if len(self.config.objectives) > 1 else {}
        self._store.put_meta(state=state, **self._board.meta(self._evolution), **front)

    def _warn(self, text: str) -> None:
        self._store.put_event("warning", text)
        self._say("warning", text)

    def _say(self, kind: str, line: str) -> None:
        self._on_event(StudyEvent(kind=kind, line=line))
