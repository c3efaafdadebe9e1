"""The generational search, told made-up results."""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.evolution import Evolution
from evoae_cli.strategy.population import Individual, rank_key
from evoae_cli.strategy.search import Proposal

TINY = SearchSpace(kernels=(1,), filters=(8,), dropout=True, max_layers=2)
SMALL = SearchSpace(kernels=(1, 3), filters=(8, 16), dropout=True, max_layers=3)
Order = Callable[[Sequence[Proposal]], Sequence[Proposal]]


class Run(NamedTuple):
    proposals: list[Proposal]
    told: list[Genotype]
    states: list[dict[str, Any]]
    """After each closed generation."""


def result_of(genotype: Genotype) -> tuple[float, int, Outcome]:
    """A made-up landscape: every tenth genotype fails, the others have one of nine fitnesses, so ties are common."""
    digit = hashlib.sha256(genotype.key.encode()).digest()[0] % 10
    if digit == 0:
        return 0.0, 0, Outcome.DIVERGED
    return float(digit), 100 * len(genotype.module), Outcome.OK


def as_asked(proposals: Sequence[Proposal]) -> Sequence[Proposal]:
    return proposals


def drive(evolution: Evolution, order: Order = as_asked) -> Run:
    """Run a search to its end, telling the new proposals of each generation in the given order."""
    run = Run([], [], [])

    def note_closed_generation() -> None:
        if len(evolution.fitness_by_generation) > len(run.states):
            run.states.append(evolution.state())

    while not evolution.is_finished:
        proposals = evolution.ask()
        assert proposals
        run.proposals.extend(proposals)
        note_closed_generation()
        for proposal in order([proposal for proposal in proposals if proposal.source == "new"]):
            assert evolution.ask() == []
            run.told.append(proposal.genotype)
            evolution.tell(proposal.genotype, *result_of(proposal.genotype))
            note_closed_generation()
    return run


def make(
    space: SearchSpace = SMALL,
    population: int = 6,
    generations: int = 4,
    seed: int = 0,
    keep_duplicates: bool = False,
) -> Evolution:
    return Evolution(space, population=population, generations=generations, seed=seed, keep_duplicates=keep_duplicates)


searches = st.fixed_dictionaries(
    {
        "space": st.sampled_from([TINY, SMALL, SearchSpace()]),
        "population": st.integers(1, 7),
        "generations": st.integers(0, 5),
        "seed": st.integers(0, 2**63 - 1),
        "keep_duplicates": st.booleans(),
    }
)


@given(searches)
def test_every_proposal_is_in_the_space(search: dict[str, Any]) -> None:
    for proposal in drive(make(**search)).proposals:
        search["space"].check(proposal.genotype)


@given(searches)
def test_the_best_fitness_never_falls_and_is_the_best_of_all_evaluated(search: dict[str, Any]) -> None:
    evolution = make(**search)
    drive(evolution)
    best = evolution.fitness_by_generation
    assert list(best) == sorted(best)
    assert evolution.best == evolution.population[0] == min(evolution.evaluated.values(), key=rank_key)
    assert best[-1] == evolution.best.fitness


@given(searches, st.randoms(use_true_random=False))
def test_the_same_seed_gives_the_same_history_whatever_the_order_of_results(
    search: dict[str, Any], shuffle: random.Random
) -> None:
    in_order, shuffled = make(**search), make(**search)
    first = drive(in_order)
    second = drive(shuffled, lambda proposals: shuffle.sample(proposals, len(proposals)))
    assert first.proposals == second.proposals
    assert first.states == second.states
    assert in_order.population == shuffled.population
    assert in_order.fitness_by_generation == shuffled.fitness_by_generation


@given(searches)
def test_no_genotype_is_evaluated_twice_and_every_proposal_is_accounted_for(search: dict[str, Any]) -> None:
    evolution = make(**search)
    run = drive(evolution)
    assert len(run.told) == len(set(run.told)) == len(evolution.evaluated)
    counts = evolution.counts
    assert counts.proposed == len(run.proposals) == len(run.told) + counts.cache_hits + counts.in_flight_hits
    assert [proposal.number for proposal in run.proposals] == list(range(len(run.proposals)))


@given(searches)
def test_a_hit_names_a_genotype_that_was_new_before(search: dict[str, Any]) -> None:
    born: dict[Genotype, int] = {}
    for proposal in drive(make(**search)).proposals:
        if proposal.source == "new":
            assert proposal.genotype not in born
            born[proposal.genotype] = proposal.generation
        elif proposal.source == "in_flight":
            assert born[proposal.genotype] == proposal.generation
        else:
            assert born[proposal.genotype] < proposal.generation


