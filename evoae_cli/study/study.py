"""One study on disk: made, opened, run, stopped, watched."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.engine.protocol import Engine
from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.strategy.evolution import Evolution
from evoae_cli.study.best import Best, BestWriter, write_best, write_history
from evoae_cli.study.config import CHANGEABLE, StudyConfig, resolve
from evoae_cli.study.course import Course, StopFlags, Stopped
from evoae_cli.study.desk import Desk
from evoae_cli.study.locate import BEST, DATABASE, SETTINGS, is_study
from evoae_cli.study.lock import LOCK, StudyLock
from evoae_cli.study.model import WEIGHTS
from evoae_cli.study.publisher import Publisher
from evoae_cli.study.requests import weights_file
from evoae_cli.study.scoreboard import Scoreboard
from evoae_cli.study.settingsfile import write_settings
from evoae_cli.study.setup import Setup, prepare, search_space
from evoae_cli.study.snapshot import Snapshot, State
from evoae_cli.study.store import Store
from evoae_cli.study.summary import summary
from evoae_cli.wholefile import PART

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


OnEvent = Callable[[StudyEvent], None]


class Study:
    """A study on disk, made by `create` or `open`; `run` does the work; other threads may call `snapshot`."""

    def __init__(self, folder: Path, setup: Setup, store: Store, lock: StudyLock, runner: str = RUNNER) -> None:
        self.folder = folder
        self.config = setup.config
        self.images = setup.images
        self._store = store
        self._lock = lock
        self._requests = setup.requests(folder)
        self._engine: Engine = LocalEngine(
            [WorkerSpec(device=device, threads=self.config.threads) for device in setup.devices],
            runner,
            heartbeat_interval_s=self.config.heartbeat_interval_s,
            heartbeat_timeout_s=self.config.heartbeat_timeout_s,
            start_timeout_s=self.config.start_timeout_s,
            logs=folder / "logs",
        )
        self._desk = Desk(self._engine)
        self._evolution = Evolution(
            search_space(self.config),
            population=self.config.population,
            generations=self.config.generations,
            seed=self.config.seed,
            keep_duplicates=self.config.keep_duplicates,
        )
        self._board = Scoreboard(folder, self.config, store, self._engine, len(setup.devices))
        self._stop = StopFlags()
        self._on_event: OnEvent = lambda event: None

    @classmethod
    def create(cls, config: StudyConfig, folder: Path, *, warn: Callable[[str], None], runner: str = RUNNER) -> Self:
        """Make a new study in `folder`. Nothing is written there before settings and images have been found good.

        `runner` names, as `module:function`, what its workers run in place of real evaluations: for benchmarks.

        Raises UsageError, ImageError or StudyError in one line.
        """
        setup = prepare(config, warn)
        lock = _locked(folder, is_new=True)
        try:
            # The images may have taken minutes, in which others could use the folder.
            if others := sorted(path.name for path in folder.iterdir() if path.name != LOCK):
                raise StudyError(f"{folder} now holds {others[0]}, which is not ours; choose another --study")
            try:
                write_settings(folder, setup.config, setup.images)
                (folder / "weights").mkdir()
                store = Store.create(folder)
                store.put_meta(
                    settings=msgspec.to_builtins(setup.config),
                    fingerprint=setup.images.fingerprint,
                    state="running",
                    active_s=0.0,
                )
            except BaseException:
                _remove_unfinished(folder)
                raise
        except OSError as error:
            lock.release()
            raise EvoaeError(
                f"cannot write to {folder}: {error.strerror}; make room or choose another --study"
            ) from error
        except BaseException:
            lock.release()
            raise
        return cls(folder, setup, store, lock, runner)

    @classmethod
    def open(cls, folder: Path, *, warn: Callable[[str], None], **changes: Any) -> Self:
        """Continue a study. `changes` leave the history's beginning as it is: any of `CHANGEABLE`.

        Raises StudyError if there is none, another process has it, or its images are no longer the same.
        """
        if fixed := sorted(set(changes) - set(CHANGEABLE)):
            raise StudyError(f"{fixed[0]} cannot change in a study that has begun; only {', '.join(CHANGEABLE)} can")
        if not is_study(folder):
            raise StudyError(f"{folder} is no study; list studies: evoae list")
        lock = _locked(folder, is_new=False)
        store: Store | None = None
        try:
            store = Store.open(folder)
            settings = store.meta("settings")
            if settings is None:
                raise StudyError(f"study {folder} was never started; delete it and search again")
            config = resolve(settings["objective"], settings, changes)
            if config.generations < settings["generations"]:
                raise StudyError(
                    f"--generations {config.generations}: the study has {settings['generations']} already; name more"
                )
            setup = prepare(config, warn)
            if setup.images.fingerprint != store.meta("fingerprint"):
                raise StudyError(
                    f"images of {config.data} have changed: the study was made with {store.meta('fingerprint')[:12]}, "
                    f"these are {setup.images.fingerprint[:12]}; bring back the old ones or start a new study"
                )
            (folder / "weights").mkdir(exist_ok=True)
            store.put_event("resumed", f"from state {store.meta('state')}")
            if msgspec.to_builtins(config) != settings:
                store.put_meta(settings=msgspec.to_builtins(config))
            if msgspec.to_builtins(config) != settings or not (folder / SETTINGS).is_file():
                write_settings(folder, config, setup.images)
        except BaseException:
            if store is not None:
                store.close()
            lock.release()
            raise
        return cls(folder, setup, store, lock)

    def run(self, on_event: OnEvent = lambda event: None) -> StudyResult:
        """Evolve, train the finalists, read test once; return when all is done or the study was asked to stop.

        Raises EvoaeError when it cannot go on: no worker starts, the disk is full, every candidate fails.
        """
        self._on_event = on_event
        writer = BestWriter(self._write_best, lambda text: self._say("warning", text))
        try:
            self._store.put_meta(state="running")
            self._drop_strays()
            self._engine.start()
            with Publisher(self.folder, self.snapshot):
                state = self._lead(writer)
                self._finish(state)
        except (EvoaeError, OSError) as error:
            self._board.state = "failed"
            # Where the store itself is what failed, its last committed state stands.
            with contextlib.suppress(EvoaeError):
                self._store.put_event("failed", str(error))
                self._store.put_meta(state="failed")
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

    def _lead(self, writer: BestWriter) -> State:
        """Run the course to its end, or to the stop that was asked for, and leave `best/` up to date."""
        course = Course(
            folder=self.folder,
            config=self.config,
            requests=self._requests,
            store=self._store,
            desk=self._desk,
            evolution=self._evolution,
            board=self._board,
            best_writer=writer,
            stop=self._stop,
            say=self._say,
            warn=self._warn,
            snapshot=self.snapshot,
        )
        try:
            state, finals, winner = course.run()
        except Stopped:
            if self._stop.is_killed:
                self._engine.stop()
                writer.abandon()
            else:
                writer.close()
            self._store.put_event("interrupted", "asked to stop")
            return "interrupted"
        writer.close()
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

    def snapshot(self) -> Snapshot:
        """The study at this moment. Callable from any thread."""
        return self._board.snapshot(self._evolution, self._desk.n_evaluating)

    def _write_best(self, best: Best, is_abandoned: Callable[[], bool]) -> None:
        # The main thread's connection may be inside a transaction; this runs in a thread of its own and only reads.
        store = Store.read(self.folder)
        try:
            write_best(self.folder, self._requests, best, store, is_abandoned)
        finally:
            store.close()

    def _drop_strays(self) -> None:
        """Delete what is of no use: weights of beaten candidates, and files that a killed run was writing."""
        best = self._store.best("search")
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
        self._store.put_meta(state=state, **self._board.meta(self._evolution))

    def _warn(self, text: str) -> None:
        self._store.put_event("warning", text)
        self._say("warning", text)

    def _say(self, kind: str, line: str) -> None:
        self._on_event(StudyEvent(kind=kind, line=line))


def _locked(folder: Path, *, is_new: bool) -> StudyLock:
    """The lock of a study's folder, which is made if the study is new. Raises StudyError if that cannot be."""
    try:
        if is_new:
            folder.mkdir(parents=True, exist_ok=True)
        return StudyLock(folder)
    except OSError as error:
        remedy = "choose another --study" if is_new else "make it writable, or resume a copy"
        raise StudyError(f"cannot write to {folder}: {error.strerror}; {remedy}") from None


def _remove_unfinished(folder: Path) -> None:
    """Remove what `create` makes in a folder that was empty, and the folder. The lock is held, and goes last."""
    for path in (*folder.glob(f"{DATABASE}*"), *folder.glob(f".*{PART}"), folder / SETTINGS):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not ours alone any more, or gone
        if (folder / "weights").is_dir():
            (folder / "weights").rmdir()
        if [path.name for path in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            folder.rmdir()
