"""The store: one SQLite file that holds all that a study has learned, committed before evolution hears of it.

Write-ahead log and synchronous=FULL: what `append` has returned from survives a power cut. One writer, held by the lock
beside the file; any number of readers.
"""

import itertools
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.evaluation.contract import Evaluation, Stage
from evoae_cli.study.locate import DATABASE

FORMAT = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    genotype TEXT NOT NULL,
    seed_index INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    fitness REAL NOT NULL,
    worker TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    run_s REAL NOT NULL,
    finished_at REAL NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (stage, genotype, seed_index)
);
CREATE TABLE generations (number INTEGER PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
"""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One finished evaluation: what it found, and where and when."""

    evaluation: Evaluation
    generation: int
    """-1 for the final stages."""
    number: int
    """Of the proposal that caused it."""
    worker: str
    attempt: int
    run_s: float
    finished_at: float
    """Seconds since the epoch, for people."""


def kind_of(found: Evaluation) -> tuple[str, ...]:
    """What the last digits of an evaluation depend on besides its request: device, precision, torch, micro-batches."""
    return (found.device, found.dtype, f"torch {found.torch}", f"batches in {found.micro_batches} part(s)")


class Store:
    """One study's database. `create` makes it, `open` continues it, `read` only looks.

    A writer's failed write (disk full, folder gone) raises EvoaeError; all that was committed before stays readable.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make the database of a new study in an existing folder. Raises EvoaeError if it cannot be written."""
        path = folder / DATABASE
        try:
            db = _connect(path)
            db.executescript("BEGIN;" + _SCHEMA + f"PRAGMA user_version={FORMAT};COMMIT;")
        except sqlite3.Error as error:
            raise EvoaeError(f"cannot make {path}: {error}; make room or choose another --study") from error
        return cls(db, path)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Continue a study's database as its writer. Raises StudyError if it is none or of another format."""
        path = folder / DATABASE
        with _translated(path):
            db = _connect(path)
            _check_format(db, path)
        return cls(db, path)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Look at a study's database, also while another process writes to it."""
        path = folder / DATABASE
        if not path.is_file():
            raise StudyError(f"{folder} is no study: it has no {DATABASE}")
        try:
            with _translated(path):
                return cls(_connect_to_read(path, ""), path)
        except StudyError:
            # Readers of a write-ahead log write beside it. Where the folder cannot be written, nothing changes either.
            if path.with_name(path.name + "-wal").exists():
                raise
            with _translated(path):
                return cls(_connect_to_read(path, "?immutable=1"), path)

    def append(self, record: Record, meta: dict[str, Any]) -> None:
        """Commit one evaluation together with the meta values that changed with it.

        An evaluation that is there already (a failed one tried again) is replaced.
        """
        found = record.evaluation
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO evaluations (stage, genotype, seed_index, generation, number, outcome, fitness,"
                " worker, attempt, run_s, finished_at, record) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    found.stage,
                    found.genotype,
                    found.seed_index,
                    record.generation,
                    record.number,
                    str(found.outcome),
                    found.fitness,
                    record.worker,
                    record.attempt,
                    record.run_s,
                    record.finished_at,
                    msgspec.json.encode(found).decode(),
                ),
            )
            if found.stage == "final":
                # Its weights are new, so what was read of test belongs to others.
                db.execute(
                    "DELETE FROM evaluations WHERE stage='test' AND genotype=? AND seed_index=?",
                    (found.genotype, found.seed_index),
                )
            _put_meta(db, meta)

    def put_generation(self, number: int, state: dict[str, Any], meta: dict[str, Any]) -> bool:
        """Commit the search's state at the end of a generation; False if it was there already.

        Raises StudyError if another state was stored for it: the code that replays it is not the code that made it.
        """
        text = json.dumps(state, sort_keys=True)
        stored = next(self._select("SELECT state FROM generations WHERE number=?", (number,)), None)
        if stored is not None and stored[0] != text:
            raise StudyError(
                f"generation {number} of {self.path} replays differently with this version of evoae; "
                "resume it with the version named in its study.toml"
            )
        if stored is not None:
            return False
        with self._transaction() as db:
            db.execute("INSERT INTO generations VALUES (?,?)", (number, text))
            _put_meta(db, meta)
        return True

    def put_meta(self, **values: Any) -> None:
        """Commit values under their names."""
        with self._transaction() as db:
            _put_meta(db, values)

    def put_event(self, kind: str, text: str) -> None:
        """Commit a line of the study's diary: `warning`, `resumed`, `interrupted` or `failed`."""
        with self._transaction() as db:
            db.execute("INSERT INTO events (at, kind, text) VALUES (?,?,?)", (time.time(), kind, text))

    def meta(self, key: str, default: Any = None) -> Any:
        """The value stored under `key`, or `default`."""
        row = next(self._select("SELECT value FROM meta WHERE key=?", (key,)), None)
        return default if row is None else json.loads(row[0])

    def find(self, stage: Stage, genotype: str, seed_index: int = 0) -> Record | None:
        """The record of one evaluation, if it has ended."""
        return next(self._records("WHERE stage=? AND genotype=? AND seed_index=?", (stage, genotype, seed_index)), None)

    def best(self, stage: Stage) -> Record | None:
        """The evaluation of a stage with the highest fitness above 0; of equals, the one that selection prefers."""
        order = (
            "WHERE stage=? AND fitness>0"
            " ORDER BY fitness DESC, json_extract(record, '$.parameters'), genotype, seed_index LIMIT 1"
        )
        return next(self._records(order, (stage,)), None)

    def records(self, stage: Stage) -> Iterator[Record]:
        """All evaluations of a stage, in the order of their proposals, whatever order they ended in."""
        return self._records("WHERE stage=? ORDER BY generation, number, seed_index, genotype", (stage,))

    def history(self) -> list[list[Any]]:
        """`[generation, genotype, outcome, fitness]` of the search's evaluations, in the order of their proposals."""
        rows = self._select(
            "SELECT generation, genotype, outcome, fitness FROM evaluations WHERE stage='search'"
            " ORDER BY generation, number, genotype"
        )
        return [list(row) for row in rows]

    def generations(self) -> list[dict[str, Any]]:
        """State of the search after each finished generation."""
        return [json.loads(row[0]) for row in self._select("SELECT state FROM generations ORDER BY number")]

    def best_by_generation(self) -> list[tuple[int, float]]:
        """(generation, best fitness so far) for each generation that trained something, also an unfinished last one."""
        rows = list(
            self._select(
                "SELECT generation, MAX(fitness) FROM evaluations WHERE stage='search' GROUP BY generation ORDER BY 1"
            )
        )
        return list(zip((row[0] for row in rows), itertools.accumulate((row[1] for row in rows), max), strict=True))

    def outcomes(self) -> dict[str, int]:
        """Number of evaluations of all stages by outcome."""
        return dict(self._select("SELECT outcome, COUNT(*) FROM evaluations GROUP BY outcome"))

    def hardware(self) -> set[tuple[str, ...]]:
        """The kinds of hardware and software that evaluations ran on; see `kind_of`."""
        rows = self._select("SELECT record FROM evaluations WHERE outcome='ok' AND stage<>'test'")
        return {kind_of(msgspec.json.decode(row[0], type=Evaluation)) for row in rows}

    def events(self) -> list[tuple[float, str, str]]:
        """The diary: (seconds since the epoch, kind, text)."""
        return [(at, kind, text) for at, kind, text in self._select("SELECT at, kind, text FROM events ORDER BY id")]

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    def _records(self, where: str, values: tuple[Any, ...]) -> Iterator[Record]:
        rows = self._select(
            f"SELECT record, generation, number, worker, attempt, run_s, finished_at FROM evaluations {where}", values
        )
        for text, generation, number, worker, attempt, run_s, finished_at in rows:
            yield Record(
                evaluation=msgspec.json.decode(text, type=Evaluation),
                generation=generation,
                number=number,
                worker=worker,
                attempt=attempt,
                run_s=run_s,
                finished_at=finished_at,
            )

    def _select(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        with _translated(self.path):
            yield from self._db.execute(query, values)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise EvoaeError(
                f"cannot write to {self.path}: {error}; what was stored before is safe, resume once it can be written"
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are opened by hand (isolation_level=None), so that each append is exactly one commit.
    db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    return db


def _connect_to_read(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}{how}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5, check_same_thread=False)
    db.execute("PRAGMA query_only=1")
    _check_format(db, path)
    return db


def _put_meta(db: sqlite3.Connection, values: dict[str, Any]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?,?)", [(key, json.dumps(value)) for key, value in values.items()]
    )


def _check_format(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        db.close()
        raise StudyError(f"{path} was never finished being made; delete {path.parent} and search again")
    if found != FORMAT:
        db.close()
        raise StudyError(f"{path} has format {found}, this version of evoae reads format {FORMAT}")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StudyError(f"{path} is no readable study database: {error}; bring back a copy, or delete it") from error