@given(searches, st.integers(0, 5))
def test_more_generations_continue_the_same_history(search: dict[str, Any], more: int) -> None:
    short = drive(make(**search))
    long = drive(make(**search | {"generations": search["generations"] + more}))
    assert long.proposals[: len(short.proposals)] == short.proposals
    assert long.states[: len(short.states)] == short.states


def test_three_generations_replayed_and_extended_to_six_equal_six_from_the_start() -> None:
    stored = {genotype: result_of(genotype) for genotype in drive(make(generations=3)).told}
    extended, n_trained_again = make(generations=6), 0
    while not extended.is_finished:
        for proposal in extended.ask():
            if proposal.source == "new":
                n_trained_again += proposal.generation <= 3 and proposal.genotype not in stored
                extended.tell(proposal.genotype, *stored.get(proposal.genotype, result_of(proposal.genotype)))
    straight = make(generations=6)
    drive(straight)
    assert n_trained_again == 0
    assert extended.state() == straight.state()
    assert extended.population == straight.population
    assert len(extended.fitness_by_generation) == 7


def test_other_seeds_give_other_histories() -> None:
    histories = {tuple(p.genotype.text for p in drive(make(seed=seed)).proposals) for seed in range(20)}
    assert len(histories) == 20


@pytest.mark.parametrize("keep_duplicates", [True, False])
@pytest.mark.parametrize("generations", [0, 1, 5])
def test_exactly_the_generations_asked_for_follow_the_evaluated_start(generations: int, keep_duplicates: bool) -> None:
    evolution = make(SearchSpace(), generations=generations, keep_duplicates=keep_duplicates)
    run = drive(evolution)
    assert sorted({proposal.generation for proposal in run.proposals}) == list(range(generations + 1))
    assert len(evolution.fitness_by_generation) == len(run.states) == generations + 1
    assert evolution.generation == generations
    assert not evolution.is_exhausted
    assert evolution.ask() == []


def test_the_start_is_population_modules_of_one_layer() -> None:
    start = make(SearchSpace(), population=10, keep_duplicates=True).ask()
    assert len(start) == 10
    assert all(len(proposal.genotype.module) == 1 and proposal.generation == 0 for proposal in start)


def test_with_duplicates_the_start_may_hold_equal_genotypes_which_are_trained_once() -> None:
    evolution = make(TINY, population=10, keep_duplicates=True)
    start = evolution.ask()
    assert sorted(proposal.source for proposal in start) == ["in_flight"] * 8 + ["new"] * 2
    for proposal in start:
        if proposal.source == "new":
            evolution.tell(proposal.genotype, *result_of(proposal.genotype))
    assert len(evolution.population) == 10
    assert len({one.genotype for one in evolution.population}) == 2


def test_without_duplicates_the_start_holds_each_layer_at_most_once() -> None:
    start = make(TINY, population=10).ask()
    assert {proposal.genotype.text for proposal in start} == {"1x1conv2d:8", "dropout2d"}
    assert [proposal.source for proposal in start] == ["new", "new"]


@given(searches)
def test_without_duplicates_a_population_holds_each_genotype_once(search: dict[str, Any]) -> None:
    evolution = make(**search | {"keep_duplicates": False})
    drive(evolution)
    genotypes = [one.genotype for one in evolution.population]
    assert len(genotypes) == len(set(genotypes)) == min(search["population"], len(evolution.evaluated))


@pytest.mark.parametrize("keep_duplicates", [True, False])
def test_a_space_with_nothing_left_untrained_ends_the_search_as_exhausted(keep_duplicates: bool) -> None:
    evolution = make(TINY, population=4, generations=100_000, keep_duplicates=keep_duplicates)
    run = drive(evolution)
    assert evolution.is_exhausted
    assert len(run.told) == TINY.size == 6
    assert evolution.generation < 100_000
    assert evolution.ask() == []


def test_a_space_of_one_genotype_is_exhausted_by_the_start() -> None:
    evolution = make(SearchSpace(kernels=(3,), filters=(8,), dropout=False, max_layers=1), generations=9)
    assert [proposal.genotype.text for proposal in drive(evolution).proposals] == ["3x3conv2d:8"]
    assert evolution.is_exhausted
    assert len(evolution.fitness_by_generation) == 1


