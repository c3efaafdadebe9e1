import time
from pathlib import Path

import msgspec
import pytest

from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.evaluation.contract import Evaluation, Scores, Stage
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


def ended(made: Record, outcome: Outcome, stage: Stage = "search", seed_index: int = 0) -> Record:
    """The same evaluation with another end, or of another stage."""
    found = msgspec.structs.replace(made.evaluation, outcome=outcome, stage=stage, seed_index=seed_index)
    if outcome is not Outcome.OK:
        found = msgspec.structs.replace(found, scores=None, reason="it failed")
    return msgspec.structs.replace(made, evaluation=found, generation=made.generation if stage == "search" else -1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path)


def test_an_appended_evaluation_is_there_for_another_reader_at_once(store: Store, tmp_path: Path) -> None:
    store.append(record("3x3conv2d:8"), meta={"active_s": 4.0})
    reader = Store.read(tmp_path)
    found = reader.find("search", "3x3conv2d:8")
    assert found is not None
    assert found.evaluation == record("3x3conv2d:8").evaluation
    assert reader.meta("active_s") == 4.0


def test_history_is_in_the_order_of_proposals_whatever_order_evaluations_ended_in(store: Store) -> None:
    for genotype, generation, number in (("c", 1, 2), ("b", 0, 1), ("a", 0, 0)):
        store.append(record(genotype, generation=generation, number=number), meta={})
    assert [row[1] for row in store.history()] == ["a", "b", "c"]


def test_every_commit_is_synced_in_full(store: Store) -> None:
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_the_best_is_the_fittest_and_never_a_failed_one(store: Store) -> None:
    assert store.best("search") is None
    store.append(record("failed", 0.0), meta={})
    assert store.best("search") is None
    store.append(record("good", 5.0, number=1), meta={})
    store.append(record("better", 6.0, number=2), meta={})
    best = store.best("search")
    assert best is not None
    assert best.evaluation.genotype == "better"


def test_best_by_generation_never_falls(store: Store) -> None:
    for number, (generation, fitness) in enumerate([(0, 3.0), (0, 1.0), (1, 2.0), (3, 4.0)]):
        store.append(record(f"g{number}", fitness, generation=generation, number=number), meta={})
    assert store.best_by_generation() == [(0, 3.0), (1, 3.0), (3, 4.0)]


def test_a_generation_that_replays_differently_is_refused(store: Store) -> None:
    store.put_generation(0, {"generation": 0, "generator": "1"}, {})
    store.put_generation(0, {"generation": 0, "generator": "1"}, {})
    with pytest.raises(StudyError, match="replays differently"):
        store.put_generation(0, {"generation": 0, "generator": "2"}, {})
    assert store.generations() == [{"generation": 0, "generator": "1"}]


def test_a_reader_cannot_write(store: Store, tmp_path: Path) -> None:
    with pytest.raises(EvoaeError):
        Store.read(tmp_path).put_meta(state="done")


def test_the_kinds_of_hardware_are_told_apart(store: Store) -> None:
    store.append(record("a"), meta={})
    store.append(record("b", number=1), meta={})
    assert len(store.hardware()) == 1
    other = record("c", number=2)
    for change in ({"device": "gpu"}, {"dtype": "bfloat16"}, {"torch": "3"}, {"micro_batches": 4}):
        found = msgspec.structs.replace(other.evaluation, genotype=str(change), **change)
        store.append(msgspec.structs.replace(other, evaluation=found), meta={})
    assert len(store.hardware()) == 5


def test_of_equals_the_best_has_fewer_parameters_whatever_order_they_ended_in(tmp_path: Path) -> None:
    for place, order in (("a", (9, 4)), ("b", (4, 9))):
        (tmp_path / place).mkdir()
        store = Store.create(tmp_path / place)
        for number, parameters in enumerate(order):
            made = record(f"g{parameters}", number=number)
            found = msgspec.structs.replace(made.evaluation, parameters=parameters)
            store.append(msgspec.structs.replace(made, evaluation=found), meta={})
        best = store.best("search")
        assert best is not None
        assert best.evaluation.genotype == "g4"


def study_with_failures(folder: Path) -> Store:
    """Three generations; the second has a candidate that crashed and one that diverged, the finals one that hung."""
    store = Store.create(folder)
    for generation in range(3):
        for number in range(2 * generation, 2 * generation + 2):
            made = record(f"g{number}", 2.0 + number, generation=generation, number=number)
            outcome = {2: Outcome.CRASHED, 3: Outcome.DIVERGED}.get(number, Outcome.OK)
            store.append(ended(made, outcome), meta={"counts": {"proposed": 9, "trained": number + 1}})
        store.put_generation(generation, {"generation": generation}, {})
    finals: list[tuple[str, Outcome]] = [("g5", Outcome.OK), ("g4", Outcome.TIMEOUT)]
    for genotype, outcome in finals:
        store.append(ended(record(genotype, 9.0), outcome, "final"), meta={})
    for genotype in ("g5", "g4"):
        store.append(ended(record(genotype, 8.0), Outcome.OK, "test"), meta={})
    store.put_meta(state="done", finalists=["g5", "g4"], winner=["g5", 0])
    return store


