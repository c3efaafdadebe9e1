"""The vocabulary of layers and the search space."""

from itertools import product

import pytest

from evoae_cli.errors import GenotypeError, UsageError
from evoae_cli.genome.layers import Conv2d, Dropout2d
from evoae_cli.genome.space import SearchSpace


def test_the_default_space_has_exactly_the_papers_17_layers() -> None:
    assert [layer.text for layer in SearchSpace().choices] == [
        "1x1conv2d:8",
        "1x1conv2d:16",
        "1x1conv2d:32",
        "1x1conv2d:64",
        "3x3conv2d:8",
        "3x3conv2d:16",
        "3x3conv2d:32",
        "3x3conv2d:64",
        "5x5conv2d:8",
        "5x5conv2d:16",
        "5x5conv2d:32",
        "5x5conv2d:64",
        "7x7conv2d:8",
        "7x7conv2d:16",
        "7x7conv2d:32",
        "7x7conv2d:64",
        "dropout2d",
    ]


def test_the_size_of_a_space_is_the_number_of_modules_it_holds() -> None:
    space = SearchSpace(kernels=(1, 3), filters=(8,), max_layers=3)
    modules = {module for n in range(1, 4) for module in product(space.choices, repeat=n)}
    assert space.size == len(modules) == 3 + 9 + 27


def test_the_size_of_the_default_space_is_exact() -> None:
    assert SearchSpace().size == (17**11 - 17) // 16 == 2141993519226


def test_a_space_without_dropout_holds_convolutions_only() -> None:
    assert Dropout2d() not in SearchSpace(dropout=False).choices
    assert len(SearchSpace(dropout=False).choices) == 16


def test_two_is_allowed_as_a_kernel() -> None:
    assert Conv2d(2, 8) in SearchSpace(kernels=(2, 3)).choices


def test_the_order_in_which_settings_are_given_does_not_change_the_choices() -> None:
    assert SearchSpace(kernels=(5, 1), filters=(32, 8)).choices == SearchSpace(kernels=(1, 5), filters=(8, 32)).choices


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kernels": ()}, "no kernels"),
        ({"filters": ()}, "no filters"),
        ({"kernels": (3, 0)}, "kernels: 0 is out of range; use 1 to 99"),
        ({"filters": (5000,)}, "filters: 5000 is out of range"),
        ({"kernels": (3, 3)}, "kernels: 3,3 names a value twice"),
        ({"max_layers": 0}, "allow at least 1"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_by_name(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SearchSpace(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kernel", "filters"), [(0, 8), (100, 8), (3, 0), (3, -1), (3, 4097)])
def test_a_convolution_out_of_range_is_refused(kernel: int, filters: int) -> None:
    with pytest.raises(GenotypeError, match="out of range"):
        Conv2d(kernel, filters)


def test_the_tables_print_the_filter_count_first() -> None:
    assert Conv2d(5, 64).table_text == "64-5x5conv2d"
    assert Dropout2d().table_text == "dropout2d"
