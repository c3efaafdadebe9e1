"""Variation: Algorithms 2 and 3, and crossover."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import PCG64, Generator

from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.variation import child, crossover, distinct_genotypes, mutate, offspring, random_genotype

seeds = st.integers(0, 2**64 - 1)
spaces = st.builds(
    SearchSpace,
    kernels=st.lists(st.sampled_from([1, 2, 3, 5, 7]), min_size=1, unique=True).map(tuple),
    filters=st.lists(st.sampled_from([8, 16, 32, 64]), min_size=1, unique=True).map(tuple),
    dropout=st.booleans(),
    max_layers=st.integers(1, 6),
)


def genotypes_of(space: SearchSpace) -> st.SearchStrategy[Genotype]:
    layers = st.lists(st.sampled_from(space.choices), min_size=1, max_size=space.max_layers)
    return layers.map(lambda chosen: Genotype(tuple(chosen)))


def generator(seed: int = 0) -> Generator:
    return Generator(PCG64(seed))


@given(spaces, seeds)
def test_a_search_starts_from_single_layers_of_the_space(space: SearchSpace, seed: int) -> None:
    genotype = random_genotype(space, generator(seed))
    assert len(genotype.module) == 1
    space.check(genotype)


def test_every_layer_choice_is_drawn_equally_often() -> None:
    rng = generator()
    counts = Counter(random_genotype(SearchSpace(), rng) for _ in range(17_000))
    assert len(counts) == 17
    assert all(850 < count < 1150 for count in counts.values())


@given(spaces, seeds, st.integers(1, 20))
def test_distinct_genotypes_are_as_many_as_the_space_has_layers_at_most(space: SearchSpace, seed: int, n: int) -> None:
    start = distinct_genotypes(n, space, generator(seed))
    assert len(start) == len(set(start)) == min(n, len(space.choices))


@given(st.data(), spaces, seeds)
def test_every_genotype_that_variation_makes_is_in_the_space(
    data: st.DataObject, space: SearchSpace, seed: int
) -> None:
    first, second = data.draw(genotypes_of(space)), data.draw(genotypes_of(space))
    rng = generator(seed)
    for created in (mutate(first, space, rng), crossover(first, second, space, rng)):
        space.check(created)


@given(st.data(), spaces, seeds)
def test_offspring_are_valid_and_leave_their_parents_untouched(
    data: st.DataObject, space: SearchSpace, seed: int
) -> None:
    parents = data.draw(st.lists(genotypes_of(space), min_size=1, max_size=6))
    before = [parent.text for parent in parents]
    children = offspring(parents, space, generator(seed))
    assert [parent.text for parent in parents] == before
    assert len(parents) <= len(children) <= 3 * len(parents)
    for created in children:
        space.check(created)


@given(st.data(), seeds)
def test_the_same_seed_gives_the_same_offspring(data: st.DataObject, seed: int) -> None:
    parents = data.draw(st.lists(genotypes_of(SearchSpace()), min_size=1, max_size=6))
    assert offspring(parents, SearchSpace(), generator(seed)) == offspring(parents, SearchSpace(), generator(seed))


def test_mutation_appends_half_of_the_time_while_there_is_room() -> None:
    rng, parent = generator(), parse_genotype("3x3conv2d:8,dropout2d")
    children = [mutate(parent, SearchSpace(), rng) for _ in range(4_000)]
    appended = [child for child in children if len(child.module) == 3]
    assert 1_880 < len(appended) < 2_120
    assert all(child.module[:2] == parent.module for child in appended)
    assert {len(child.module) for child in children} == {2, 3}


def test_mutation_that_replaces_changes_at_most_one_layer_and_reaches_every_one() -> None:
    rng, parent = generator(), parse_genotype("3x3conv2d:8,dropout2d,5x5conv2d:16")
    replaced = [child for child in (mutate(parent, SearchSpace(), rng) for _ in range(2_000)) if len(child.module) == 3]
    changed = [tuple(new != old for new, old in zip(child.module, parent.module, strict=True)) for child in replaced]
    assert set(map(sum, changed)) == {0, 1}
    assert all(any(change[position] for change in changed) for position in range(3))


def test_a_replaced_layer_may_be_drawn_equal_to_the_old_one() -> None:
    space, rng = SearchSpace(kernels=(3,), filters=(8,), dropout=True, max_layers=1), generator()
    parent = parse_genotype("3x3conv2d:8")
    kept = sum(mutate(parent, space, rng) == parent for _ in range(1_000))
    assert 430 < kept < 570


def test_mutation_never_grows_a_module_beyond_the_maximum() -> None:
    rng, space = generator(), SearchSpace(max_layers=2)
    parent = parse_genotype("3x3conv2d:8,dropout2d")
    assert {len(mutate(parent, space, rng).module) for _ in range(200)} == {2}


def test_crossover_takes_every_pair_of_cut_points_equally_often() -> None:
    first, second = parse_genotype("1x1conv2d:8,1x1conv2d:16"), parse_genotype("3x3conv2d:8,3x3conv2d:16,3x3conv2d:32")
    rng = generator()
    counts = Counter(crossover(first, second, SearchSpace(), rng) for _ in range(11_000))
    expected = {
        Genotype(first.module[:i1] + second.module[i2:]) for i1 in range(3) for i2 in range(4) if (i1, i2) != (0, 3)
    }
    assert set(counts) == expected
    assert len(expected) == 11
    assert all(870 < count < 1_130 for count in counts.values())


def test_crossover_of_single_layers_gives_either_or_both() -> None:
    first, second, rng = parse_genotype("1x1conv2d:8"), parse_genotype("dropout2d"), generator()
    children = {crossover(first, second, SearchSpace(), rng).text for _ in range(200)}
    assert children == {"1x1conv2d:8", "dropout2d", "1x1conv2d:8,dropout2d"}


def test_crossover_cuts_a_child_to_the_maximum() -> None:
    space, rng = SearchSpace(max_layers=3), generator()
    first, second = parse_genotype("1x1conv2d:8," * 2 + "1x1conv2d:8"), parse_genotype("dropout2d," * 2 + "dropout2d")
    children = {crossover(first, second, space, rng).text for _ in range(500)}
    assert "1x1conv2d:8,1x1conv2d:8,dropout2d" in children
    assert max(text.count(",") for text in children) == 2


def test_a_parent_is_crossed_with_another_where_there_is_one() -> None:
    first, second, rng = parse_genotype("1x1conv2d:8"), parse_genotype("dropout2d"), generator()
    rounds = [offspring([first, second], SearchSpace(), rng) for _ in range(2_000)]
    unmutated = {tuple(child.text for child in children) for children in rounds if len(children) == 2}
    assert {children[0] for children in unmutated} == {"1x1conv2d:8", "dropout2d", "1x1conv2d:8,dropout2d"}
    assert {children[1] for children in unmutated} == {"1x1conv2d:8", "dropout2d", "dropout2d,1x1conv2d:8"}


def test_a_lone_parent_crosses_with_itself() -> None:
    parent = parse_genotype("3x3conv2d:8")
    assert all(offspring([parent], SearchSpace(), generator(seed)) for seed in range(50))


def test_variation_without_parents_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one parent"):
        offspring([], SearchSpace(), generator())


def test_each_parent_brings_two_offspring_on_average() -> None:
    parents = [parse_genotype("3x3conv2d:8"), parse_genotype("dropout2d")]
    rng = generator()
    sizes = Counter(len(offspring(parents[:1], SearchSpace(), rng)) for _ in range(4_000))
    assert 900 < sizes[1] < 1_100
    assert 1_880 < sizes[2] < 2_120
    assert 900 < sizes[3] < 1_100


def crossovers(first: Genotype, second: Genotype) -> set[Genotype]:
    """Every child that two modules can have, none cut."""
    cuts = [(i1, i2) for i1 in range(len(first.module) + 1) for i2 in range(len(second.module) + 1)]
    return {Genotype(first.module[:i1] + second.module[i2:]) for i1, i2 in cuts if i1 or i2 < len(second.module)}


@given(genotypes_of(SearchSpace(max_layers=4)), seeds)
def test_a_child_comes_from_its_parents_as_mutated_and_only_mutated_parents_join(parent: Genotype, seed: int) -> None:
    *mutated, child = offspring([parent], SearchSpace(), generator(seed))
    if len(mutated) == 2:
        assert child in crossovers(mutated[0], mutated[1])
    elif len(mutated) == 1:
        assert child in crossovers(mutated[0], parent) | crossovers(parent, mutated[0])
    else:
        assert child in crossovers(parent, parent)
    for genotype in mutated:
        grown = genotype.module[:-1] == parent.module
        replaced = len(genotype.module) == len(parent.module)
        assert grown or replaced


def test_a_seed_means_the_same_search_for_ever() -> None:
    parents = [parse_genotype("3x3conv2d:8"), parse_genotype("dropout2d"), parse_genotype("5x5conv2d:64,1x1conv2d:8")]
    assert [child.text for child in offspring(parents, SearchSpace(), generator(2020))] == [
        "3x3conv2d:8,7x7conv2d:8",
        "dropout2d",
        "dropout2d,3x3conv2d:64",
        "5x5conv2d:64,1x1conv2d:8,5x5conv2d:64",
        "5x5conv2d:64",
        "dropout2d,1x1conv2d:64",
        "1x1conv2d:64",
    ]


def assert_alike(first: Counter[str], second: Counter[str]) -> None:
    """Two samples agree in how often each genotype comes, within 5 standard deviations of each difference."""
    n_first, n_second = first.total(), second.total()
    for text in first | second:
        share = (first[text] + second[text]) / (n_first + n_second)
        deviation = (share * (1 - share) * (1 / n_first + 1 / n_second)) ** 0.5
        assert abs(first[text] / n_first - second[text] / n_second) < 5 * deviation, text


@pytest.mark.parametrize("texts", [["3x3conv2d:8"], ["3x3conv2d:8", "dropout2d,dropout2d", "dropout2d,3x3conv2d:8"]])
def test_one_child_comes_as_often_as_among_the_offspring_of_many_rounds(texts: list[str]) -> None:
    space, rng = SearchSpace(kernels=(3,), filters=(8,), dropout=True, max_layers=3), generator()
    parents = [parse_genotype(text) for text in texts]
    of_rounds = Counter(
        created.text for _ in range(12_000 // len(parents)) for created in offspring(parents, space, rng)
    )
    alone = Counter(child(parents, space, rng).text for _ in range(24_000))
    assert len(of_rounds) > 8
    assert_alike(of_rounds, alone)


@given(st.data(), spaces, seeds)
def test_a_child_is_in_the_space_and_leaves_its_parents_untouched(
    data: st.DataObject, space: SearchSpace, seed: int
) -> None:
    parents = data.draw(st.lists(genotypes_of(space), min_size=1, max_size=6))
    before = [parent.text for parent in parents]
    space.check(child(parents, space, generator(seed)))
    assert [parent.text for parent in parents] == before


def test_a_child_without_parents_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one parent"):
        child([], SearchSpace(), generator())


def test_a_seed_means_the_same_children_for_ever() -> None:
    parents = [parse_genotype("3x3conv2d:8"), parse_genotype("dropout2d"), parse_genotype("5x5conv2d:64,1x1conv2d:8")]
    assert [child(parents, SearchSpace(), generator(seed)).text for seed in range(6)] == [
        "3x3conv2d:8,5x5conv2d:32",
        "3x3conv2d:16",
        "3x3conv2d:8,5x5conv2d:64,1x1conv2d:8,1x1conv2d:64",
        "5x5conv2d:64,1x1conv2d:8",
        "5x5conv2d:64,1x1conv2d:8,1x1conv2d:16",
        "5x5conv2d:64,1x1conv2d:8,3x3conv2d:8",
    ]
