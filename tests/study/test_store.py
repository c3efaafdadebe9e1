import sqlite3
import time
from pathlib import Path

import msgspec
import pytest

from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.evaluation.contract import Evaluation, Scores
from evoae_cli.outcome import Outcome
from evoae_cli.study.store import Record, Store


def record(genotype: str, fitness: float = 2.0, *, generation: int = 0, number: int = 0) -> Record:
    scores = Scores(mse=1 / fitness, psnr_db=20.0, psnr_pooled_db=19.0, ssim=0.5) if fitness else None
    outcome = Outcome.OK if fitness else Outcome.DIVERGED
    return Record(
        evaluation=Evaluation(
            genotype=genotype, stage="search", seed_index=0, outcome=outcome, scores=scores, device="cpu", torch="2"
        ),
        generation=generation,
        number=number,
        worker="worker-1",
        attempt=1,
        run_s=1.5,
        finished_at=time.time(),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path)


def test_an_appended_evaluation_is_there_for_another_reader_at_once(store: Store, tmp_path: Path) -> None:
    store.append(record("3x3conv2d:8"), {"active_s": 4.0})
    reader = Store.read(tmp_path)
    found = reader.find("search", "3x3conv2d:8")
    assert found is not None
    assert found.evaluation == record("3x3conv2d:8").evaluation
    assert reader.meta("active_s") == 4.0


def test_history_is_in_the_order_of_proposals_whatever_order_evaluations_ended_in(store: Store) -> None:
    for genotype, generation, number in (("c", 1, 2), ("b", 0, 1), ("a", 0, 0)):
        store.append(record(genotype, generation=generation, number=number), {})
    assert [row[1] for row in store.history()] == ["a", "b", "c"]


def test_every_commit_is_synced_in_full(store: Store) -> None:
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_the_best_is_the_fittest_and_never_a_failed_one(store: Store) -> None:
    assert store.best("search") is None
    store.append(record("failed", 0.0), {})
    assert store.best("search") is None
    store.append(record("good", 5.0, number=1), {})
    store.append(record("better", 6.0, number=2), {})
    best = store.best("search")
    assert best is not None
    assert best.evaluation.genotype == "better"


def test_best_by_generation_never_falls(store: Store) -> None:
    for number, (generation, fitness) in enumerate([(0, 3.0), (0, 1.0), (1, 2.0), (3, 4.0)]):
        store.append(record(f"g{number}", fitness, generation=generation, number=number), {})
    assert store.best_by_generation() == [(0, 3.0), (1, 3.0), (3, 4.0)]


def test_a_generation_that_replays_differently_is_refused(store: Store) -> None:
    store.put_generation(0, {"generation": 0, "generator": "1"}, {})
    store.put_generation(0, {"generation": 0, "generator": "1"}, {})
    with pytest.raises(StudyError, match="replays differently"):
        store.put_generation(0, {"generation": 0, "generator": "2"}, {})
    assert store.generations() == [{"generation": 0, "generator": "1"}]


def test_a_write_that_fails_changes_nothing_and_says_what_to_do(store: Store, tmp_path: Path) -> None:
    store.append(record("a"), {"active_s": 1.0})
    # SQLite itself refuses to grow the file further: the same error as a full disk.
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(EvoaeError, match="resume once it can be written"):
        store.put_meta(big="x" * 1_000_000, active_s=9.0)
    reader = Store.read(tmp_path)
    assert reader.meta("active_s") == 1.0
    assert len(reader.history()) == 1


def test_a_reader_cannot_write(store: Store, tmp_path: Path) -> None:
    with pytest.raises(EvoaeError):
        Store.read(tmp_path).put_meta(state="done")


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


def test_the_kinds_of_hardware_are_told_apart(store: Store) -> None:
    store.append(record("a"), {})
    store.append(record("b", number=1), {})
    assert len(store.hardware()) == 1
    other = record("c", number=2)
    for change in ({"device": "gpu"}, {"dtype": "bfloat16"}, {"torch": "3"}, {"micro_batches": 4}):
        found = msgspec.structs.replace(other.evaluation, genotype=str(change), **change)
        store.append(msgspec.structs.replace(other, evaluation=found), {})
    assert len(store.hardware()) == 5


def test_of_equals_the_best_has_fewer_parameters_whatever_order_they_ended_in(tmp_path: Path) -> None:
    for place, order in (("a", (9, 4)), ("b", (4, 9))):
        (tmp_path / place).mkdir()
        store = Store.create(tmp_path / place)
        for number, parameters in enumerate(order):
            made = record(f"g{parameters}", number=number)
            found = msgspec.structs.replace(made.evaluation, parameters=parameters)
            store.append(msgspec.structs.replace(made, evaluation=found), {})
        best = store.best("search")
        assert best is not None
        assert best.evaluation.genotype == "g4"


def test_a_damaged_page_is_one_line_wherever_it_is_met(store: Store, tmp_path: Path) -> None:
    for number in range(200):
        store.append(record(f"g{number}", number=number), {"counts": {"proposed": number}})
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
    with pytest.raises(StudyError, match="never finished being made; delete"):
        Store.read(tmp_path)