def test_forgetting_failures_keeps_the_history_before_them_and_sets_the_rest_aside(tmp_path: Path) -> None:
    store = study_with_failures(tmp_path)
    assert store.forget_failures(is_generational=True) == 2
    assert [row[1] for row in store.history()] == ["g0", "g1"]
    assert [found.evaluation.genotype for found in store.records("search")] == ["g0", "g1"]
    assert store.best_by_generation() == [(0, 3.0)]
    assert store.generations() == [{"generation": 0}]
    assert store.find("search", "g2") is None
    best = store.best("search")
    assert best is not None
    assert best.evaluation.genotype == "g1"
    for genotype in ("g3", "g4", "g5"):
        found = store.find("search", genotype)
        assert found is not None
        assert found.generation == -1


def test_forgetting_failures_leaves_no_word_of_them(tmp_path: Path) -> None:
    store = study_with_failures(tmp_path)
    store.forget_failures(is_generational=True)
    assert store.find("final", "g4") is None
    assert store.find("test", "g4") is None
    assert store.find("test", "g5") is not None
    assert store.meta("state") == "interrupted"
    assert store.meta("finalists") == ["g5"]
    assert store.meta("winner") == ["g5", 0]
    assert store.outcomes() == {"ok": 4}
    assert store.meta("counts") == {
        "proposed": 9,
        "trained": 2,
        "diverged": 0,
        "oom": 0,
        "timeout": 0,
        "crashed": 0,
    }


def test_what_is_set_aside_is_history_again_once_it_is_placed(tmp_path: Path) -> None:
    store = study_with_failures(tmp_path)
    store.forget_failures(is_generational=True)
    store.place("g3", 1, 7)
    assert store.history()[-1] == [1, "g3", "diverged", 0.0]
    assert store.outcomes()["diverged"] == 1
    with pytest.raises(ValueError, match="g3 is not set aside"):
        store.place("g3", 2, 8)
    with pytest.raises(ValueError, match="unknown is not set aside"):
        store.place("unknown", 2, 8)
    assert store.history()[-1] == [1, "g3", "diverged", 0.0]


def test_an_asynchronous_search_forgets_only_what_failed(tmp_path: Path) -> None:
    store = study_with_failures(tmp_path)
    assert store.forget_failures(is_generational=False) == 2
    assert [row[1] for row in store.history()] == ["g0", "g1", "g3", "g4", "g5"]
    assert len(store.generations()) == 3


def test_forgetting_where_nothing_failed_changes_nothing(store: Store) -> None:
    store.append(record("a"), meta={})
    store.append(record("b", 0.0, number=1), meta={})
    store.put_generation(0, {"generation": 0}, {"state": "done", "counts": {"diverged": 1}})
    assert store.forget_failures(is_generational=True) == 0
    assert len(store.history()) == 2
    assert store.generations() == [{"generation": 0}]
    assert (store.meta("state"), store.meta("counts")) == ("done", {"diverged": 1})


def test_only_failed_finalists_leave_the_search_as_it_is(tmp_path: Path) -> None:
    store = study_with_failures(tmp_path)
    store.append(ended(record("g2", 4.0, generation=1, number=2), Outcome.OK), meta={})
    assert store.forget_failures(is_generational=True) == 1
    assert len(store.history()) == 6
    assert len(store.generations()) == 3


def test_evaluations_are_told_in_the_order_in_which_they_were_stored(store: Store) -> None:
    for genotype, number in (("c", 2), ("a", 0), ("b", 1)):
        store.append(record(genotype, number=number), meta={})
    store.append(ended(record("finalist"), Outcome.OK, "final"), meta={})
    store.append(record("c", 5.0, number=2), meta={})
    assert [found.evaluation.genotype for found in store.told()] == ["a", "b", "c"]


def test_what_is_told_stays_in_order_when_the_last_one_was_forgotten(store: Store) -> None:
    store.append(record("a"), meta={})
    store.append(ended(record("b", number=1), Outcome.OOM), meta={})
    store.forget_failures(is_generational=False)
    store.append(record("c", number=2), meta={})
    store.append(record("b", number=1), meta={})
    assert [found.evaluation.genotype for found in store.told()] == ["a", "c", "b"]
