"""Fronts and crowding, compared with what their definitions say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.strategy.pareto import Front, Point, crowding, dominates, fronts

numbers = st.one_of(st.integers(0, 4), st.floats(-2, 2, allow_nan=False))
"""Few whole numbers, so that ties are common."""
clouds = st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[numbers] * n), max_size=30))


def fronts_by_definition(points: list[Point]) -> list[list[int]]:
    left, found = list(range(len(points))), []
    while left:
        front = [i for i in left if not any(is_dominated_by(points[i], points[j]) for j in left)]
        found.append(front)
        left = [i for i in left if i not in front]
    return found


def is_dominated_by(point: Point, other: Point) -> bool:
    pairs = list(zip(other, point, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(clouds)
def test_fronts_are_what_is_left_undominated_time_after_time(points: list[Point]) -> None:
    assert fronts(points) == fronts_by_definition(points)


@given(clouds)
def test_one_point_dominates_another_that_is_nowhere_better_and_somewhere_worse(points: list[Point]) -> None:
    for first in points:
        for second in points:
            assert dominates(first, second) == is_dominated_by(second, first)


@given(clouds)
def test_a_front_that_grew_point_by_point_is_the_first_front_of_all(points: list[Point]) -> None:
    grown: Front[int] = Front()
    for i, point in enumerate(points):
        was_taken_up = grown.add(point, i)
        assert was_taken_up == (i in list(grown))
    assert sorted(grown) == (fronts(points)[0] if points else [])
    assert len(grown) == len(list(grown))


def test_five_thousand_points_of_two_objectives_on_one_front_are_sorted() -> None:
    points: list[Point] = [(float(i), float(-i)) for i in range(5000)]
    assert fronts(points) == [list(range(5000))]
    assert len(fronts([(float(i), float(i)) for i in range(5000)])) == 5000


def test_crowding_is_the_sum_of_the_distances_between_both_neighbours() -> None:
    # Ranges 10 and 100: the second point has neighbours 4 and 60 apart, the third 9 and 90 apart.
    assert crowding([(0, 100), (1, 50), (4, 40), (10, 0)]) == [math.inf, 0.4 + 0.6, 0.9 + 0.5, math.inf]


def test_the_two_ends_of_every_objective_stand_infinitely_far_from_others() -> None:
    points = [(0, 5, 5), (5, 0, 5), (5, 5, 0), (1, 4, 4), (4, 1, 4), (2, 2, 3)]
    assert [math.isinf(distance) for distance in crowding(points)] == [True, True, True, False, False, False]


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 2.0)]])
def test_points_that_are_all_the_same_have_no_distance(points: list[Point]) -> None:
    assert crowding(points) == [0.0] * len(points)
