"""Individuals, their order and (mu + lambda) selection."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.population import Individual, rank_key, select


def individual(text: str, fitness: float, parameters: int = 100) -> Individual:
    return Individual(parse_genotype(text), fitness, parameters, Outcome.OK)


individuals = st.builds(
    individual,
    st.lists(st.sampled_from(["1x1conv2d:8", "3x3conv2d:8", "dropout2d"]), min_size=1, max_size=2).map(",".join),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.sampled_from([10, 20]),
)


def test_higher_fitness_ranks_first() -> None:
    low, high = individual("1x1conv2d:8", 1.0, parameters=1), individual("3x3conv2d:8", 2.0, parameters=999)
    assert sorted([low, high], key=rank_key) == [high, low]


def test_equal_fitness_is_decided_by_fewer_parameters_then_by_text() -> None:
    first = individual("3x3conv2d:8", 1.0, parameters=10)
    second = individual("1x1conv2d:8", 1.0, parameters=20)
    third = individual("3x3conv2d:16", 1.0, parameters=20)
    assert sorted([third, second, first], key=rank_key) == [first, second, third]


@given(st.lists(individuals, min_size=1, max_size=6), st.lists(individuals, max_size=12), st.integers(1, 6))
def test_selection_keeps_the_best_n_of_parents_and_offspring(
    parents: list[Individual], offspring: list[Individual], n: int
) -> None:
    kept = select(parents, offspring, n, keep_duplicates=True)
    everyone = sorted([*parents, *offspring], key=rank_key)
    assert list(map(rank_key, kept)) == list(map(rank_key, everyone))[:n]


@given(st.lists(individuals, min_size=1, max_size=6), st.lists(individuals, max_size=12), st.integers(1, 6))
def test_selection_never_loses_the_best(parents: list[Individual], offspring: list[Individual], n: int) -> None:
    best = max(one.fitness for one in [*parents, *offspring])
    for keep_duplicates in (True, False):
        assert select(parents, offspring, n, keep_duplicates=keep_duplicates)[0].fitness == best


def test_without_duplicates_a_genotype_takes_one_place() -> None:
    one, other = individual("3x3conv2d:8", 2.0), individual("dropout2d", 1.0)
    assert select([one], [one, other, one], 2, keep_duplicates=False) == (one, other)
    assert select([one], [one, other, one], 2, keep_duplicates=True) == (one, one)


def test_without_duplicates_fewer_genotypes_than_places_are_all_kept() -> None:
    one = individual("3x3conv2d:8", 2.0)
    assert select([one], [one], 5, keep_duplicates=False) == (one,)


def test_a_failed_evaluation_is_an_individual_with_fitness_0() -> None:
    failed = Individual(parse_genotype("7x7conv2d:64"), 0.0, 0, Outcome.OOM)
    good = individual("1x1conv2d:8", 0.5)
    assert select([failed], [good], 2, keep_duplicates=True) == (good, failed)


@pytest.mark.parametrize("fitness", [math.nan, math.inf, -1.0])
def test_a_fitness_that_is_no_finite_number_of_0_or_more_is_refused(fitness: float) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        individual("3x3conv2d:8", fitness)


def test_a_failed_evaluation_cannot_have_a_fitness() -> None:
    with pytest.raises(ValueError, match="ended as diverged, so its fitness must be 0"):
        Individual(parse_genotype("3x3conv2d:8"), 1.0, 100, Outcome.DIVERGED)


def test_a_negative_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="a cost of -1"):
        individual("3x3conv2d:8", 1.0, parameters=-1)
