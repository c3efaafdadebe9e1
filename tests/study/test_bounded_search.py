"""Studies that are given a time, with workers that sleep as a script says."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripted
from scripted import Script, course, created, opened
from scripted_study import scripted_study

from evoae_cli.study.store import Store
from evoae_cli.study.summary import history, summary

ROOT = Path(__file__).parents[2]
LONG: dict[str, Any] = {"generations": 12, "population": 6}
SLEEP_S, LIMIT_S = 0.2, 4.0
MARGIN_S = 15.0
"""On a busy machine. What follows the finalists takes a second or two: one reading of test, and the pictures."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The course of a study without any limit."""
    with scripted_study(tmp_path_factory.mktemp("whole"), **LONG) as folder:
        yield folder


def n_stored(folder: Path) -> int:
    store = Store.read(folder)
    n = sum(1 for _ in store.told())
    store.close()
    return n


def warnings_of(events: list[Any]) -> list[str]:
    return [event.line for event in events if event.kind == "warning"]


@pytest.mark.parametrize("mode", ["generational", "async"])
def test_it_ends_in_time_with_a_winner_and_a_reading_of_test_and_later_goes_on(
    mode: str, script: Script, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=SLEEP_S)
    study = created(folder, **LONG | {"mode": mode})
    began_at = time.monotonic()
    result = study.run(limit_s=LIMIT_S)
    took_s = time.monotonic() - began_at
    assert took_s < LIMIT_S + MARGIN_S
    assert result.state == summary(folder)["state"] == "time-up"
    assert result.model is not None
    found = summary(folder)
    assert found["best"]["test"] is not None
    assert [final["outcome"] for final in found["finalists"]] == ["ok"] * len(found["finalists"]) != []
    assert 1 <= len(history(folder)) <= n_stored(folder) < len(history(whole))
    script.write()
    assert opened(folder).run().state == "done"
    found = summary(folder)
    counts = found["counts"]
    assert counts["proposed"] == counts["trained"] + counts["cache_hits"] + counts["in_flight_hits"]
    assert counts["trained"] == n_stored(folder) == len(history(folder))
    assert mode == "generational" or counts["proposed"] == 6 + 2 * 6 * 12
    assert found["best"]["genotype"] == found["finalists"][0]["genotype"]
    described = json.loads((folder / "best" / "model.json").read_text())
    assert described["genotype"] == found["best"]["genotype"]
    assert described["metrics"]["test"]["fitness"] == found["best"]["test"]["fitness"]


