from pathlib import Path

import pytest

from evoae_cli.bench.scaled import Span
from evoae_cli.bench.utilisation import asynchronous, generational, measure
from evoae_cli.errors import EvoaeError, UsageError


def test_both_modes_of_a_real_search_give_the_share_of_time_spent_evaluating(tmp_path: Path) -> None:
    report = measure(population=100, n_generations=2, n_workers=4, mean_s=0.01, seed=0, folder=tmp_path)
    by_generation, steady = report.figures["generational"], report.figures["async"]
    assert [part["name"] for part in by_generation] == ["generation 1", "generation 2", "all of them"]
    assert by_generation[2]["n"] == by_generation[0]["n"] + by_generation[1]["n"] > 100
    for part in by_generation:
        assert 0 < part["evaluating"] <= part["bound"] <= 1
    begun, ended = steady
    assert begun["n"] < ended["n"]
    assert begun["took_s"] < ended["took_s"]
    assert 0 < begun["evaluating"] < 1
    assert list(tmp_path.iterdir()) == []


def test_too_few_candidates_for_all_workers_are_no_reading(tmp_path: Path) -> None:
    with pytest.raises(EvoaeError, match="8 workers had not all begun before the last candidate"):
        measure(population=2, n_generations=1, n_workers=8, mean_s=0.01, seed=0, folder=tmp_path)


def test_a_search_without_a_generation_to_measure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ask for 1 or more"):
        measure(population=2, n_generations=0, n_workers=1, mean_s=0.01, seed=0, folder=tmp_path)


def test_a_generation_is_held_against_its_sum_and_its_longest() -> None:
    first = [Span("a", 0.0, 1.0), Span("c", 1.5, 3.5), Span("e", 4.0, 8.0)]
    second = [Span("b", 0.0, 1.0), Span("d", 1.5, 2.5)]
    one, two, both = generational([first, second], {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2})
    # Of generation 1, 3 s in 2.5; no worker can be done before 2, its longest. Generation 2 is one long evaluation.
    assert (one.n, one.busy_s, one.took_s) == (2, 3.0, 2.5)
    assert (one.evaluating, one.bound) == (3.0 / 5.0, 3.0 / 4.0)
    assert (two.n, two.evaluating, two.bound) == (1, 4.0 / 9.0, 4.0 / 8.0)
    assert (both.n, both.evaluating, both.bound) == (3, 7.0 / 14.0, 7.0 / 12.0)


def test_an_asynchronous_search_is_timed_from_its_last_start_on_with_and_without_its_end() -> None:
    first = [Span("a", 0.0, 2.0), Span("c", 2.0, 4.0), Span("e", 5.0, 6.0)]
    second = [Span("b", 1.0, 4.0), Span("d", 4.5, 10.0)]
    begun, ended = asynchronous([first, second])
    # From 1 to 5 the first worker waits for 1 s, the second for half of one.
    assert (begun.n, begun.took_s, begun.evaluating) == (3, 4.0, 6.5 / 8.0)
    assert (ended.n, ended.took_s, ended.evaluating) == (5, 9.0, 12.5 / 18.0)
