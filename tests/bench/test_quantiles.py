import pytest

from evoae_cli.bench.quantiles import quantile


def test_quantiles_lie_between_the_values() -> None:
    assert quantile([1.0, 2.0, 3.0], 50) == 2.0
    assert quantile([float(value) for value in range(101)], 95) == pytest.approx(95.0)
    assert quantile([7.0], 95) == 7.0
    assert quantile([], 50) is None
