"""People change their minds: more or fewer workers, and a stop, for a search that is running."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import Script, course, created, opened
from scripted_study import scripted_study

from evoae_cli.errors import StudyError, UsageError
from evoae_cli.study.orders import ORDERS, Order, give
from evoae_cli.study.store import Store
from evoae_cli.study.summary import history, read_snapshot, summary

SLEEP_S = 0.15


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The study that nobody disturbs."""
    with scripted_study(tmp_path_factory.mktemp("whole")) as folder:
        yield folder


def run_while(study: Any, act: Callable[[], None], n_before: int = 3) -> Any:
    """Run `study`, and `act` in another thread once `n_before` candidates were evaluated."""
    others: list[threading.Thread] = []
    errors: list[BaseException] = []
    n_evaluated = 0

    def acting() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)
            study.kill()

    def listen(event: Any) -> None:
        nonlocal n_evaluated
        n_evaluated += event.kind == "evaluated"
        if n_evaluated == n_before and not others:
            others.append(threading.Thread(target=acting))
            others[0].start()

    result = study.run(listen)
    others[0].join()
    assert not errors, errors
    return result


def wait_until(holds: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up_at, f"in vain waited for: {what}"
        time.sleep(0.02)


def states(study: Any) -> list[str]:
    return [worker.state for worker in study.snapshot().workers]


def assert_undisturbed(folder: Path, whole: Path, script: Script) -> None:
    assert course(folder) == course(whole)
    assert len(script.begun()) == len(set(script.begun()))
    assert summary(folder)["counts"]["lost_leases"] == 0
    assert not (folder / ORDERS).exists()


def test_workers_that_are_added_take_part_and_leave_no_trace(script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=SLEEP_S)
    study = created(folder, workers=1)

    def add() -> None:
        give(folder, Order(kind="add", n=2))
        wait_until(lambda: states(study).count("training") == 3, "three workers that train")
        assert len(read_snapshot(folder).workers) >= 1

    assert run_while(study, add).state == "done"
    assert len({note.worker for note in script.notes()}) == 3
    assert_undisturbed(folder, whole, script)


def test_an_asynchronous_search_has_work_at_once_for_workers_that_are_added(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    """Not only when the next result comes, which may take long."""
    folder = tmp_path / "study"
    stuck = history(whole)[1][1]
    script.write({stuck: "hang"})
    study = created(folder, mode="async", workers=1)

    def add() -> None:
        wait_until(lambda: stuck in script.begun(), "a candidate that hangs")
        n_begun = len(script.begun())
        give(folder, Order(kind="add", n=1))
        wait_until(lambda: len(script.begun()) > n_begun, "a candidate for the new worker")
        study.kill()

    assert run_while(study, add, n_before=1).state == "interrupted"


def test_workers_that_are_drained_finish_what_they_train(script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=SLEEP_S)
    study = created(folder, workers=3)

    def remove() -> None:
        wait_until(lambda: states(study).count("training") == 3, "three workers that train")
        give(folder, Order(kind="remove", n=2))
        wait_until(lambda: len(states(study)) == 1, "one worker")

    assert run_while(study, remove).state == "done"
    assert_undisturbed(folder, whole, script)


def test_numbers_that_cannot_be_are_refused_and_change_nothing(script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=SLEEP_S)
    study = created(folder)

    def ask_too_much() -> None:
        for order, why in (
            (Order(kind="set", n=0), "0 workers cannot be; 1 to 1024 can"),
            (Order(kind="remove", n=2), "of 2 workers one must stay"),
            (Order(kind="add", n=1024), "1026 workers cannot be; 1 to 1024 can"),
        ):
            with pytest.raises(StudyError, match=why):
                give(folder, order)
        assert len(states(study)) == 2

    assert run_while(study, ask_too_much).state == "done"
    assert_undisturbed(folder, whole, script)
    with pytest.raises(UsageError, match="0 workers cannot be"):
        study.resize(0)


def test_an_order_to_stop_lets_what_runs_finish(script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=SLEEP_S)
    study = created(folder)
    assert run_while(study, lambda: give(folder, Order(kind="stop"))).state == "interrupted"
    assert summary(folder)["state"] == read_snapshot(folder).state == "interrupted"
    assert sorted(script.begun()) == sorted(row[1] for row in history(folder))
    script.write()
    assert opened(folder).run().state == "done"
    assert_undisturbed(folder, whole, script)


def test_an_order_to_stop_at_once_does_not_wait(script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    stuck = history(whole)[4][1]
    script.write({stuck: "hang"})
    study = created(folder)

    def kill() -> None:
        wait_until(lambda: stuck in script.begun(), "a candidate that hangs")
        give(folder, Order(kind="kill"))

    assert run_while(study, kill).state == "interrupted"
    assert stuck not in [row[1] for row in history(folder)]
    script.write()
    assert opened(folder).run().state == "done"
    assert course(folder) == course(whole)


@pytest.mark.parametrize("mode", ["generational", "async"])
def test_a_stop_that_comes_with_a_result_begins_neither_a_generation_nor_a_finalist(
    mode: str, script: Script, tmp_path: Path
) -> None:
    """It is asked for at the last result of the start, and again at the last one of the search."""
    chosen: dict[str, Any] = {"mode": mode, "workers": 1}
    created(tmp_path / "undisturbed", **chosen).run()
    rows, n_finals, n_evaluated = history(tmp_path / "undisturbed"), len(script.begun("final")), 0
    folder = tmp_path / "study"
    study = created(folder, **chosen)
    for n in (sum(row[0] == 0 for row in rows), len(rows)):

        def stop(event: Any, study: Any = study, n: int = n) -> None:
            nonlocal n_evaluated
            n_evaluated += event.kind == "evaluated"
            if n_evaluated == n:
                study.request_stop()

        assert study.run(stop).state == summary(folder)["state"] == "interrupted"
        assert study.snapshot().phase == "search"
        assert study.snapshot().generation == rows[n - 1][0]
        assert len(script.begun()) - len(rows) == len(history(folder)) == n
        assert len(script.begun("final")) == n_finals
        study = opened(folder)
    assert study.run().state == "done"
    assert course(folder) == course(tmp_path / "undisturbed")


def test_the_diary_tells_each_number_of_workers_that_was_asked_for(script: Script, tmp_path: Path) -> None:
    """Also one from before the first result, and several that came while it was busy, after which nothing ran."""
    folder = tmp_path / "study"
    study = created(folder, mode="async")
    study.resize(1)
    asked = [3, 2, 4]

    def listen(event: Any) -> None:
        if event.kind == "evaluated":
            while asked:
                study.resize(asked.pop(0))
            study.request_stop()

    study.run(listen)
    store = Store.read(folder)
    told = [text for _, kind, text in store.events() if kind == "workers"]
    store.close()
    assert told == [f"from now on {n}" for n in (1, 3, 2, 4)]
