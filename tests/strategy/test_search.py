"""What holds for every search."""

import pytest

from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.evolution import Evolution
from evoae_cli.strategy.search import Search
from evoae_cli.strategy.steady_state import SteadyState


@pytest.mark.parametrize("search_type", [Evolution, SteadyState])
@pytest.mark.parametrize("kind", ["before any ask", "never proposed", "told twice", "nan", "failed with a fitness"])
def test_an_illegal_tell_raises_and_changes_nothing(
    search_type: type[Evolution] | type[SteadyState], kind: str
) -> None:
    search: Search = search_type(SearchSpace(), population=4, generations=2, seed=0, keep_duplicates=False)
    told: tuple[Genotype, float, int, Outcome] = (parse_genotype("3x3conv2d:8"), 1.0, 10, Outcome.OK)
    if kind != "before any ask":
        first, second = (proposal.genotype for proposal in [*search.ask(), *search.ask()][:2])
        search.tell(first, 1.0, 10, Outcome.OK)
        told = {
            "never proposed": (parse_genotype("99x99conv2d:7"), 1.0, 10, Outcome.OK),
            "told twice": (first, 2.0, 20, Outcome.OK),
            "nan": (second, float("nan"), 10, Outcome.OK),
            "failed with a fitness": (second, 1.0, 10, Outcome.CRASHED),
        }[kind]

    def seen() -> tuple[object, ...]:
        known = (dict(search.evaluated), search.best, search.population, search.counts)
        return (*known, search.state(), repr(search))

    before = seen()
    with pytest.raises(ValueError, match=r"never proposed|told before|not a finite number|must be 0"):
        search.tell(*told)
    assert seen() == before


@pytest.mark.parametrize("search_type", [Evolution, SteadyState])
@pytest.mark.parametrize("wrong", [{"population": 0}, {"generations": -1}])
def test_a_search_of_no_one_or_of_negative_length_is_refused(
    search_type: type[Evolution] | type[SteadyState], wrong: dict[str, int]
) -> None:
    lengths = {"population": 4, "generations": 2} | wrong
    with pytest.raises(ValueError, match="no evolution with a population of"):
        search_type(SearchSpace(), seed=0, keep_duplicates=False, **lengths)
