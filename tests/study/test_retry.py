"""What hangs, crashes or kills its worker, and what becomes of it when a study is resumed to try it again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripted
from rich.console import Console
from scripted import LAST_WORDS, Deed, Script, course, created, opened
from scripted_study import scripted_study

from evoae_cli.app.main import run
from evoae_cli.app.running import Show, run_study
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import derive_seed
from evoae_cli.outcome import Outcome
from evoae_cli.page.write import PAGE
from evoae_cli.study.requests import weights_file
from evoae_cli.study.store import Record, Store
from evoae_cli.study.summary import history, summary


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The study when all goes well."""
    with scripted_study(tmp_path_factory.mktemp("whole"), workers=1) as folder:
        yield folder


@pytest.fixture(scope="module")
def whole_async(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The asynchronous study of one worker when all goes well."""
    with scripted_study(tmp_path_factory.mktemp("whole"), mode="async", workers=1) as folder:
        yield folder


def stored(folder: Path, genotype: str, stage: Any = "search") -> Record:
    store = Store.read(folder)
    record = store.find(stage, genotype)
    store.close()
    assert record is not None
    return record


def some(folder: Path, n: int, generation: int = 1) -> list[str]:
    """The first `n` candidates of a generation."""
    return [row[1] for row in history(folder) if row[0] == generation][:n]


# ---- time limits of one evaluation ----


def test_a_candidate_that_hangs_ends_as_timeout_and_the_search_goes_on(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    [stuck] = some(whole, 1)
    script.write({stuck: "hang"})
    result = created(folder, timeout="1s", workers=1).run()
    assert result.state == "done"
    record = stored(folder, stuck)
    assert record.evaluation.outcome is Outcome.TIMEOUT
    assert record.evaluation.reason == "ran longer than 1 s"
    assert record.attempt == 1
    assert script.begun().count(stuck) == 1
    found = summary(folder)
    assert found["counts"]["timeout"] == 1
    [failure] = found["failures"]
    assert (failure["genotype"], failure["outcome"]) == (stuck, "timeout")
    # Its worker was killed, and another has taken its place.
    workers = [note.worker for note in script.notes()]
    place = script.begun().index(stuck)
    assert len(set(workers[: place + 1])) == len(set(workers[place + 1 :])) == 1
    assert workers[place] != workers[place + 1]
    assert "ran longer than 1 s" in found["lost_workers"][0]


def test_a_finalist_may_take_as_much_longer_as_it_trains_longer(script: Script, tmp_path: Path) -> None:
    """A limit of 1 s and ten times the epochs: 2 s are within a finalist's 10 s, and beyond a candidate's limit."""
    folder = tmp_path / "study"
    script.write(sleep_s=0.2)
    result = created(folder, timeout="1s", generations=0, finalists=1, final_epochs=10).run()
    assert result.state == "done"
    [note] = script.notes("final")
    assert note.seconds == pytest.approx(2.0)
    assert stored(folder, note.genotype, "final").run_s >= 2.0


def test_a_limit_can_be_set_when_a_study_is_resumed(script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    [stuck] = some(whole, 1)
    script.write({stuck: "hang"})
    study = created(folder)

    def kill_when_it_hangs(event: Any) -> None:
        if event.kind == "evaluated" and stuck in script.begun():
            study.kill()

    assert study.run(kill_when_it_hangs).state == "interrupted"
    assert stuck not in [row[1] for row in history(folder)]
    assert opened(folder, timeout="1s").run().state == "done"
    assert stored(folder, stuck).evaluation.outcome is Outcome.TIMEOUT
    assert summary(folder)["settings"]["timeout"] == "1s"


# ---- another try ----


def test_what_failed_is_tried_again_and_the_study_ends_as_if_it_had_succeeded_at_once(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    """Also where others were selected meanwhile; what was evaluated in vain or in advance is not evaluated again."""
    folder = tmp_path / "study"
    crashed, short = some(whole, 2)
    script.write({crashed: "crashed", short: "oom"})
    created(folder).run()
    assert {row[1]: row[2] for row in history(folder) if row[2] != "ok"} == {crashed: "crashed", short: "oom"}
    assert history(folder) != history(whole)
    first = script.begun()
    script.write()
    assert opened(folder, is_retrying=True).run().state == "done"
    again = script.begun()[len(first) :]
    assert len(again) == len(set(again))
    assert set(again) & set(first) == {crashed, short}
    assert course(folder) == course(whole)
    assert summary(folder)["failures"] == []
    assert {summary(folder)["counts"][outcome] for outcome in ("crashed", "oom", "timeout", "diverged")} == {0}


def test_an_asynchronous_search_evaluates_again_what_failed_and_nothing_else(
    script: Script, whole_async: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    crashed, short = some(whole_async, 2, generation=0)
    script.write({crashed: "crashed", short: "oom"})
    created(folder, mode="async", workers=1).run()
    before = history(folder)
    assert {row[1]: row[2] for row in before if row[2] != "ok"} == {crashed: "crashed", short: "oom"}
    n_begun = len(script.begun())
    script.write()
    assert opened(folder, is_retrying=True).run().state == "done"
    assert sorted(script.begun()[n_begun:]) == sorted([crashed, short])
    after = history(folder)
    assert [row[:2] for row in after] == [row[:2] for row in before]
    assert [row for row in after if row in history(whole_async)][:4] == history(whole_async)[:4]
    counts = summary(folder)["counts"]
    assert counts["proposed"] == counts["trained"] + counts["cache_hits"] + counts["in_flight_hits"] == 4 + 3 * 8
    assert {counts[outcome] for outcome in ("crashed", "oom", "timeout", "diverged")} == {0}
    best = sorted(((row[3], row[1]) for row in after), reverse=True)[:2]
    assert {final["genotype"] for final in summary(folder)["finalists"]} == {genotype for _, genotype in best}


def test_what_diverged_is_not_tried_again(script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    [bad] = some(whole, 1)
    script.write({bad: "diverged"})
    created(folder).run()
    before, n_begun = course(folder), len(script.begun())
    script.write()
    told: list[str] = []
    events: list[Any] = []
    opened(folder, warn=told.append, is_retrying=True).run(events.append)
    assert course(folder) == before
    assert len(script.begun()) == n_begun
    assert "nothing" in " ".join([*told, *(event.line for event in events)])


def test_what_diverged_is_still_counted_when_others_are_tried_again(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    """It is set aside with the generation that is searched again, and comes back with it."""
    folder = tmp_path / "study"
    crashed, diverged = some(whole, 2)
    script.write({crashed: "crashed", diverged: "diverged"})
    created(folder).run()
    script.write()
    opened(folder, is_retrying=True).run()
    counts = summary(folder)["counts"]
    assert (counts["crashed"], counts["diverged"]) == (0, 1)


@pytest.mark.parametrize("mode", ["generational", "async"])
def test_what_fails_again_stays_failed(mode: str, script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    [bad] = some(whole, 1, generation=0)
    script.write({bad: "crashed"})
    created(folder, mode=mode, workers=1).run()
    before, n_begun = course(folder), len(script.begun())
    assert opened(folder, is_retrying=True).run().state == "done"
    assert script.begun()[n_begun:] == [bad]
    assert course(folder) == before
    assert [failure["genotype"] for failure in summary(folder)["failures"]] == [bad]


@pytest.mark.parametrize("mode", ["generational", "async"])
def test_a_study_whose_every_candidate_failed_can_still_come_to_its_end(
    mode: str, script: Script, whole: Path, whole_async: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, undisturbed = tmp_path / "study", whole if mode == "generational" else whole_async
    script.write(dict.fromkeys(some(undisturbed, 4, generation=0), "crashed"))
    show = Show(Console(stderr=True, width=200), is_quiet=False, is_json=False)
    with pytest.raises(EvoaeError, match=r"every candidate failed; the last one: .* crashed"):
        run_study(created(folder, mode=mode, workers=1), show, None)
    assert summary(folder)["state"] == "failed"
    # Why is what people want to know then.
    assert f"report: {folder / PAGE}" in capfd.readouterr().err
    assert "as the script says" in (folder / PAGE).read_text()
    script.write()
    assert opened(folder, is_retrying=True).run().state == "done"
    assert course(folder) == course(undisturbed)


def test_a_finalist_that_failed_is_tried_again_and_may_win(script: Script, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    winner = summary(whole)["best"]["genotype"]
    deeds: dict[str, Deed] = {f"final {winner}": "crashed"}
    script.write(deeds)
    created(folder).run()
    assert summary(folder)["best"]["genotype"] != winner
    n_begun, n_finals = len(script.begun()), len(script.begun("final"))
    script.write()
    opened(folder, is_retrying=True).run()
    assert course(folder) == course(whole)
    assert len(script.begun()) == n_begun
    assert script.begun("final")[n_finals:] == [winner]
    described = json.loads((folder / "best" / "model.json").read_text())
    assert described["genotype"] == winner


def test_a_study_that_is_stopped_while_it_tries_again_goes_on_later(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    script.write(dict.fromkeys(some(whole, 2), "crashed"))
    created(folder).run()
    script.write(sleep_s=0.1)
    study = opened(folder, is_retrying=True)

    def stop(event: Any) -> None:
        if event.kind == "evaluated":
            study.request_stop()

    assert study.run(stop).state == "interrupted"
    script.write()
    assert opened(folder).run().state == "done"
    assert course(folder) == course(whole)


KEEPING = """
import os, shutil
from pathlib import Path
import msgspec, scripted
from evoae_cli.evaluation.contract import Evaluation, Request

def start(device, threads):
    return scripted.start(device, threads)[0], run

def run(payload, progress):
    outcome, body, reason = scripted.run(payload, progress)
    request = msgspec.msgpack.decode(payload, type=Request)
    if getattr(request, "stage", None) == "search":
        found = msgspec.msgpack.decode(body, type=Evaluation)
        if found.fitness > request.keep_above:
            weights = scripted._file(Path(os.environ[scripted.WEIGHTS]), request.genotype)
            shutil.copyfile(weights, request.weights_out)
            body = msgspec.msgpack.encode(msgspec.structs.replace(found, weights=request.weights_out))
    return outcome, body, reason
"""
"""A runner that keeps the weights of candidates too, as real training does."""


def test_what_is_tried_again_never_puts_a_worse_model_into_best(
    script: Script, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best candidate is set aside until the search comes to it again; its weights and its place stay."""
    (tmp_path / "keeping.py").write_text(KEEPING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(scripted, "RUNNER", "keeping:start")
    folder = tmp_path / "study"
    failed = max((row for row in history(whole) if row[0] == 0), key=lambda row: row[3])

    def run_until(study: Any, n: int) -> None:
        def stop(event: Any) -> None:
            nonlocal n
            n -= event.kind == "evaluated"
            if n == 0:
                study.request_stop()

        assert study.run(stop).state == "interrupted"

    def fitness_in_best() -> float:
        found = json.loads((folder / "best" / "model.json").read_text())
        assert weights_file(folder, "search", found["genotype"], 0).exists()
        fitness: float = found["metrics"]["val"]["fitness"]
        return fitness

    script.write({failed[1]: "crashed"})
    run_until(created(folder, workers=1), 16)
    best = max(history(folder), key=lambda row: row[3])
    assert best[3] > failed[3], "the failed one must be worse, and the best of those that are evaluated before"
    assert fitness_in_best() == best[3]
    script.write()
    n_begun = len(script.begun())
    run_until(opened(folder, is_retrying=True), 1)
    assert script.begun()[n_begun] == failed[1]
    assert fitness_in_best() == best[3]
    run_until(opened(folder), 1)
    assert fitness_in_best() >= best[3]
    assert opened(folder).run().state == "done"
    assert course(folder) == course(whole)


# ---- poison ----


def shown(capsys: pytest.CaptureFixture[str], folder: Path, *args: str) -> str:
    """What `evoae show` prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit, match=r"^0$"):
        run(["show", str(folder), *args])
    return capsys.readouterr().out


def test_a_genotype_that_kills_every_worker_costs_three_attempts_and_no_more(
    script: Script, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    [poison] = some(whole, 1)
    script.write({poison: "poison"})
    events: list[Any] = []
    result = created(folder).run(events.append)
    assert result.state == "done"
    assert script.begun().count(poison) == 3
    record = stored(folder, poison)
    assert record.evaluation.outcome is Outcome.CRASHED
    assert record.attempt == 3
    assert "SIGSEGV" in record.evaluation.reason
    assert f"{LAST_WORDS}: {poison}" in record.evaluation.log
    assert "Fatal Python error: Segmentation fault" in record.evaluation.log

    found = json.loads(shown(capsys, folder, "--json"))
    [failure] = found["failures"]
    assert failure["genotype"] == poison
    assert failure["outcome"] == "crashed"
    assert failure["attempt"] == 3
    assert "SIGSEGV" in failure["reason"]
    assert f"{LAST_WORDS}: {poison}" in failure["log"]
    for text in (f"{poison}: crashed", "SIGSEGV", failure["log"].splitlines()[-1]):
        assert text in shown(capsys, folder)

    store = Store.read(folder)
    lost = [text for _, kind, text in store.events() if kind == "lost"]
    store.close()
    assert len(lost) == 3
    assert all(poison in text and "SIGSEGV" in text and LAST_WORDS in text for text in lost)
    assert ["is given up" in text for text in lost] == [False, False, True]
    assert found["lost_workers"] == lost
    assert found["counts"]["lost_leases"] == 3
    warned = [event.line for event in events if event.kind == "warning"]
    assert len(warned) == 3
    assert all("\n" not in line for line in warned)


# ---- the order in which a generation is sent ----


def test_those_expected_to_take_longest_are_sent_first(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "study"

    def seconds(genotype: str) -> float:
        return derive_seed(genotype) % 10_000 / 1000

    created(folder, workers=1, expected=seconds).run()
    begun, found = script.begun(), history(folder)
    assert sorted(begun) == sorted(row[1] for row in found)
    for generation in range(4):
        own = [row[1] for row in found if row[0] == generation]
        assert [genotype for genotype in begun if genotype in own] == sorted(own, key=seconds, reverse=True)
    # It is not by chance the order of their proposals.
    assert begun != [row[1] for row in found]
    created(tmp_path / "other", workers=1).run()
    assert course(tmp_path / "other") == course(folder)
