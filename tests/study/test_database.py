"""The file beneath the store: refused where it is damaged, and kept whole where it cannot be written."""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_store import record

from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.study.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, without the index of the log, which SQLite makes from the log whenever it is needed."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def filled(folder: Path, n: int = 60) -> Store:
    store = Store.create(folder)
    for number in range(n):
        store.append(record(f"g{number}", number=number), meta={"counts": {"proposed": number}})
    return store


def test_what_is_no_study_database_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"this is no database, though it is long enough to look like one" * 40)
    with pytest.raises(StudyError, match="no readable study database") as refused:
        Store.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_another_format_is_refused(store: Store, tmp_path: Path) -> None:
    store.close()
    db = sqlite3.connect(tmp_path / "study.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StudyError, match="format 99"):
        Store.open(tmp_path)


def test_a_damaged_page_is_one_line_wherever_it_is_met(store: Store, tmp_path: Path) -> None:
    for number in range(200):
        store.append(record(f"g{number}", number=number), meta={"counts": {"proposed": number}})
    store.close()
    path = tmp_path / "study.db"
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"no readable study database") as refused:
        Store.read(tmp_path).history()
    assert "\n" not in str(refused.value)


def test_a_study_that_was_never_finished_being_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "study.db").touch()
    with pytest.raises(StudyError, match="never finished being made, delete"):
        Store.read(tmp_path)


def test_a_write_that_fails_changes_nothing_and_says_what_to_do(store: Store, tmp_path: Path) -> None:
    store.append(record("a"), meta={"active_s": 1.0})
    # SQLite itself refuses to grow the file further: the same error as a full disk.
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(EvoaeError, match="resume once it can be written"):
        store.put_meta(big="x" * 1_000_000, active_s=9.0)
    reader = Store.read(tmp_path)
    assert reader.meta("active_s") == 1.0
    assert len(reader.history()) == 1


