import numpy as np
import pytest
from numpy.random import PCG64, Generator

from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.variation import mutate, random_genotype
from evoae_cli.phenotype.cost import Cost, cost
from evoae_cli.study.expected import Pace, makespan

SPEC = NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same")


def sample(n: int) -> list[Cost]:
    rng, space = Generator(PCG64(5)), SearchSpace()
    costs = []
    for i in range(n):
        genotype = random_genotype(space, rng)
        for _ in range(i % 6):
            genotype = mutate(genotype, space, rng)
        costs.append(cost(genotype, SPEC, 96))
    return costs


def seconds(of: Cost) -> float:
    return 0.05 * of.steps + 2e-9 * of.operations + 1e-7 * of.values


def test_nothing_is_foretold_before_something_was_timed() -> None:
    assert Pace().seconds(sample(1)[0]) is None


def test_one_measurement_is_foretold_exactly_and_others_in_proportion() -> None:
    small, *_, large = sorted(sample(20), key=lambda one: one.operations)
    pace = Pace()
    pace.learn(small, 2.0)
    assert pace.seconds(small) == pytest.approx(2.0)
    assert (pace.seconds(large) or 0.0) > 2.0


def test_measured_times_correct_what_operations_alone_would_say() -> None:
    """Where layers and memory cost time too, the order by operations is wrong, and the learned one right."""
    costs, rng = sample(80), np.random.default_rng(0)
    pace = Pace()
    for one in costs[:40]:
        pace.learn(one, seconds(one) * float(np.exp(0.05 * rng.standard_normal())))
    unseen = costs[40:]
    for one in unseen:
        assert pace.seconds(one) == pytest.approx(seconds(one), rel=0.1)
    assert sorted(unseen, key=lambda one: one.operations) != sorted(unseen, key=seconds)


def test_no_price_is_negative_so_nothing_is_foretold_to_take_less_than_no_time() -> None:
    """Times that fall as operations grow are noise, and must not be carried on to larger networks."""
    pace = Pace()
    for i, one in enumerate(sorted(sample(10), key=lambda one: one.operations)):
        pace.learn(one, 10.0 - i / 2)
    assert all((pace.seconds(one) or 0.0) > 0.0 for one in sample(60))


def test_a_time_of_nothing_teaches_nothing() -> None:
    pace = Pace()
    pace.learn(sample(1)[0], 0.0)
    assert pace.seconds(sample(1)[0]) is None


def test_the_makespan_gives_each_free_worker_the_longest_task_left() -> None:
    assert makespan([2, 3, 2, 3, 2], 2) == 7
    assert makespan([2, 3, 2], 1) == 7
    assert makespan([5, 1], 8) == 5
    assert makespan([], 3) == 0
