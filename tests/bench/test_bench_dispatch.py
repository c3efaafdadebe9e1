from pathlib import Path

from evoae_cli.bench.dispatch import measure, waits
from evoae_cli.bench.stopwatch import Note


def test_a_real_search_gives_the_waits_between_trainings(tmp_path: Path) -> None:
    report = measure(8, [1], tmp_path)
    found = {figure["wait"]: figure for figure in report.figures["waits"]}
    # Six candidates at the start; what still ran when the search was asked to stop may come on top.
    assert found["queued"]["n"] >= 5
    assert found["new generation"]["n"] >= 1
    assert all(0 < figure["median_ms"] <= figure["p95_ms"] for figure in found.values())
    assert list(tmp_path.iterdir()) == []


def test_a_wait_begins_when_both_worker_and_candidate_are_there() -> None:
    first = [Note("search", "a", None, 1.0), Note("search", "b", 2.0, 2.5), Note("search", "d", 3.0, 5.75)]
    second = [Note("search", "c", None, 1.0), Note("search", "e", 5.0, 5.5), Note("final", "a", 7.0, 9.0)]
    found = waits([first, second], {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1})
    # d waited for c, which the other worker returned at 5; e came at once when the generation opened.
    assert found == {"queued": [0.5], "new generation": [0.75, 0.5]}
