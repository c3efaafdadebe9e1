import math
import time
from collections.abc import Iterator

import pytest

from evoae_cli.study.timelimit import Afforded, TimeLimit, Trainings, affordable


def test_without_a_limit_time_never_ends() -> None:
    limit = TimeLimit(None, time.monotonic)
    assert not limit.is_set
    assert limit.left_s == limit.finals_s == math.inf


def test_the_time_left_falls_with_the_clock_and_below_zero() -> None:
    now = 100.0
    limit = TimeLimit(60.0, clock=lambda: now)
    assert limit.is_set
    assert limit.left_s == 60.0
    now = 170.0
    assert limit.left_s == -10.0


def test_the_search_keeps_at_least_half_of_the_time() -> None:
    assert TimeLimit(60.0, time.monotonic).finals_s == 30.0


def afforded(trainings: list[list[float]], n_workers: int, budget_s: float, n: int) -> list[tuple[int, float]]:
    """Rank and share of each finalist that is trained, which together take no longer than the time."""
    found = affordable([Trainings(tuple(seconds)) for seconds in trainings], n_workers, budget_s, n)
    for one in found:
        assert list(one.seconds) == pytest.approx([one.share * seconds for seconds in trainings[one.rank]])
    return [(one.rank, one.share) for one in found]


def test_the_best_are_trained_whole_where_there_is_time() -> None:
    trainings = [[10.0], [10.0], [10.0]]
    assert afforded(trainings, 3, 10.0, 3) == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert afforded(trainings, 3, 10.0, 2) == [(0, 1.0), (1, 1.0)]
    assert afforded([[10.0], [50.0]], 1, 10.0, 1) == [(0, 1.0)]


def test_where_there_is_not_each_gets_as_long_and_the_short_ones_are_whole() -> None:
    assert afforded([[10.0], [10.0], [10.0]], 2, 10.0, 3) == [(0, 0.5), (1, 0.5), (2, 0.5)]
    assert afforded([[10.0, 10.0], [10.0, 10.0]], 2, 10.0, 2) == [(0, 0.5), (1, 0.5)]
    assert afforded([[40.0], [8.0]], 2, 10.0, 2) == [(0, 0.25), (1, 1.0)]


def test_a_finalist_of_which_hardly_anything_could_be_trained_is_passed_over() -> None:
    assert afforded([[50.0], [10.0], [30.0], [9.0]], 1, 20.0, 2) == [(1, 1.0), (2, pytest.approx(1 / 3))]


def test_a_part_of_the_shortest_is_always_trained_where_there_is_one() -> None:
    assert afforded([[10.0], [5.0], [7.0]], 1, 0.0, 2) == [(1, 0.25)]
    assert afforded([[10.0], [5.0], [7.0]], 1, -5.0, 2) == [(1, 0.25)]
    assert afforded([], 1, 5.0, 2) == []
    assert afforded([], 1, -5.0, 2) == []


def test_finalists_trained_before_cost_nothing() -> None:
    assert afforded([[], [10.0], []], 1, 10.0, 3) == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert afforded([[], []], 1, -1.0, 2) == [(0, 1.0), (1, 1.0)]


def test_the_trainings_of_those_far_behind_are_never_asked_for() -> None:
    asked = 0

    def endless() -> Iterator[Trainings]:
        nonlocal asked
        while True:
            asked += 1
            yield Trainings((1e9,))

    assert len(affordable(endless(), 1, 1.0, 2)) == 1
    assert asked <= 100


def test_what_was_trained_in_part_before_is_as_good_as_that_part_and_costs_nothing() -> None:
    before = [Trainings((50.0,)), Trainings((50.0,), done=0.5), Trainings((4.0,))]
    assert affordable(before, 1, 5.0, 2) == [Afforded(1, 0.5, ()), Afforded(2, 0.625, (2.5,))]
    assert affordable(before, 2, 50.0, 2) == [Afforded(0, 1.0, (50.0,)), Afforded(1, 1.0, (50.0,))]
