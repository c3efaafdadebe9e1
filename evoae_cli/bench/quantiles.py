"""How measured times are distributed."""

import statistics
from collections.abc import Sequence


def quantile(values: Sequence[float], per_cent: int) -> float | None:
    """The value that `per_cent` of the others, 1 to 99, lie below; None where there are none."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[per_cent - 1]
