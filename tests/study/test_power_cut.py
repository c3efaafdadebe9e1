"""The power goes, or the folder: copies of a study that is running, cut and torn at random places, and resumed.

What a power cut may leave is a log that ends anywhere, since each commit is synced and the database file is written
only from a log that is. A file that lost more than that is refused as it is.
"""

import random
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evoae_cli import resume
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.study.resolve import resolve
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study, StudyEvent
from evoae_cli.study.summary import history, summary

# Without an end, so that it is stopped before any finalist; large enough for the log to be written back on the way.
ENDLESS = SMALL | {
    "generations": 1_000_000,
    "population": 8,
    "filters": (4, 8, 12, 16, 20, 24),
    "kernels": (1, 3, 5, 7),
    "max_layers": 3,
    "workers": 2,
    "device": "cpu",
}
EARLY, LATE = 6, 90
"""Generations of the two copies: in the first all is still in the log, in the second most in the database."""
N_COMPARED = 5
"""Generations that a copy must go on for, and be the same in."""


HASHED = "evoae_cli.bench.hashed:start"
"""Workers that answer at once, with a fitness that depends on the genotype alone."""


@dataclass(frozen=True)
class Live:
    """What was copied of a study while it ran, and what came of it when nothing disturbed it."""

    early: Path
    late: Path
    n_made: int
    """Bytes of the log when the study had been made."""
    undisturbed: Path


def refuse(text: str) -> None:
    raise AssertionError(f"no warning was expected: {text}")


def copy(folder: Path, target: Path) -> Path:
    """The folder as it is, without the log's index in memory, which no power cut leaves."""
    return Path(shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*-shm", "study.lock", ".*")))


def course(folder: Path, end: int) -> tuple[Any, ...]:
    """History, best of it, and the search's states with the generators', before generation `end`."""
    store = Store.read(folder)
    rows = [row for row in store.history() if row[0] < end]
    states = store.generations()[:end]
    assert len(states) == end
    store.close()
    return rows, max((fitness, genotype) for _, genotype, _, fitness in rows), states


def stop_at(study: Study, generation: int) -> None:
    study.run(lambda event: study.request_stop() if study.snapshot().generation >= generation else None)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    home = tmp_path_factory.mktemp("live")
    study = Study.create(resolve("denoise", ENDLESS), home / "study", warn=refuse, runner=HASHED)
    n_made = (home / "study" / "study.db-wal").stat().st_size

    def copy_twice(event: StudyEvent) -> None:
        generation = study.snapshot().generation
        for name, wanted in (("early", EARLY), ("late", LATE)):
            # In the middle of it, so that there are evaluations of an open generation.
            if event.kind == "evaluated" and generation >= wanted and not (home / name).exists():
                copy(home / "study", home / name)
        if generation >= LATE + N_COMPARED:
            study.request_stop()

    study.run(copy_twice)
    assert (home / "early" / "study.db").stat().st_size == 4096
    assert (home / "late" / "study.db").stat().st_size > 50_000
    return Live(home / "early", home / "late", n_made, home / "study")


def damaged(content: bytes, how: str, draw: random.Random) -> tuple[bytes, int]:
    """The content, cut or torn at a random place, and that place."""
    place = draw.randrange(len(content))
    if how == "cut":
        return content[:place], place
    tail = bytes(len(content) - place) if how == "zeroed" else draw.randbytes(len(content) - place)
    return content[:place] + tail, place


def survivors(folder: Path, home: Path) -> set[tuple[str, float]]:
    """(genotype, when it ended) of what another program reads in a copy of the copy."""
    look = copy(folder, home / "look")
    db = sqlite3.connect(look / "study.db")
    found = set(db.execute("SELECT genotype, finished_at FROM evaluations").fetchall())
    db.close()
    return found


def stored_bytes(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("study.db", "study.db-wal")]


def why_refused(folder: Path) -> str | None:
    """What opening it says, or None if it can be opened."""
    try:
        Store.open(folder).close()
    except StudyError as refused:
        return str(refused)
    return None


def assert_same_end(folder: Path, end: int, live: Live, home: Path) -> None:
    """It resumes to the undisturbed history up to a generation, bit for bit, and evaluates nothing again."""
    kept = survivors(folder, home)
    stop_at(Study.open(folder, warn=refuse, runner=HASHED), end)
    assert course(folder, end) == course(live.undisturbed, end)
    store = Store.read(folder)
    assert kept <= {(each.evaluation.genotype, each.finished_at) for each in store.records("search")}
    store.close()


@pytest.mark.parametrize("how", ["cut", "zeroed", "garbled"])
@pytest.mark.parametrize(("moment", "generation"), [("early", EARLY), ("late", LATE)])
@pytest.mark.parametrize("seed", range(4))
def test_a_log_that_ends_anywhere_resumes_to_the_same_history(
    seed: int, moment: str, generation: int, how: str, live: Live, tmp_path: Path
) -> None:
    folder = copy(getattr(live, moment), tmp_path / "study")
    log = folder / "study.db-wal"
    content, place = damaged(log.read_bytes(), how, random.Random(f"{seed} {moment} {how}"))
    log.write_bytes(content)
    if moment == "early" and place < live.n_made:
        with pytest.raises(StudyError, match="never"):
            Study.open(folder, warn=refuse, runner=HASHED)
    else:
        assert_same_end(folder, generation + N_COMPARED, live, tmp_path)


@pytest.mark.parametrize(
    ("moment", "generation", "seed"),
    [*(("early", EARLY, seed) for seed in range(3)), *(("late", LATE, seed) for seed in range(6))],
)
def test_a_database_that_was_cut_resumes_to_the_same_history_or_is_refused_as_it_is(
    moment: str, generation: int, seed: int, live: Live, tmp_path: Path
) -> None:
    folder = copy(getattr(live, moment), tmp_path / "study")
    path = folder / "study.db"
    place = 0 if seed == 0 else random.Random(f"{seed} {moment}").randrange(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:place])
    before = stored_bytes(folder)
    reason = why_refused(folder)
    if reason is None:
        assert_same_end(folder, generation + N_COMPARED, live, tmp_path)
    else:
        assert "cut short" in reason or "is malformed" in reason
        assert "\n" not in reason
        assert stored_bytes(folder) == before


