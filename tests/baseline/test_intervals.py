import pytest

from evoae_cli.baseline.intervals import difference


def test_the_interval_is_students() -> None:
    """Values and interval of a textbook's example: t with 4 degrees of freedom is 2.776."""
    found = difference([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.n) == (3.0, 5)
    assert found.low == pytest.approx(3 - 2.776 * (2.5 / 5) ** 0.5, abs=1e-3)
    assert found.high == pytest.approx(3 + 2.776 * (2.5 / 5) ** 0.5, abs=1e-3)
    assert found.is_sure


def test_one_pair_has_no_interval() -> None:
    found = difference([0.3])
    assert (found.mean, found.low, found.high, found.is_sure) == (0.3, None, None, False)


def test_an_interval_with_0_in_it_is_not_sure() -> None:
    assert not difference([-0.1, 0.3]).is_sure
    assert difference([-0.31, -0.3, -0.29]).is_sure


def test_there_is_no_mean_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        difference([])
