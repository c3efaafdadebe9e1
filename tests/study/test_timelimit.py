import math
import time

from evoae_cli.study.timelimit import TimeLimit, affordable


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


def test_as_many_finalists_are_afforded_as_their_trainings_take_no_longer_than_the_time() -> None:
    trainings = [[10.0], [10.0], [10.0]]
    assert affordable(trainings, 3, 10.0, 3) == [0, 1, 2]
    assert affordable(trainings, 3, 10.0, 2) == [0, 1]
    assert affordable(trainings, 2, 10.0, 3) == [0, 1]
    assert affordable(trainings, 1, 20.0, 3) == [0, 1]
    assert affordable([[10.0, 10.0], [10.0, 10.0]], 2, 10.0, 2) == [0]


def test_a_finalist_that_takes_too_long_is_passed_over() -> None:
    assert affordable([[50.0], [10.0], [30.0], [10.0]], 1, 20.0, 2) == [1, 3]


def test_the_shortest_finalist_is_always_afforded_where_there_is_one() -> None:
    assert affordable([[10.0], [5.0], [7.0]], 1, 0.0, 2) == [1]
    assert affordable([], 1, 5.0, 2) == []


def test_finalists_trained_before_cost_nothing() -> None:
    assert affordable([[], [10.0], []], 1, 10.0, 3) == [0, 1, 2]
