"""The asynchronous search: studies whose workers do as a script says, stopped, killed and resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import scripted
from scripted import Script, course, created, opened, refuse

from evoae_cli.errors import EvoaeError
from evoae_cli.study.desk import Desk
from evoae_cli.study.setup import new_search
from evoae_cli.study.store import Store
from evoae_cli.study.summary import history, read_snapshot, summary

ASYNC: dict[str, Any] = {"mode": "async"}
BUDGET = 4 + 2 * 4 * 3


def told(folder: Path) -> list[tuple[str, float]]:
    store = Store.read(folder)
    found = [(record.evaluation.genotype, record.evaluation.fitness) for record in store.told()]
    store.close()
    return found


def assert_whole(folder: Path, script: Script, budget: int = BUDGET) -> None:
    """Its budget was drawn, each proposal has become one thing, no genotype was told twice, and there is a winner."""
    found = summary(folder)
    counts = found["counts"]
    assert found["state"] == "done"
    assert counts["proposed"] == budget
    assert counts["proposed"] == counts["trained"] + counts["cache_hits"] + counts["in_flight_hits"]
    genotypes = [row[1] for row in history(folder)]
    assert len(genotypes) == len(set(genotypes)) == counts["trained"]
    assert set(genotypes) == set(script.begun())
    assert len(found["finalists"]) == 2
    assert found["best"]["test"] is not None
    rows = (folder / "best" / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [str(row[0]) for row in history(folder)]


def test_it_ends_with_its_budget_and_all_that_a_study_delivers(script: Script, tmp_path: Path) -> None:
    expected: list[int] = []
    shares: list[float] = []
    study = created(tmp_path / "study", **ASYNC)

    def look(event: Any) -> None:
        snapshot = study.snapshot()
        counts = snapshot.counts
        if event.kind == "evaluated":
            expected.append(snapshot.n_expected)
            shares.append(snapshot.share)
            assert snapshot.remaining_s is not None
            assert 0 <= snapshot.remaining_s < 600
            out = counts.proposed - counts.trained - counts.cache_hits - counts.in_flight_hits
            assert 0 <= out <= 2

    result = study.run(look)
    assert_whole(tmp_path / "study", script)
    assert result.model is not None
    assert len(script.begun()) == len(set(script.begun()))
    truth = result.summary["counts"]["trained"] + 2 + 1
    # At first no cache hit is foreseen; then as many as there have been.
    assert expected[0] == BUDGET + 2 + 1
    assert max(expected) <= BUDGET + 2 + 1
    assert min(expected) >= 0.7 * truth
    assert expected[-1] == truth
    assert shares == sorted(shares)
    assert shares[-1] > 0.7
    last = read_snapshot(tmp_path / "study")
    assert last.share == 1.0
    assert last.n_done == last.n_expected == truth
    assert len(last.fitness_by_generation) == 4
    assert max(row[3] for row in history(tmp_path / "study")) == last.fitness_by_generation[-1]


def test_one_worker_gives_the_same_course_each_time(script: Script, tmp_path: Path) -> None:
    for name in ("first", "second"):
        created(tmp_path / name, workers=1, **ASYNC).run()
    assert course(tmp_path / "first") == course(tmp_path / "second")
    assert told(tmp_path / "first") == told(tmp_path / "second")


def test_stopped_again_and_again_it_goes_on_with_what_is_stored(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    study = created(folder, workers=1, **ASYNC)
    for _ in range(40):
        n_new = 0

        def stop_after_five(event: Any, study: Any = study) -> None:
            nonlocal n_new
            n_new += event.kind == "evaluated"
            if n_new == 5:
                study.request_stop()

        before = told(folder)
        result = study.run(stop_after_five)
        assert told(folder)[: len(before)] == before
        if result.state != "interrupted":
            break
        study = opened(folder)
    assert_whole(folder, script)
    assert len(script.begun()) == len(set(script.begun()))
    created(tmp_path / "undisturbed", workers=1, **ASYNC).run()
    assert course(folder) == course(tmp_path / "undisturbed")


def test_what_is_out_when_it_is_stopped_at_once_is_trained_first_when_it_goes_on(
    script: Script, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=0.2)
    study = created(folder, **ASYNC)

    def kill(event: Any) -> None:
        # Results that come together are stored together, so the fifth may not be seen by itself.
        if event.kind == "evaluated" and len(told(folder)) >= 5:
            study.kill()

    assert study.run(kill).state == "interrupted"
    done = {genotype for genotype, _ in told(folder)}
    out = [genotype for genotype in script.begun() if genotype not in done]
    assert out
    n_begun = len(script.begun())
    script.write()
    # With one worker, since of several none knows which begins first.
    opened(folder, workers=1).run()
    assert set(script.begun()[n_begun : n_begun + len(out)]) == set(out)
    assert_whole(folder, script)


def test_killed_workers_cost_no_proposal(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=0.05)
    study = created(folder, **ASYNC)
    killed: list[int] = []

    def kill_a_busy_worker(event: Any) -> None:
        busy = [worker.pid for worker in study.snapshot().workers if worker.state == "training"]
        if event.kind == "evaluated" and busy and len(killed) < 3:
            killed.append(busy[0])
            os.kill(busy[0], signal.SIGKILL)

    study.run(kill_a_busy_worker)
    assert len(killed) == 3
    assert_whole(folder, script)
    assert summary(folder)["counts"]["lost_leases"] >= 1
    assert summary(folder)["lost_workers"]


def test_after_its_coordinator_was_killed_it_trains_nothing_again_that_was_stored(
    script: Script, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=0.1)
    settings = '{"mode": "async"}'
    process = subprocess.Popen(
        [sys.executable, scripted.__file__, str(folder), settings], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stderr is not None
    n_heard = 0
    for line in process.stderr:
        n_heard += "generation" in line and "fitness" in line
        if n_heard == 6:
            break
    process.kill()
    process.wait()
    process.stderr.close()
    assert summary(folder)["state"] == "interrupted"
    before = told(folder)
    assert len(before) >= 5
    n_begun = len(script.begun())
    script.write()
    opened(folder).run()
    assert told(folder)[: len(before)] == before
    assert not {genotype for genotype, _ in before} & set(script.begun()[n_begun:])
    assert_whole(folder, script)


def test_more_generations_go_on_from_the_end(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    created(folder, workers=1, **ASYNC | {"generations": 1}).run()
    assert_whole(folder, script, 4 + 2 * 4)
    before = told(folder)
    opened(folder, generations=3).run()
    assert told(folder)[: len(before)] == before
    assert_whole(folder, script)
    created(tmp_path / "longer", workers=1, **ASYNC).run()
    assert history(folder) == history(tmp_path / "longer")


def test_resuming_one_that_has_ended_trains_nothing(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    created(folder, **ASYNC).run()
    before, n_begun = course(folder), len(script.begun())
    assert opened(folder).run().state == "done"
    assert course(folder) == before
    assert len(script.begun()) == n_begun


def test_a_space_with_nothing_left_ends_it_as_exhausted(script: Script, tmp_path: Path) -> None:
    tiny = ASYNC | {"kernels": (1,), "filters": (4, 8), "dropout": False, "max_layers": 2, "generations": 50}
    study = created(tmp_path / "tiny", **tiny)
    assert study.run(refuse_warnings).state == "exhausted"
    assert len(history(tmp_path / "tiny")) == 2 + 4
    assert read_snapshot(tmp_path / "tiny").n_expected == 2 + 4 + 2 + 1


def until_all_wait(study: Any) -> None:
    """Until no worker has anything to do: then all results wait to be taken."""
    give_up_at = time.monotonic() + 60
    while (view := study._engine.view()).n_queued + view.n_leased > 0:
        assert time.monotonic() < give_up_at, view
        time.sleep(0.01)


def test_results_that_wait_are_stored_in_one_commit_and_only_then_told(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = created(tmp_path / "study", workers=4, **ASYNC)
    steps: list[str] = []
    tell = study._evolution.tell

    def note(statement: str) -> None:
        for letter, start in (("B", "BEGIN"), ("I", "INSERT OR REPLACE INTO evaluations"), ("C", "COMMIT")):
            steps.extend(letter * statement.startswith(start))

    def noted_tell(*result: Any, **costs: Any) -> None:
        steps.append("T")
        tell(*result, **costs)

    receive = Desk.receive

    def receive_late(desk: Desk) -> int:
        # Three candidates are out, beside the classical methods; which of them comes first is nobody's to say.
        until_all_wait(study)
        return receive(desk)

    study._store._db.set_trace_callback(note)
    study._evolution.tell = noted_tell
    monkeypatch.setattr(Desk, "receive", receive_late)

    def listen(event: Any) -> None:
        if event.kind == "evaluated":
            study.request_stop()

    assert study.run(listen).state == "interrupted"
    assert "".join(steps).replace("BC", "") == "BIIICTTT"
    assert len(told(tmp_path / "study")) == 3


def test_a_failure_of_the_host_loses_no_result_that_came_before_it(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full_disk.py").write_text(FULL_DISK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(scripted, "RUNNER", "full_disk:start")
    study = created(tmp_path / "study", workers=4, **ASYNC)
    search = new_search(study._requests)
    *good, bad = (search.ask()[-1].genotype.text for _ in range(3))
    script.write({bad: "poison"}, sleeps={bad: 0.5})
    with pytest.raises(EvoaeError, match="No space left on device; mend this and resume"):
        study.run(lambda event: until_all_wait(study))
    assert sorted(genotype for genotype, _ in told(tmp_path / "study")) == sorted(good)
    assert summary(tmp_path / "study")["state"] == "failed"


FULL_DISK = """
import os
import scripted

def start(device, threads):
    def fail(*_):
        raise OSError(28, os.strerror(28), "somewhere")

    # What would be the worker's death is its disk's failure.
    os.kill = fail
    return scripted.start(device, threads)
"""


def refuse_warnings(event: Any) -> None:
    if event.kind == "warning":
        refuse(event.line)