def test_the_whole_course_with_real_networks_is_the_same_after_a_power_cut(
    finished_study: Path, tmp_path: Path
) -> None:
    study = Study.create(resolve("denoise", SMALL | {"workers": 2}), tmp_path / "study", warn=refuse)
    n_stored: list[int] = []

    def copy_once(event: StudyEvent) -> None:
        if event.kind == "evaluated" and study.snapshot().generation == 1 and not n_stored:
            copy(study.folder, tmp_path / "copy")
            n_stored.append(len(history(study.folder)))
            study.kill()

    study.run(copy_once)
    log = tmp_path / "copy" / "study.db-wal"
    # Into the last commit: the evaluation that was said to have ended.
    log.write_bytes(log.read_bytes()[:-3000])
    assert 0 < len(history(tmp_path / "copy")) < n_stored[0]
    assert resume(tmp_path / "copy", progress=False).state == "done"
    assert history(tmp_path / "copy") == history(finished_study)
    for key in ("best", "finalists"):
        assert summary(tmp_path / "copy")[key] == summary(finished_study)[key]


@pytest.mark.parametrize("deed", ["moved", "deleted"])
def test_a_folder_that_vanishes_while_the_study_runs_is_one_line(deed: str, live: Live, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    study = Study.create(resolve("denoise", ENDLESS), folder, warn=refuse, runner=HASHED)

    def take_away(event: StudyEvent) -> None:
        if event.kind == "evaluated" and study.snapshot().generation >= EARLY and folder.exists():
            folder.rename(elsewhere)
            if deed == "deleted":
                shutil.rmtree(elsewhere)

    with pytest.raises(EvoaeError, match="moved or deleted while it ran") as refused:
        study.run(take_away)
    assert "\n" not in str(refused.value)
    assert not (folder / "study.db").exists()
    if deed == "moved":
        assert_same_end(elsewhere, EARLY + N_COMPARED, live, tmp_path)
