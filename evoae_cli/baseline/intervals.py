"""How sure a mean of a few differences is: pure."""

import math
from collections.abc import Sequence

import msgspec


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of paired differences, with the interval that holds the true one 19 times out of 20."""

    mean: float
    low: float | None
    """None with one pair, of which nothing can be said."""
    high: float | None
    n: int

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def difference(values: Sequence[float], confidence: float = 0.95) -> Difference:
    """Student's interval of the mean of `values`, which are taken to be normal and independent.

    Raises ValueError for no values.
    """
    n = len(values)
    if not n:
        raise ValueError("there is no mean of no values")
    mean = math.fsum(values) / n
    if n == 1:
        return Difference(mean=mean, low=None, high=None, n=1)
    from scipy.stats import t

    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * math.sqrt(variance / n)
    return Difference(mean=mean, low=mean - half, high=mean + half, n=n)
