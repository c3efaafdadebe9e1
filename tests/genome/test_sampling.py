from collections import Counter

import pytest

from evoae_cli.draws import generator
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.sampling import one_layer_genotypes, random_genotypes, some_of, uniform_genotypes, uniform_lengths
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.spaces import named_space

PAPER = SearchSpace()
SMALL = SearchSpace(kernels=(3,), filters=(8, 16), dropout=False, max_layers=3)


def test_lengths_are_uniform_from_one_to_the_most_of_the_space() -> None:
    counts = Counter(uniform_lengths(10_000, PAPER, generator(0)))
    assert sorted(counts) == list(range(1, 11))
    assert all(850 < n < 1150 for n in counts.values())


@pytest.mark.parametrize("name", ["paper", "skip"])
def test_a_genotype_for_each_length_lies_in_the_space_and_none_comes_twice(name: str) -> None:
    space = named_space(name)
    lengths = uniform_lengths(200, space, generator(1))
    found = random_genotypes(lengths, space, generator(2))
    assert [len(genotype.module) for genotype in found] == lengths
    assert len({genotype.key for genotype in found}) == 200
    for genotype in found:
        space.check(genotype)


def test_layers_are_uniform_over_the_choices() -> None:
    counts = Counter(
        layer for genotype in random_genotypes([10] * 1000, PAPER, generator(3)) for layer in genotype.module
    )
    assert set(counts) == set(PAPER.choices)
    assert all(470 < n < 710 for n in counts.values())


def test_genes_are_drawn_too() -> None:
    found = random_genotypes([2] * 300, named_space("skip"), generator(4))
    assert {genotype.is_residual for genotype in found} == {False, True}
    assert {skip for genotype in found for skip in genotype.skips} == {"none", "add", "concat"}
    assert len({genotype.reductions for genotype in found}) > 1


def test_the_seed_alone_decides() -> None:
    first, again, other = (random_genotypes([1, 2, 3], PAPER, generator(seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_length_of_which_no_more_are_found_has_none() -> None:
    found = random_genotypes([1, 1, 1, 2], SMALL, generator(0))
    assert sorted(len(genotype.module) for genotype in found) == [1, 1, 2]


def test_another_length_is_drawn_where_one_has_no_more_and_none_comes_twice() -> None:
    # 2, 4 and 8 modules of one, two and three layers.
    for n in (12, 14):
        found = uniform_genotypes(n, SMALL, generator(0))
        assert len(found) == len({genotype.key for genotype in found}) == n
    assert len(uniform_genotypes(20, SMALL, generator(0))) == 14


def test_only_admitted_ones_are_drawn() -> None:
    def is_wide(genotype: Genotype) -> bool:
        return all("16" in layer.text for layer in genotype.module)

    found = random_genotypes([2, 3, 1], SMALL, generator(0), is_wide)
    assert [genotype.text for genotype in found] == [
        "3x3conv2d:16,3x3conv2d:16",
        "3x3conv2d:16,3x3conv2d:16,3x3conv2d:16",
        "3x3conv2d:16",
    ]


def test_the_paper_has_17_networks_with_a_module_of_one_layer() -> None:
    found = one_layer_genotypes(PAPER)
    assert len(found) == 17
    assert [genotype.module[0] for genotype in found] == list(PAPER.choices)


@pytest.mark.parametrize("direct_skips", [True, False])
def test_networks_of_one_layer_are_as_many_as_the_space_says(direct_skips: bool) -> None:
    space = SearchSpace(
        kernels=(3,),
        filters=(8, 16),
        dropout=False,
        max_layers=1,
        reductions=(1, 2),
        skips=("none", "concat"),
        residual=(False, True),
        direct_skips=direct_skips,
    )
    found = one_layer_genotypes(space)
    assert len(found) == space.size == len({genotype.key for genotype in found})
    for genotype in found:
        space.check(genotype)


def test_repeats_of_one_layer_are_among_them() -> None:
    space = SearchSpace(kernels=(3,), filters=(8,), dropout=False, max_layers=1, repeats=(1, 3))
    assert [genotype.text for genotype in one_layer_genotypes(space)] == ["3x3conv2d:8", "3x3conv2d:8/repeats:3"]


def test_some_of_them_are_all_where_there_are_no_more() -> None:
    found = one_layer_genotypes(PAPER)
    assert some_of(found, 17, generator(0)) == found
    some = some_of(found, 5, generator(0))
    assert len(some) == 5
    assert some == [genotype for genotype in found if genotype in some]
    assert some != some_of(found, 5, generator(1))
