"""The SQLite file beneath the store: connected to, and refused in one line where it is damaged.

SQLite takes an empty file for a new database and deletes the write-ahead log beside it; it reads zeros where a file was
cut short; and a log whose head is damaged is none to it. So what is wrong is looked for before anything may write.

The database is never opened but through SQLite: closing it would take from this process the locks of all its
connections, https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evoae_cli.errors import EvoaeError, StudyError

FORMAT = 1

_N_LEAST = 512
"""Bytes of the smallest page, and so of the smallest database."""
_N_LOG_HEAD, _N_FRAME_HEAD = 32, 24


def make(path: Path, schema: str) -> sqlite3.Connection:
    """Make a new database, and connect to it as its writer. Raises EvoaeError if it cannot be written."""
    try:
        db = _connect_to_write(path, "rwc")
        db.executescript("BEGIN;" + schema + f"PRAGMA user_version={FORMAT};COMMIT;")
    except sqlite3.Error as error:
        raise EvoaeError(f"cannot make {path}: {error}; make room or choose another --study") from error
    return db


def connect_to_write(path: Path) -> sqlite3.Connection:
    """Connect as the one writer. Raises StudyError, and has changed nothing, if the file is damaged or another's."""
    with translated(path):
        _check_length(path)
        # Where there is no log, "ro" would make an empty one and leave it.
        with contextlib.closing(_connect(path, "mode=ro" if _has_log(path) else "immutable=1")) as db:
            _check_format(db, path)
            _check_pages(db, path)
            db.execute("SELECT key, value FROM meta LIMIT 1")
            # 11 ms for 10,000 evaluations (9 MB).
            found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(found.split()))
        return _connect_to_write(path, "rw")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Connect to look only, also while another process writes. Raises StudyError if the file is not to be read."""
    with translated(path):
        _check_length(path)
        has_log = _has_log(path)
        if has_log:
            # The last to close it empties a log, also one that SQLite cannot read; only this mode does not.
            _reader(path, "mode=ro").close()
        try:
            return _reader(path, "mode=rw")
        except sqlite3.Error:
            # Readers of a write-ahead log write beside it. Where the folder cannot be written, nothing changes either.
            return _reader(path, "mode=ro" if has_log else "immutable=1")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """What goes wrong while the file is read, or makes no sense once it is read, is raised as StudyError."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:
        raise StudyError(f"{path} is no readable study database: {error}; bring back a copy, or delete it") from error


class Place:
    """Where a database was when it was opened: SQLite writes on even into a file that was deleted."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._found = self._look()

    def has_changed(self) -> bool:
        """Whether another file, or none, now lies there."""
        return self._found is None or self._look() != self._found

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


@contextlib.contextmanager
def transaction(db: sqlite3.Connection, path: Path, place: Place) -> Iterator[sqlite3.Connection]:
    """All that is executed within is committed together, and synced, or none of it.

    Raises EvoaeError if it cannot be written, or if it was written to a file that is no longer where it was.
    """
    try:
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
    except BaseException as error:
        # On a full disk SQLite may have rolled back by itself.
        with contextlib.suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        if not isinstance(error, sqlite3.Error):
            raise
        raise EvoaeError(
            f"cannot write to {path}: {error}; what was stored before is safe, resume once it can be written"
        ) from error
    if place.has_changed():
        raise EvoaeError(
            f"{path} is no longer where it was: the study was moved or deleted while it ran; resume it where it is now"
        )


def meta_value(db: sqlite3.Connection, key: str, default: Any = None) -> Any:
    """The value that the table `meta` has under `key`, or `default`."""
    row = db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
    return default if row is None else json.loads(row[0])


def put_meta(db: sqlite3.Connection, values: dict[str, Any]) -> None:
    """Put values under their names into the table `meta`."""
    db.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?,?)", [(key, json.dumps(value)) for key, value in values.items()]
    )


def _connect_to_write(path: Path, mode: str) -> sqlite3.Connection:
    db = _connect(path, f"mode={mode}", patience_s=30)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    return db


def _reader(path: Path, how: str) -> sqlite3.Connection:
    db = _connect(path, how)
    try:
        db.execute("PRAGMA query_only=1")
        _check_format(db, path)
        _check_pages(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _connect(path: Path, how: str, patience_s: float = 5) -> sqlite3.Connection:
    # Transactions are opened by hand (isolation_level=None), so that each append is exactly one commit.
    uri = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=patience_s, check_same_thread=False)


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _has_log(path: Path) -> bool:
    """Whether a write-ahead log with something in it lies beside the database."""
    try:
        return _log(path).stat().st_size > 0
    except FileNotFoundError:
        return False


def _check_length(path: Path) -> None:
    """Refuse a file that is too short for SQLite to see that it was a database."""
    has_log = _has_log(path)
    size = path.stat().st_size
    if size == 0 and has_log:
        raise StudyError(f"{path} is empty though its log is not: it was cut short; bring back a copy of {path.name}")
    if size == 0:
        raise StudyError(
            f"{path} is empty; bring back a copy, or if the study was never finished being made, "
            f"delete {path.parent} and search again"
        )
    if size < _N_LEAST and not has_log:
        raise StudyError(f"{path} was cut short: it has {size} bytes; bring back a copy")


def _check_pages(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that lacks pages which its log does not hold: SQLite would read zeros for them."""
    # While a transaction reads, no page that it sees leaves the log before it is in the database.
    db.execute("BEGIN")
    page_size, n_pages = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count"))
    size = path.stat().st_size
    missing = set(range(size // page_size + 1, n_pages + 1))
    is_whole = not missing or missing <= _pages_in(_log(path), page_size)
    db.execute("COMMIT")
    if not is_whole:
        raise StudyError(f"{path} was cut short: it has {size:,} bytes of {page_size * n_pages:,}; bring back a copy")


def _pages_in(log: Path, page_size: int) -> set[int]:
    """Numbers of the pages in a write-ahead log, https://www.sqlite.org/fileformat2.html#the_write_ahead_log."""
    content = log.read_bytes() if log.exists() else b""
    salt, starts = content[16:24], range(_N_LOG_HEAD, len(content), _N_FRAME_HEAD + page_size)
    # Frames with another salt are left from before the log was last begun anew.
    return {
        int.from_bytes(content[start : start + 4], "big")
        for start in starts
        if content[start + 8 : start + 16] == salt and start + _N_FRAME_HEAD + page_size <= len(content)
    }


def _check_format(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found == 0 and db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None:
        raise StudyError(f"{path} is a database of something else; name the folder of a study")
    if found == 0:
        log = " or its log was damaged; bring back a copy, or" if _has_log(path) else ";"
        raise StudyError(f"{path} was never finished being made{log} delete {path.parent} and search again")
    if found != FORMAT:
        raise StudyError(f"{path} has format {found}, this version of evoae reads format {FORMAT}")