@pytest.mark.parametrize("way", [Store.open, Store.read])
def test_an_empty_file_beside_a_log_is_not_taken_for_a_new_study(way: Callable[[Path], Store], tmp_path: Path) -> None:
    live, folder = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    store = filled(live)
    shutil.copytree(live, folder, ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    (folder / "study.db").write_bytes(b"")
    before = contents(folder)
    with pytest.raises(StudyError, match="empty though its log is not"):
        way(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("way", [Store.open, Store.read])
@pytest.mark.parametrize("lost", [1, 3000, 4096, 20_000, "all but 50"])
def test_a_file_that_was_cut_short_is_refused_as_it_is(
    way: Callable[[Path], Store], lost: int | str, tmp_path: Path
) -> None:
    filled(tmp_path).close()
    path = tmp_path / "study.db"
    content = path.read_bytes()
    path.write_bytes(content[: 50 if isinstance(lost, str) else -lost])
    before = contents(tmp_path)
    with pytest.raises(StudyError, match=r"was cut short|is malformed") as refused:
        way(tmp_path)
    assert "\n" not in str(refused.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("way", [Store.open, Store.read])
def test_a_damaged_log_of_a_study_that_is_nowhere_else_is_kept(way: Callable[[Path], Store], tmp_path: Path) -> None:
    live, folder = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    store = filled(live)
    shutil.copytree(live, folder, ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    log = bytearray((folder / "study.db-wal").read_bytes())
    log[20] ^= 0xFF
    (folder / "study.db-wal").write_bytes(log)
    before = contents(folder)
    with pytest.raises(StudyError, match="its log was damaged"):
        way(folder)
    assert contents(folder) == before


def test_a_page_that_was_damaged_is_found_before_anything_is_written(tmp_path: Path) -> None:
    filled(tmp_path).close()
    path = tmp_path / "study.db"
    content = bytearray(path.read_bytes())
    content[-4096:] = bytes(4096)
    path.write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(StudyError, match="no readable study database") as refused:
        Store.open(tmp_path)
    assert "\n" not in str(refused.value)
    assert contents(tmp_path) == before


def test_a_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no readable study database"):
        Store.open(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("table", "column", "ask"),
    [
        ("evaluations", "record", lambda store: list(store.records("search"))),
        ("evaluations", "record", lambda store: store.hardware()),
        ("generations", "state", lambda store: store.generations()),
        ("meta", "value", lambda store: store.meta("counts")),
    ],
)
def test_a_text_that_makes_no_sense_is_one_line(
    table: str, column: str, ask: Callable[[Store], Any], tmp_path: Path
) -> None:
    store = filled(tmp_path, 2)
    store.put_generation(0, {"generation": 0}, {})
    store._db.execute(f"UPDATE {table} SET {column} = substr({column}, 1, length({column}) - 1) || char(0)")
    with pytest.raises(StudyError, match="no readable study database"):
        ask(store)


@pytest.mark.parametrize("deed", ["moved", "deleted", "replaced"])
def test_what_is_written_into_a_file_that_is_out_of_reach_is_refused(deed: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    store = filled(folder, 2)
    if deed == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "elsewhere")
    if deed == "replaced":
        shutil.copytree(tmp_path / "elsewhere", folder)
    with pytest.raises(EvoaeError, match="moved or deleted while it ran") as refused:
        store.append(record("new", number=2), meta={})
    assert "\n" not in str(refused.value)
    store.close()
    if deed != "deleted":
        assert [row[1] for row in Store.open(tmp_path / "elsewhere").history()] == ["g0", "g1", "new"]


FILL = """
import json, os, resource, signal, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from test_store import record

from evoae_cli.errors import EvoaeError
from evoae_cli.study.store import Store

folder, limit = Path(sys.argv[2]), int(sys.argv[3])
store = Store.create(folder)
# Written back often, so that this too meets the end of the room.
store._db.execute("PRAGMA wal_autocheckpoint=10")
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
n, lines = 0, []
while len(lines) < 3:
    try:
        store.append(record(f"g{n}", number=n), meta={"counts": {"proposed": n}})
        n += 1
    except EvoaeError as error:
        lines.append(str(error))
        if len(lines) > 1:
            continue
        try:
            store.put_meta(large="x" * 500_000)
        except EvoaeError as error:
            lines.append(str(error))
reader = Store.read(folder)
told = {"n": n, "lines": lines, "read": len(reader.history()), "proposed": reader.meta("counts")["proposed"]}
reader.close()
if sys.argv[4] == "close":
    store.close()
again = Store.read(folder)
print(json.dumps(told | {"read_again": len(again.history())}), flush=True)
if sys.argv[4] == "close":
    again.close()
else:
    os._exit(0)
"""
"""Appends until there is no room, looks at what is there, and ends: argv is where to find `record`, the folder, the
most bytes of a file (0: as many as the disk has), and whether to close the store."""


def fill(folder: Path, limit: int, how: str, *before: str) -> dict[str, Any]:
    arguments = [str(Path(__file__).parent), str(folder), str(limit), how]
    done = subprocess.run(
        [*before, sys.executable, "-c", FILL, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def assert_nothing_was_lost(told: dict[str, Any]) -> None:
    assert told["read"] == told["read_again"] == told["n"] > 0
    assert told["proposed"] == told["n"] - 1
    assert len(told["lines"]) == 3
    for line in told["lines"]:
        assert "resume once it can be written" in line
        assert "rollback" not in line
        assert "transaction" not in line
        assert "\n" not in line


@pytest.mark.parametrize("how", ["close", "die"])
@pytest.mark.parametrize("seed", range(2))
def test_a_full_disk_loses_nothing_that_was_stored(seed: int, how: str, tmp_path: Path) -> None:
    told = fill(tmp_path, random.Random(seed).randrange(90_000, 250_000), how)
    assert_nothing_was_lost(told)
    store = Store.open(tmp_path)
    assert len(store.history()) == told["n"]
    store.append(record("there is room again", number=told["n"]), meta={})
    assert len(store.history()) == told["n"] + 1


def test_a_log_that_cannot_be_written_back_at_the_end_is_kept(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_database import filled\n"
        "store = filled(Path(sys.argv[2]))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))\n"
        "store.close()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)], check=True, timeout=120)
    assert (tmp_path / "study.db-wal").stat().st_size > 8192
    assert len(Store.open(tmp_path).history()) == 60


def test_a_disk_that_is_really_full_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    # A mount that ends with the process. What is on it is looked at, and given room again, within it.
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=400k none "$0" && exec "$@"']
    mount.append(str(tmp_path))
    if not shutil.which("unshare") or subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    for how in ("close", "die"):
        assert_nothing_was_lost(fill(tmp_path, 0, how, *mount))


def test_the_last_reader_of_a_study_leaves_no_log_behind(tmp_path: Path) -> None:
    store = filled(tmp_path, 3)
    reader = Store.read(tmp_path)
    store.close()
    assert len(reader.history()) == 3
    reader.close()
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]


def test_looking_at_a_study_takes_no_lock_from_its_writer(tmp_path: Path) -> None:
    store = filled(tmp_path, 3)
    Store.read(tmp_path).close()
    # The last to close a database that nobody holds removes its log; so another process tells whether it is held.
    look = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); list(db.execute('SELECT * FROM meta')); db.close()"
    subprocess.run([sys.executable, "-c", look, str(tmp_path / "study.db")], check=True, timeout=120)
    assert (tmp_path / "study.db-wal").exists()
    store.close()


def test_a_reader_finds_the_study_whole_whatever_its_writer_does(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    # Written back at almost every commit, so that the database is often shorter than what it holds.
    store._db.execute("PRAGMA wal_autocheckpoint=4")
    store._db.execute("PRAGMA synchronous=OFF")
    reading = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nfrom pathlib import Path\nfrom evoae_cli.study.store import Store\nprint(flush=True)\n"
            "n = 0\nwhile n < 1000:\n    store = Store.read(Path(sys.argv[1]))\n    n = len(store.history())\n"
            "    store.close()\n",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    assert reading.stdout is not None
    reading.stdout.readline()
    for number in range(1000):
        store.append(record(f"g{number}", number=number), meta={})
    assert reading.wait(timeout=120) == 0
    reading.stdout.close()
    store.close()
