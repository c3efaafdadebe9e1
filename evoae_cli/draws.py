"""Random choices that every version of numpy makes alike.

numpy promises that the 64-bit words of a bit generator never change, which it does not promise of `integers`,
`permutation` and `choice`. So every choice here is made of words of PCG64, and a seed means the same everywhere.
"""

from collections.abc import Sequence
from typing import TypeVar

from numpy.random import PCG64, Generator

T = TypeVar("T")


def generator(seed: int) -> Generator:
    """A generator of its own for one purpose."""
    return Generator(PCG64(seed))


def draw(n: int, rng: Generator) -> int:
    """A random integer in 0..n-1: the high bits of n times one 64-bit word. Uneven by at most n / 2^64."""
    word = int(rng.bit_generator.random_raw())
    # A number of numpy's own would overflow.
    return (word * int(n)) >> 64


def one_of(choices: Sequence[T], rng: Generator) -> T:
    """A random one of `choices`."""
    return choices[draw(len(choices), rng)]


def sample(n: int, count: int, rng: Generator) -> list[int]:
    """`count` different integers of 0..n-1, in random order; takes one word for each, however large `n`."""
    # Fisher and Yates's shuffle, stopped early; only the places that moved are kept.
    moved: dict[int, int] = {}
    drawn = []
    for i in range(int(count)):
        j = i + draw(n - i, rng)
        drawn.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return drawn


def permutation(n: int, rng: Generator) -> list[int]:
    """0..n-1 in random order."""
    return sample(n, n, rng)
