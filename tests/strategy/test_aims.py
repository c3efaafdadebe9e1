"""Both searches with limits, with several objectives, and from known genotypes, told made-up results."""

import itertools
import json
import random
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import SKIPS, Genotype, parse_genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.outcome import Outcome
from evoae_cli.phenotype.cost import cost
from evoae_cli.strategy.evolution import Evolution
from evoae_cli.strategy.limits import Costs, Limits
from evoae_cli.strategy.pareto import fronts
from evoae_cli.strategy.population import OBJECTIVES, Individual, point_of, rank_key, select, spread
from evoae_cli.strategy.search import N_BARREN, PLAIN, Aims, Proposal, Search
from evoae_cli.strategy.steady_state import SteadyState

SPACE = SearchSpace(kernels=(1, 3), filters=(8, 16), dropout=True, max_layers=3)
MODES = (Evolution, SteadyState)


def costs_of(genotype: Genotype) -> Costs:
    """Made up: the sums of the numbers in the text; few values, so that ties are common."""
    total = sum(map(int, re.findall(r"\d+(?!d)", genotype.text)))
    return Costs(parameters=total, operations=total * len(genotype.module), code=len(genotype.module))


def result_of(genotype: Genotype) -> dict[str, Any]:
    """A made-up landscape with ties and failures."""
    draw = random.Random(genotype.text)
    costs = costs_of(genotype)
    if draw.random() < 0.1:
        return {"fitness": 0.0, "parameters": 0, "outcome": Outcome.CRASHED}
    return {
        "fitness": float(draw.randint(1, 20)),
        "parameters": costs.parameters,
        "outcome": Outcome.OK,
        "operations": costs.operations,
        "code": costs.code,
    }


def individual_of(genotype: Genotype) -> Individual:
    return Individual(genotype, **result_of(genotype))


def make(kind: Any, aims: Aims = PLAIN, **changes: Any) -> Any:
    given = {"population": 5, "generations": 4, "seed": 0, "keep_duplicates": False} | changes
    return kind(given.pop("space", SPACE), aims=aims, **given)


def drive(search: Search) -> list[Proposal]:
    """Lead a search to its end with one genotype in flight at a time; all proposals."""
    proposals = []
    while not search.is_finished:
        asked = search.ask()
        assert asked
        proposals += asked
        for proposal in asked:
            if proposal.source == "new":
                search.tell(proposal.genotype, **result_of(proposal.genotype))
    return proposals


kinds = st.sampled_from(MODES)
objectives = st.lists(st.sampled_from(OBJECTIVES[1:]), unique=True, max_size=3).map(lambda names: ("fitness", *names))
limits = st.builds(
    Limits,
    costs=st.just(costs_of),
    parameters=st.none() | st.integers(9, 60),
    operations=st.none() | st.integers(9, 180),
    code=st.none() | st.integers(1, 3),
)
searches = st.fixed_dictionaries(
    {
        "population": st.integers(2, 8),
        "generations": st.integers(0, 5),
        "seed": st.integers(0, 2**63 - 1),
        "keep_duplicates": st.booleans(),
    }
)


@settings(deadline=None)
@given(kinds, searches, limits, objectives)
def test_what_is_beyond_a_limit_is_counted_and_never_evaluated(
    kind: Any, chosen: dict[str, Any], limit: Limits, names: Any
) -> None:
    search = make(kind, Aims(objectives=names, limits=limit), **chosen)
    proposals = drive(search)
    for one in proposals:
        assert (one.source == "rejected") == (not limit.admits(one.genotype))
    assert all(limit.admits(one.genotype) for one in search.evaluated.values())
    assert all(limit.admits(one.genotype) for one in search.population)
    sources, counts = [one.source for one in proposals], search.counts
    assert counts.rejected == sources.count("rejected")
    assert counts.new == sources.count("new") == len(search.evaluated)
    assert (
        counts.proposed
        == len(proposals)
        == counts.new + sum((counts.cache_hits, counts.in_flight_hits, counts.rejected))
    )
    assert [one.number for one in proposals] == list(range(len(proposals)))


