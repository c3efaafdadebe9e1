"""The store: one SQLite file that holds all that a study has learned, committed before evolution hears of it.

Write-ahead log and synchronous=FULL: what `append` has returned from survives a power cut. One writer, held by the lock
beside the file; any number of readers.
"""

import itertools
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import msgspec

from evoae_cli.errors import StudyError
from evoae_cli.evaluation.contract import Evaluation, Stage
from evoae_cli.study import database, forgetting
from evoae_cli.study.forgetting import IN_HISTORY
from evoae_cli.study.locate import DATABASE

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


HISTORY_END = "history_end"
"""Meta value: `[generation, number]` of the first proposal left out when time was up; what is behind it came early."""
_NO_END = (2**62, 0)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One finished evaluation: what it found, and where and when."""

    evaluation: Evaluation
    generation: int
    """-1 for the final stages, and for a candidate that is set aside; see `forget_failures`."""
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
    What is damaged raises StudyError wherever it is met.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path
        self._place = database.Place(path)

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make the database of a new study in an existing folder. Raises EvoaeError if it cannot be written."""
        path = folder / DATABASE
        return cls(database.make(path, _SCHEMA), path)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Continue a study's database as its writer.

        Raises StudyError, and has changed nothing, if it is none, damaged, or of another format.
        """
        path = folder / DATABASE
        return cls(database.connect_to_write(path), path)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Look at a study's database, also while another process writes to it."""
        path = folder / DATABASE
        if not path.is_file():
            raise StudyError(f"{folder} is no study: it has no {DATABASE}")
        return cls(database.connect_to_read(path), path)

    def append(self, *records: Record, meta: dict[str, Any]) -> None:
        """Commit evaluations together with the meta values that changed with them: all of it, or nothing.

        An evaluation that is there already (a failed one tried again, a final training that was cut short) is replaced.
        What test had to say of a final training that is replaced goes with it.
        """
        with self._transaction() as db:
            for record in records:
                _put_record(db, record)
            database.put_meta(db, meta)

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
            database.put_meta(db, meta)
        return True

    def put_meta(self, **values: Any) -> None:
        """Commit values under their names."""
        with self._transaction() as db:
            database.put_meta(db, values)

    def put_event(self, kind: str, text: str) -> None:
        """Commit an entry of the study's diary: what happened, and one line or a few for a person.

        Kinds: `warning`, `resumed`, `interrupted`, `failed`, `lost` (a worker), `workers` (how many were asked for),
        `host` (one came or went).
        """
        with self._transaction() as db:
            db.execute("INSERT INTO events (at, kind, text) VALUES (?,?,?)", (time.time(), kind, text))

    def forget_failures(self, *, is_generational: bool) -> int:
        """Make ready to try again what crashed, ran out of time or out of memory; returns how many such there were.

        One transaction deletes these candidates and finalists. A search with generations must be replayed from the
        first one that held such a candidate: the states of its generations from there on are deleted, and its other
        candidates are set aside: `find` still finds them, so that none is trained again, but they are no part of the
        history until `place` gives them their place in the new one. The winner stays until there is another.
        """
        with self._transaction() as db:
            return forgetting.forget_failures(db, is_generational=is_generational)

    def place(self, genotype: str, generation: int, number: int) -> None:
        """Commit where in the history a candidate that was set aside now stands.

        Raises ValueError, and changes nothing, if none of this genotype is set aside.
        """
        with self._transaction() as db:
            placed = db.execute(
                "UPDATE evaluations SET generation=?, number=?"
                " WHERE stage='search' AND genotype=? AND seed_index=0 AND generation<0",
                (generation, number, genotype),
            )
            if not placed.rowcount:
                raise ValueError(f"{genotype} is not set aside; nothing was changed")

    def meta(self, key: str, default: Any = None) -> Any:
        """The value stored under `key`, or `default`."""
        with database.translated(self.path):
            return database.meta_value(self._db, key, default)

    def find(self, stage: Stage, genotype: str, seed_index: int = 0) -> Record | None:
        """The record of one evaluation, if it has ended."""
        return next(self._records("WHERE stage=? AND genotype=? AND seed_index=?", (stage, genotype, seed_index)), None)

    def best(self, stage: Stage, *, is_set_aside_too: bool = False) -> Record | None:
        """The evaluation of a stage with the highest fitness above 0; of equals, the one that selection prefers."""
        order = (
            f"WHERE stage=? AND fitness>0 AND {'1' if is_set_aside_too else IN_HISTORY}"
            " ORDER BY fitness DESC, json_extract(record, '$.parameters'), genotype, seed_index LIMIT 1"
        )
        return next(self._records(order, (stage,)), None)

    def records(self, stage: Stage, *, is_whole: bool = False) -> Iterator[Record]:
        """All evaluations of a stage, in the order of their proposals, whatever order they ended in.

        Of the search, those that `history` has; with `is_whole` those too that were trained behind its end, when time
        was up.
        """
        return self._records(
            f"WHERE stage=? AND {IN_HISTORY} AND (? OR (generation, number)<(?,?))"
            " ORDER BY generation, number, seed_index, genotype",
            (stage, is_whole, *self._history_end()),
        )

    def failures(self, n: int) -> list[Record]:
        """The newest `n` candidates and finalists that failed, in the order in which they were stored."""
        newest = self._records(f"WHERE outcome<>'ok' AND stage<>'test' AND {IN_HISTORY} ORDER BY id DESC LIMIT ?", (n,))
        return list(newest)[::-1]

    def told(self) -> Iterator[Record]:
        """The search's evaluations in the order in which they were stored, one that was replaced where it came last.

        To be read to its end before anything else is stored.
        """
        return self._records("WHERE stage='search' ORDER BY id", ())

    def history(self) -> list[list[Any]]:
        """`[generation, genotype, outcome, fitness]` of the search's evaluations, in the order of their proposals.

        Where time was up it ends before the first proposal that was left out.
        """
        rows = self._select(
            "SELECT generation, genotype, outcome, fitness FROM evaluations"
            f" WHERE stage='search' AND {IN_HISTORY} AND (generation, number)<(?,?)"
            " ORDER BY generation, number, genotype",
            self._history_end(),
        )
        return [list(row) for row in rows]

    def generations(self) -> list[dict[str, Any]]:
        """State of the search after each finished generation."""
        with database.translated(self.path):
            return [json.loads(row[0]) for row in self._select("SELECT state FROM generations ORDER BY number")]

    def best_by_generation(self) -> list[tuple[int, float]]:
        """(generation, best fitness so far) for each generation that trained something, also an unfinished last one."""
        rows = list(
            self._select(
                "SELECT generation, MAX(fitness) FROM evaluations"
                f" WHERE stage='search' AND {IN_HISTORY} AND (generation, number)<(?,?) GROUP BY generation ORDER BY 1",
                self._history_end(),
            )
        )
        return list(zip((row[0] for row in rows), itertools.accumulate((row[1] for row in rows), max), strict=True))

    def outcomes(self) -> dict[str, int]:
        """Number of evaluations of all stages by outcome, without what is set aside."""
        return dict(self._select(f"SELECT outcome, COUNT(*) FROM evaluations WHERE {IN_HISTORY} GROUP BY outcome"))

    def hardware(self) -> set[tuple[str, ...]]:
        """The kinds of hardware and software that evaluations ran on; see `kind_of`."""
        rows = self._select("SELECT record FROM evaluations WHERE outcome='ok' AND stage<>'test'")
        with database.translated(self.path):
            return {kind_of(msgspec.json.decode(row[0], type=Evaluation)) for row in rows}

    def events(self) -> list[tuple[float, str, str]]:
        """The diary: (seconds since the epoch, kind, text)."""
        return [(at, kind, text) for at, kind, text in self._select("SELECT at, kind, text FROM events ORDER BY id")]

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    def _history_end(self) -> tuple[int, int]:
        """Generation and number of the first proposal that is no part of the history."""
        generation, number = self.meta(HISTORY_END) or _NO_END
        return generation, number

    def _records(self, where: str, values: tuple[Any, ...]) -> Iterator[Record]:
        rows = self._select(
            f"SELECT record, generation, number, worker, attempt, run_s, finished_at FROM evaluations {where}", values
        )
        with database.translated(self.path):
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
        with database.translated(self.path):
            # No `yield from`: it would hand the reader's own errors on into SQLite's cursor.
            for row in self._db.execute(query, values):  # noqa: UP028
                yield row

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return database.transaction(self._db, self.path, self._place)


def _put_record(db: sqlite3.Connection, record: Record) -> None:
    found = record.evaluation
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