def test_its_history_is_the_beginning_of_the_unbounded_one_and_a_resume_ends_as_that_does(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    """In spite of two workers, candidates sent longest first, and a time that is up amid a generation."""
    place = {row[1]: i for i, row in enumerate(history(whole))}
    n_evaluated, n_start = 0, sum(row[0] == 0 for row in history(whole))

    def listen(event: Any) -> None:
        nonlocal n_evaluated
        n_evaluated += event.kind == "evaluated"

    def expected(genotype: str) -> float:
        # At first so short that each generation seems to fit; amid the second one no time seems to be left.
        return 1e-4 * (1 + place[genotype]) if n_evaluated <= n_start else 1e6

    folder = tmp_path / "study"
    script.write(sleep_s=SLEEP_S)
    result = created(folder, expected=expected, **LONG).run(listen, limit_s=3600.0)
    assert result.state == "time-up"
    found = history(folder)
    assert 1 <= len(found) < n_stored(folder)
    assert found == history(whole)[: len(found)]
    rows = (folder / "best" / "history.csv").read_text().splitlines()[1:]
    assert len(rows) == len(found)
    script.write()
    assert opened(folder).run().state == "done"
    assert course(folder) == course(whole)
    assert len(script.begun()) == len(set(script.begun())) == len(history(whole))


def test_more_time_goes_on_from_there_and_a_later_run_to_the_same_end(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=SLEEP_S)
    created(folder, **LONG).run(limit_s=LIMIT_S / 2)
    first, n_first = history(folder), n_stored(folder)
    assert opened(folder).run(limit_s=LIMIT_S).state == "time-up"
    second = history(folder)
    assert n_stored(folder) > n_first
    assert second[: len(first)] == first
    assert second == history(whole)[: len(second)]
    script.write()
    assert opened(folder).run().state == "done"
    assert course(folder) == course(whole)
    assert len(script.begun()) == len(set(script.begun())) == len(history(whole))


def test_too_short_a_time_still_gives_a_model_and_says_that_finalists_are_left_out(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=SLEEP_S)
    events: list[Any] = []
    result = created(folder, **LONG).run(events.append, limit_s=0.001)
    assert result.state == "time-up"
    assert result.model is not None
    assert history(folder)
    assert len(summary(folder)["finalists"]) == 1
    assert len(script.begun("final")) == 1
    ranked = min(2, n_stored(folder))
    assert warnings_of(events) == summary(folder)["warnings"]
    [too_long, *few] = warnings_of(events)
    assert "one finalist takes longer than the time that is left" in too_long
    ranked = min(2, n_stored(folder))
    if ranked == 2:
        assert len(few) == 1
        said = "time is left to train (1|none) of 2 finalists(, so .*)?, for 1 of 2 epochs; resume trains the rest"
        assert re.fullmatch(said, few[0])
    script.write()
    assert opened(folder).run().state == "done"
    assert course(folder) == course(whole)
    described = summary(folder)["best"]
    assert described["genotype"] == summary(folder)["finalists"][0]["genotype"]
    assert described["test"] is not None


def test_a_time_that_is_never_up_changes_nothing(script: Script, whole: Path, tmp_path: Path) -> None:
    bounded = created(tmp_path / "study", **LONG)
    assert bounded.run(limit_s=3600.0).state == "done"
    assert course(tmp_path / "study") == course(whole)
    assert summary(tmp_path / "study")["warnings"] == []


def test_without_time_for_all_finalists_the_last_run_trains_the_rest(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    settings: dict[str, Any] = {"generations": 0, "finalists": 4, "population": 4, "workers": 1, "final_epochs": 20}
    script.write(sleep_s=0.1)
    events: list[Any] = []
    result = created(folder, **settings).run(events.append, limit_s=5.0)
    assert result.state == "time-up"
    n_trained = len(summary(folder)["finalists"])
    assert 1 <= n_trained <= 4
    # A start that takes long leaves time for fewer, at the worst for none.
    *too_long, few_left = warnings_of(events)
    assert len(too_long) <= 1
    assert all("one finalist takes longer than the time" in said for said in too_long)
    ranked = min(4, n_stored(folder))
    said = rf"time is left to train {n_trained} of {ranked} finalists(, for \d+ of 20 epochs)?; resume trains the rest"
    assert re.fullmatch(said, few_left)
    script.write()
    assert opened(folder).run().state == "done"
    assert len(summary(folder)["finalists"]) == 4
    store = Store.read(folder)
    assert {record.evaluation.images_seen for record in store.records("final")} == {20 * 32}
    store.close()


def test_nothing_begins_that_would_not_end_in_time(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=0.3)
    study = created(folder, expected=lambda genotype: 100.0, workers=1, population=5)
    assert study.run(limit_s=60.0).state == "time-up"
    # Not more than what had begun when the first result came, which had to be awaited: there must be a model.
    assert 1 <= n_stored(folder) < 5


@pytest.mark.parametrize("mode", ["generational", "async"])
def test_a_stop_while_the_last_candidates_finish_begins_no_finalist_and_a_resume_goes_on(
    mode: str, script: Script, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    first, second, *_ = (row[1] for row in history(whole))
    script.write(sleep_s=0.5, sleeps={first: 0.2, second: 0.8})
    n_evaluated = 0

    def listen(event: Any) -> None:
        nonlocal n_evaluated
        n_evaluated += event.kind == "evaluated"
        if n_evaluated == 2:
            study.request_stop()

    def expected(genotype: str) -> float:
        # From the first result on no time is left, so the second comes while the search waits for what runs.
        return 1e-4 if n_evaluated == 0 else 1e6

    study = created(folder, expected=expected, **LONG | {"mode": mode})
    assert study.run(listen, limit_s=3600.0).state == "interrupted"
    assert summary(folder)["state"] == "interrupted"
    assert study.snapshot().phase == "search"
    assert script.begun("final") == []
    assert len(script.begun()) == n_stored(folder) <= 4
    script.write()
    assert opened(folder).run().state == "done"
    assert len(script.begun()) == len(set(script.begun()))
    assert mode == "async" or course(folder) == course(whole)


def test_candidates_too_slow_to_be_finalists_do_not_end_the_search(script: Script, tmp_path: Path) -> None:
    """A finalist is expected to take some 200 s, and there are 4; those to come may take less."""
    folder = tmp_path / "study"

    def begin_finals(event: Any) -> None:
        if "the time for the search is up" in event.line:
            script.write()

    script.write(sleep_s=0.1)
    created(folder, **LONG | {"workers": 1, "final_epochs": 2000}).run(begin_finals, limit_s=12.0)
    assert n_stored(folder) > 2
    assert len(script.begun("final")) == 1

    # One that is trained already takes no time, so it is a finalist where no other can be.
    script.write(sleep_s=0.1)
    events: list[Any] = []
    opened(folder).run(lambda event: (events.append(event), begin_finals(event)), limit_s=2.0)
    assert len(script.begun("final")) == 1
    assert not any("takes longer than the time that is left" in text for text in warnings_of(events))
    assert len(summary(folder)["finalists"]) == 1


PAUSED_S = 10.0
LED = f"""
import json, sys, time
from pathlib import Path
import scripted

began_at, n_evaluated = time.monotonic(), 0
study = scripted.created(Path(sys.argv[1]), workers=1, generations=12, expected=lambda genotype: 0.01)

def listen(event):
    global n_evaluated
    n_evaluated += event.kind == "evaluated"
    if event.kind == "evaluated" and n_evaluated == 1:
        print(*[worker.pid for worker in study.snapshot().workers], flush=True)
        sys.stdin.readline()
    if n_evaluated == 5:
        study.request_stop()

result = study.run(listen, limit_s={PAUSED_S})
paused_s, wall_s = study._engine.view().paused_s, time.monotonic() - began_at
print(json.dumps([result.state, result.summary["active_s"], paused_s, wall_s]), flush=True)
"""


def test_a_pause_of_the_process_counts_neither_as_active_nor_into_the_time_given(
    script: Script, tmp_path: Path
) -> None:
    """It is stopped for as long as it was given in all, with its worker, and then still has time for candidates."""
    process = subprocess.Popen(
        [sys.executable, "-c", LED, str(tmp_path / "study")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(scripted.__file__).parent), str(ROOT)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        pids = [process.pid, *map(int, process.stdout.readline().split())]
        assert len(pids) == 2
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(PAUSED_S)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        said, _ = process.communicate("go on\n", timeout=60)
    finally:
        process.kill()
        process.communicate()
    state, active_s, paused_s, wall_s = json.loads(said)
    assert state == "interrupted"
    assert PAUSED_S <= paused_s < PAUSED_S + MARGIN_S
    assert 0 < active_s <= wall_s - PAUSED_S


def test_finalists_are_trained_for_a_part_where_time_is_short_and_whole_once_there_is_more(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    """Candidates are said to take 10 s, so final trainings 200 s, and there are 150."""
    folder = tmp_path / "study"
    script.write()
    events: list[Any] = []
    changes = LONG | {"final_epochs": 20, "generations": 0}
    result = created(folder, expected=lambda genotype: 10.0, **changes).run(events.append, limit_s=150.0)
    assert result.state == "time-up"
    store = Store.read(folder)
    finals = list(store.records("final"))
    store.close()
    assert [summary(folder)["finalists"][0]["genotype"]] == [result.summary["best"]["genotype"]]
    shares = {record.evaluation.images_seen / (20 * 32) for record in finals}
    assert len(finals) == 2
    assert len(shares) == 1
    assert 0.25 <= (share := shares.pop()) < 1.0
    assert warnings_of(events) == [
        f"time is left to train 2 of 2 finalists, for {round(20 * share)} of 20 epochs; resume trains the rest"
    ]
    script.write()
    assert opened(folder).run().state == "done"
    store = Store.read(folder)
    assert {record.evaluation.images_seen for record in store.records("final")} == {20 * 32}
    # What test said of the shorter training is gone with it, and it was asked again.
    assert len(list(store.records("test"))) == 1
    store.close()
    assert len(script.begun("final")) == 4
    # Nothing is trained for a third time.
    assert opened(folder).run().state == "done"
    assert len(script.begun("final")) == 4