@settings(deadline=None)
@given(kinds, searches, objectives)
def test_limits_that_admit_everything_leave_the_search_as_it_is_without_them(
    kind: Any, chosen: dict[str, Any], names: Any
) -> None:
    without = drive(make(kind, Aims(objectives=names), **chosen))
    assert drive(make(kind, Aims(objectives=names, limits=Limits(costs_of, parameters=10**9)), **chosen)) == without


@pytest.mark.parametrize("keep_duplicates", [True, False])
@pytest.mark.parametrize("kind", MODES)
def test_the_start_is_drawn_from_what_is_within_the_limits(kind: Any, keep_duplicates: bool) -> None:
    aims = Aims(limits=Limits(costs_of, parameters=11))
    small, n_start = {"1x1conv2d:8", "dropout2d"}, 5 if keep_duplicates else 2
    search = make(kind, aims, population=5, generations=0, keep_duplicates=keep_duplicates, seed=3)
    proposals = drive(search)
    assert {one.genotype.text for one in proposals[:n_start]} == small
    # A smaller start is the whole generation, or is followed by children at once.
    assert len(proposals) == (n_start if kind is Evolution else 5)


@pytest.mark.parametrize("kind", MODES)
def test_limits_that_admit_nothing_are_refused_with_the_nearest_architecture_and_the_limit(kind: Any) -> None:
    space = SearchSpace(kernels=(3,), filters=(8, 16), dropout=False)
    with pytest.raises(UsageError) as caught:
        make(kind, Aims(limits=Limits(costs_of, parameters=13, code=1)), space=space)
    assert str(caught.value) == (
        "no architecture to start from is within the limits: the smallest, 3x3conv2d:8, has 14 parameters where 13 are "
        "allowed; raise --max-parameters to 14 or more"
    )


GENES = SearchSpace(
    kernels=(2, 3),
    filters=(4, 6),
    kinds=("conv2d", "sepconv", "dilated"),
    max_layers=1,
    reductions=(1, 2, 3),
    repeats=(2, 3),
    skips=("none", "add", "concat"),
    residual=(False, True),
)


