"""Several objectives at once: what dominates what, fronts, and how crowded they are. Pure, and free of numpy.

A point is a tuple of numbers, one for each objective, all of them to be made small. One point dominates another if it
is nowhere larger and somewhere smaller. Sections are those of Deb, Pratap, Agarwal, Meyarivan: A Fast and Elitist
Multiobjective Genetic Algorithm: NSGA-II, IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import le
from typing import Generic, TypeVar

Point = tuple[float, ...]
T = TypeVar("T")


def dominates(first: Point, second: Point) -> bool:
    """Whether `first` is nowhere larger than `second` and somewhere smaller."""
    return first != second and all(map(le, first, second))


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """Positions of `points` by non-domination (section III-A): first those that none dominates, then those that only
    the first front dominates, and so on; within a front in ascending order.

    Points are taken in lexicographic order, so that none is dominated by a later one, and a point belongs to the first
    front that holds none that dominates it. If a front does, so does every front before it: the place is found by
    bisection (Zhang, Tian, Cheng, Jin: An Efficient Approach to Nondominated Sorting, IEEE TEVC 19(2), 2015). For two
    objectives the last of a front stands for all of it, so this takes O(n log n); for more, O(n^2) at most.
    """
    order = sorted(range(len(points)), key=points.__getitem__)
    is_flat = bool(points) and len(points[0]) == 2
    found = _flat_fronts(points, order) if is_flat else _deep_fronts(points, order)
    return [sorted(front) for front in found]


def crowding(points: Sequence[Point]) -> list[float]:
    """How far each point of one front is from its neighbours (section III-B): infinite for the two ends of each
    objective, elsewhere the sum over objectives of the distance between both neighbours, as a share of the whole range.

    Of equal values the earlier point counts as the smaller one.
    """
    distances = [0.0] * len(points)
    if not points:
        return distances
    for values in zip(*points, strict=True):
        order = sorted(range(len(points)), key=values.__getitem__)
        low, high = values[order[0]], values[order[-1]]
        if low == high:
            # All are equal in it: no end, and no distance.
            continue
        distances[order[0]] = distances[order[-1]] = math.inf
        for before, middle, after in zip(order, order[1:], order[2:], strict=False):
            distances[middle] += (values[after] - values[before]) / (high - low)
    return distances


class Front(Generic[T]):
    """Those of all things added that none dominates; each addition takes as long as the front is, not the history."""

    def __init__(self) -> None:
        self._held: list[tuple[Point, T]] = []

    def add(self, point: Point, thing: T) -> bool:
        """Take a thing up unless it is dominated, and let go of those that it dominates; whether it was taken up."""
        if any(dominates(held, point) for held, _ in self._held):
            return False
        self._held = [pair for pair in self._held if not dominates(point, pair[0])]
        self._held.append((point, thing))
        return True

    def __iter__(self) -> Iterator[T]:
        return (thing for _, thing in self._held)

    def __len__(self) -> int:
        return len(self._held)


def _flat_fronts(points: Sequence[Point], order: Sequence[int]) -> list[list[int]]:
    """For two objectives: within a front the second falls while the first rises, so the last has its least."""
    found: list[list[int]] = []
    lasts: list[Point] = []
    for i in order:
        mirrored = points[i][::-1]
        # A last one that comes before in the second objective, then in the first, dominates; an equal one does not.
        k = bisect_left(lasts, mirrored)
        if k == len(found):
            found.append([])
            lasts.append(mirrored)
        found[k].append(i)
        lasts[k] = mirrored
    return found


def _deep_fronts(points: Sequence[Point], order: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for i in order:
        low, high = 0, len(found)
        while low < high:
            middle = (low + high) // 2
            # The latest are the nearest, and so the likeliest to dominate.
            if any(dominates(points[j], points[i]) for j in reversed(found[middle])):
                low = middle + 1
            else:
                high = middle
        if low == len(found):
            found.append([])
        found[low].append(i)
    return found