def test_a_generation_of_hits_alone_closes_without_any_evaluation() -> None:
    for seed in range(200):
        evolution = make(TINY, population=1, generations=8, seed=seed)
        while not evolution.is_finished:
            n_closed = len(evolution.fitness_by_generation)
            proposals = evolution.ask()
            if all(proposal.source == "cache" for proposal in proposals):
                assert len(evolution.fitness_by_generation) == n_closed + 1
                assert evolution.state()["generation"] == proposals[0].generation
                return
            for proposal in proposals:
                if proposal.source == "new":
                    evolution.tell(proposal.genotype, *result_of(proposal.genotype))
    pytest.fail("no generation of hits alone came up")


def test_asking_again_while_results_are_missing_gives_nothing() -> None:
    evolution = make()
    first = evolution.ask()
    assert evolution.ask() == []
    for proposal in first[:-1]:
        evolution.tell(proposal.genotype, *result_of(proposal.genotype))
        assert evolution.ask() == []
    evolution.tell(first[-1].genotype, *result_of(first[-1].genotype))
    assert evolution.ask()


def test_a_genotype_read_from_its_text_is_the_one_that_was_asked() -> None:
    evolution = make()
    for proposal in evolution.ask():
        evolution.tell(parse_genotype(proposal.genotype.text), *result_of(proposal.genotype))
    assert evolution.state()["generation"] == 0


def test_failed_evaluations_are_seen_by_selection_and_end_nothing() -> None:
    evolution = make(generations=3)
    while not evolution.is_finished:
        for proposal in evolution.ask():
            if proposal.source == "new":
                evolution.tell(proposal.genotype, 0.0, 0, Outcome.OOM)
    assert evolution.fitness_by_generation == (0.0,) * 4
    assert all(one.outcome is Outcome.OOM for one in evolution.population)


def test_the_best_so_far_is_known_before_a_generation_closes() -> None:
    evolution = make()
    assert evolution.best is None
    first, second, *_ = evolution.ask()
    evolution.tell(first.genotype, 2.0, 10, Outcome.OK)
    evolution.tell(second.genotype, 1.0, 10, Outcome.OK)
    assert evolution.best == Individual(first.genotype, 2.0, 10, Outcome.OK)
    assert evolution.population == ()


def test_the_state_survives_json_and_belongs_to_the_last_closed_generation() -> None:
    evolution = make()
    assert evolution.state()["generation"] == -1
    for proposal in evolution.ask():
        evolution.tell(proposal.genotype, *result_of(proposal.genotype))
    closed = evolution.state()
    assert json.loads(json.dumps(closed)) == closed
    assert closed["generation"] == 0
    assert closed["population"] == [one.genotype.key for one in evolution.population]
    evolution.ask()
    assert evolution.generation == 1
    assert evolution.state() == closed


def test_changing_a_returned_state_does_not_change_the_search() -> None:
    evolution = make()
    evolution.state()["population"].append("nonsense")
    evolution.state()["generator"]["state"] = "0"
    assert evolution.state() == make().state()


def test_the_cache_cannot_be_written_from_outside() -> None:
    with pytest.raises(TypeError):
        make().evaluated["dropout2d"] = None  # type: ignore[index]


def test_the_repr_tells_how_far_the_search_is() -> None:
    evolution = make(SearchSpace(), population=3, generations=1)
    assert repr(evolution) == "<Evolution generation 0 of 1, 0 in flight, 0 evaluated, no best yet>"
    first, *_ = evolution.ask()
    evolution.tell(first.genotype, 61.25, 10, Outcome.OK)
    assert repr(evolution) == "<Evolution generation 0 of 1, 2 in flight, 1 evaluated, best 61.25>"
    tiny = make(TINY, generations=1000)
    drive(tiny)
    assert repr(tiny).startswith("<Evolution exhausted generation ")


def test_the_papers_search_of_20_generations_ends_with_all_proposals_accounted_for() -> None:
    evolution = make(SearchSpace(), population=10, generations=20, keep_duplicates=True)
    run = drive(evolution)
    assert len(evolution.fitness_by_generation) == 21
    assert len(evolution.population) == 10
    # 10 at the start, then 1 to 3 for each of 10 parents.
    assert 10 + 20 * 10 <= len(run.proposals) <= 10 + 20 * 30


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_a_tiny_space_with_one_parent_always_ends(seed: int) -> None:
    evolution = make(TINY, population=1, generations=500, seed=seed)
    drive(evolution)
    assert evolution.is_exhausted or evolution.generation == 500