def real_costs(genotype: Genotype) -> Costs:
    return costs_in(genotype, NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same", space=None))


def costs_in(genotype: Genotype, network: NetworkSpec) -> Costs:
    found = cost(genotype, network, 32)
    return Costs(parameters=found.parameters, operations=found.operations, code=found.code_values)


@pytest.mark.parametrize("reductions", [1, 3])
def test_of_a_manifold_the_smallest_may_or_may_not_be_residual(reductions: int) -> None:
    code_channels = 4**reductions // 4
    network = NetworkSpec(
        channels=1, reductions=reductions, code_channels=code_channels, decoder="same", is_manifold=True
    )
    space = replace(
        GENES,
        kinds=("sepconv",),
        filters=(8,),
        reductions=(reductions,),
        repeats=(1,),
        dropout=False,
        direct_skips=False,
    )
    every = [
        Genotype((layer,), reductions, 1, (), is_residual) for layer in space.choices for is_residual in (False, True)
    ]
    least = min(every, key=lambda genotype: costs_in(genotype, network).parameters)
    # Small blocks have a cheap linear code, large ones a dear one.
    assert least.is_residual == (reductions == 1)
    limit = costs_in(least, network).parameters
    limits = Limits(lambda genotype: costs_in(genotype, network), parameters=limit)
    for seed in range(20):
        search = make(Evolution, Aims(limits=limits), space=space, seed=seed)
        assert least in [proposal.genotype for proposal in search.ask()]


@pytest.mark.parametrize("skips", [("none", "add", "concat"), ("add", "concat"), ("concat",)])
@pytest.mark.parametrize("name", ["parameters", "operations", "code"])
def test_where_genes_vary_the_architecture_named_is_the_smallest_of_all_that_a_search_can_start_from(
    name: str, skips: Any
) -> None:
    space = replace(GENES, skips=skips)
    every = [
        Genotype((layer,), reductions, repeats, chosen, is_residual)
        for layer in space.choices
        for reductions in space.reductions
        for repeats in space.repeats
        for chosen in itertools.product(space.skips, repeat=reductions)
        for is_residual in space.residual
    ]
    least = min(getattr(real_costs(genotype), name) for genotype in every)
    with pytest.raises(UsageError, match=rf"has {least:,} .*raise --max-{name} to {least} or more") as caught:
        make(Evolution, Aims(limits=Limits(real_costs, **{name: least - 1})), space=space)
    smallest = parse_genotype(re.search(r"the smallest, (\S+), has", str(caught.value))[1], space)  # type: ignore[index]
    assert getattr(real_costs(smallest), name) == least
    # What is said to be enough is enough: whatever the seed, there is a start.
    for seed in range(20):
        search = make(Evolution, Aims(limits=Limits(real_costs, **{name: least})), space=space, seed=seed)
        assert next(one.source for one in search.ask()) == "new"


@pytest.mark.parametrize("kind", MODES)
def test_a_search_with_nothing_new_within_its_limits_ends_as_exhausted(kind: Any) -> None:
    # Only the two smallest layers are admitted, and nothing of two layers.
    search = make(kind, Aims(limits=Limits(costs_of, parameters=11, code=1)), population=3, generations=1_000_000)
    proposals = drive(search)
    assert {one.genotype.text for one in search.evaluated.values()} == {"1x1conv2d:8", "dropout2d"}
    assert search.is_exhausted
    assert N_BARREN <= len(proposals) < N_BARREN + 20
    assert search.ask() == []


def test_an_open_asynchronous_search_waits_for_results_before_it_ends_as_exhausted() -> None:
    search = make(SteadyState, Aims(limits=Limits(costs_of, parameters=11, code=1)), generations=1_000_000)
    first, second = (search.ask()[-1].genotype for _ in range(2))
    assert len(search.ask()) == N_BARREN
    assert search.ask() == []
    assert not search.is_finished
    search.tell(first, **result_of(first))
    assert not search.is_exhausted
    assert len(search.ask()) == N_BARREN
    restored = make(SteadyState, Aims(limits=Limits(costs_of, parameters=11, code=1)), generations=1_000_000)
    restored.restore(json.loads(json.dumps(search.state())), [individual_of(first)])
    assert restored.state() == search.state()
    for one in (search, restored):
        one.ask()
        one.tell(second, **result_of(second))
    drive(restored)
    drive(search)
    assert restored.is_exhausted
    assert restored.state() == search.state()


@settings(deadline=None)
@given(searches, st.none() | limits, objectives, st.integers(1, 6), st.randoms(use_true_random=False))
def test_a_restored_search_is_the_one_that_was_left(
    chosen: dict[str, Any], limit: Limits | None, names: Any, n_workers: int, choice: random.Random
) -> None:
    aims = Aims(objectives=names, limits=limit)
    live, told, running = make(SteadyState, aims, **chosen), list[Individual](), list[Genotype]()
    while not live.is_finished:
        while len(running) < n_workers and (asked := live.ask()):
            running += [one.genotype for one in asked if one.source == "new"]
        if not running:
            continue
        state = json.loads(json.dumps(live.state()))
        for _ in range(choice.randint(1, len(running))):
            told.append(individual_of(running.pop(choice.randrange(len(running)))))
            live.tell(told[-1].genotype, **result_of(told[-1].genotype))
        restored = make(SteadyState, aims, **chosen)
        restored.restore(state, told)
        assert restored.population == live.population
        assert restored.best == live.best
        assert restored.state()["fitness_runs"] == live.state()["fitness_runs"]
        assert restored.counts == live.counts


@settings(deadline=None)
@given(searches, st.none() | limits, objectives, st.randoms(use_true_random=False))
def test_the_order_of_results_within_a_generation_leaves_no_trace(
    chosen: dict[str, Any], limit: Limits | None, names: Any, choice: random.Random
) -> None:
    aims = Aims(objectives=names, limits=limit)
    one, other = make(Evolution, aims, **chosen), make(Evolution, aims, **chosen)
    drive(one)
    while not other.is_finished:
        asked = [proposal.genotype for proposal in other.ask() if proposal.source == "new"]
        for genotype in choice.sample(asked, len(asked)):
            other.tell(genotype, **result_of(genotype))
    assert one.state() == other.state()
    assert one.population == other.population


@settings(deadline=None)
@given(kinds, searches, objectives)
def test_the_fittest_is_never_lost_and_comes_first(kind: Any, chosen: dict[str, Any], names: Any) -> None:
    search = make(kind, Aims(objectives=names), **chosen)
    drive(search)
    everyone = list(search.evaluated.values())
    assert search.best == min(everyone, key=rank_key)
    assert search.population[0].fitness == search.best.fitness == search.fitness_by_generation[-1]
    assert list(search.fitness_by_generation) == sorted(search.fitness_by_generation)
    assert list(search.population) == sorted(search.population, key=rank_key)


genotypes = st.sampled_from([parse_genotype(",".join(parts)) for parts in [
    [a, *b] for a in ("1x1conv2d:8", "3x3conv2d:8", "1x1conv2d:16", "3x3conv2d:16", "dropout2d")
    for b in ([], ["3x3conv2d:8"], ["1x1conv2d:8"], ["dropout2d", "1x1conv2d:16"])
]])  # fmt: skip
crowds = st.lists(genotypes.map(individual_of), min_size=1, max_size=20)


@given(crowds, crowds, st.integers(1, 12), objectives, st.booleans())
def test_selection_keeps_front_after_front_and_failures_last(
    parents: list[Individual], offspring: list[Individual], n: int, names: Any, keep_duplicates: bool
) -> None:
    assume(len(names) > 1)
    kept = select(parents, offspring, n, keep_duplicates=keep_duplicates, objectives=names)
    pool = [*parents, *offspring]
    if not keep_duplicates:
        pool = list({one.genotype.text: one for one in pool}.values())
        assert len(set(kept)) == len(kept)
    assert len(kept) == min(n, len(pool))
    assert max(one.fitness for one in kept) == max(one.fitness for one in pool)
    if any(one.fitness == 0.0 for one in kept):
        n_good = sum(one.fitness > 0.0 for one in pool)
        assert sum(one.fitness > 0.0 for one in kept) == min(n, n_good)
    good = [one for one in pool if one.fitness > 0.0]
    sorted_in = {one: k for k, front in enumerate(fronts([point_of(one, names) for one in good])) for one in
                 (good[i] for i in front)}  # fmt: skip
    places = [sorted_in[one] for one in kept if one.fitness > 0.0]
    last = max(places, default=-1)
    for k in range(last):
        assert places.count(k) == sum(sorted_in[one] == k for one in good)
    assert kept == select(offspring, parents, n, keep_duplicates=keep_duplicates, objectives=names)


@given(crowds, st.integers(1, 6), objectives)
def test_finalists_are_the_fittest_first_then_spread_over_the_front(
    everyone: list[Individual], n: int, names: Any
) -> None:
    everyone = list({one.genotype.text: one for one in everyone}.values())
    good = [one for one in everyone if one.fitness > 0.0]
    chosen = spread(everyone, n, names)
    if len(names) == 1:
        assert chosen == sorted(good, key=rank_key)[:n]
        return
    points = [point_of(one, names) for one in good]
    front = [good[i] for i in fronts(points)[0]] if good else []
    assert len(chosen) == len(set(chosen)) == min(n, len(front))
    assert set(chosen) <= set(front)
    if chosen:
        assert chosen[0].fitness == max(one.fitness for one in good)


def test_among_equally_good_fronts_the_crowded_give_way() -> None:
    def one(text: str, fitness: float, parameters: int) -> Individual:
        return Individual(parse_genotype(text), fitness, parameters, Outcome.OK)

    front = [
        one("1x1conv2d:1", 1, 10), one("1x1conv2d:2", 5, 50), one("1x1conv2d:3", 5.1, 51), one("1x1conv2d:4", 10, 100)
    ]  # fmt: skip
    dominated = one("1x1conv2d:5", 4, 60)
    kept = select([*front, dominated], [], 3, keep_duplicates=False, objectives=("fitness", "parameters"))
    assert kept == (front[3], front[2], front[0])
    assert select([*front, dominated], [], 4, keep_duplicates=False, objectives=("fitness", "parameters")) == tuple(
        front[::-1]
    )


@pytest.mark.parametrize("keep_duplicates", [True, False])
@pytest.mark.parametrize("kind", MODES)
def test_known_genotypes_come_first_and_random_ones_fill_the_population(kind: Any, keep_duplicates: bool) -> None:
    known = (parse_genotype("3x3conv2d:16,3x3conv2d:8"), parse_genotype("3x3conv2d:16"))
    search = make(kind, Aims(known=known), population=5, generations=0, keep_duplicates=keep_duplicates)
    start = [one.genotype for one in drive(search)]
    assert tuple(start[:2]) == known
    assert len(start) == 5
    assert all(len(genotype.module) == 1 for genotype in start[2:])
    assert keep_duplicates or len(set(start)) == 5


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("kind", MODES)
def test_no_network_is_twice_in_the_start_however_it_is_spelt(kind: Any, seed: int) -> None:
    """A module that is repeated is the one that names its layers twice."""
    space = SearchSpace(
        kernels=(3,),
        filters=(8, 16),
        dropout=False,
        max_layers=2,
        repeats=(1, 2),
        reductions=(1, 2),
        skips=SKIPS,
        residual=(False, True),
    )
    texts = ("3x3conv2d:8,3x3conv2d:8/reductions:1", "3x3conv2d:16,3x3conv2d:16/reductions:1")
    known = tuple(parse_genotype(text, space) for text in texts)
    search = make(kind, Aims(known=known), space=space, population=4, generations=0, seed=seed)
    start = [one.genotype.key for one in drive(search)]
    assert len(start) == len(set(start))


@pytest.mark.parametrize("kind", MODES)
def test_known_genotypes_may_be_the_whole_start_where_no_random_one_is_within_the_limits(kind: Any) -> None:
    known = parse_genotype("dropout2d,dropout2d")
    limits = Limits(lambda genotype: Costs(len(genotype.module) != 2, 0, 0), parameters=1)
    space = SearchSpace(kernels=(1,), filters=(8,), max_layers=2)
    none_small = Limits(lambda genotype: Costs(1 + (len(genotype.module) != 2), 0, 0), parameters=1)
    assert limits.admits(known)
    search = make(kind, Aims(known=(known,), limits=none_small), space=space, generations=3)
    assert drive(search)[0].genotype == known
    assert all(len(one.genotype.module) == 2 for one in search.evaluated.values())


@pytest.mark.parametrize(
    "aims", [Aims(objectives=("parameters",)), Aims(known=tuple(parse_genotype(f"1x1conv2d:{n}") for n in range(1, 7)))]
)
@pytest.mark.parametrize("kind", MODES)
def test_objectives_without_fitness_and_more_known_genotypes_than_places_are_refused(kind: Any, aims: Aims) -> None:
    with pytest.raises(ValueError, match="no evolution with"):
        make(kind, aims)
