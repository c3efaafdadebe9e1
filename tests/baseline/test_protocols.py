from typing import Any

import msgspec
import pytest

from evoae_cli.baseline.drawing import architectures
from evoae_cli.baseline.protocols import FAIR, Protocol, Spent, layers_of, settings_of
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.space import SearchSpace

PAPER = SearchSpace()
SPENT = Spent(lengths=(1, 1, 2, 1, 3, 2), epochs=2, n_finalists=3, final_epochs=20)
SETTINGS: dict[str, Any] = {"epochs": 2, "final_epochs": 20, "finalists": 9, "max_layers": 3, "lr": 0.5, "seed": 7}


def any_(genotype: Genotype) -> bool:
    return True


def drawn(protocol: Protocol, spent: Spent | None = SPENT, seed: int = 0) -> list[Genotype]:
    return architectures(protocol, 30, spent, PAPER, any_, seed)


def test_the_papers_protocol_trains_30_architectures_of_1_to_10_layers_to_the_final_budget() -> None:
    found = drawn("paper", None)
    assert len(found) == 30
    lengths = {len(genotype.module) for genotype in found}
    assert len(lengths) > 6
    assert lengths <= set(range(1, 11))
    settings = settings_of("paper", SETTINGS, found, None)
    assert (settings["population"], settings["generations"], settings["epochs"]) == (30, 0, 20)
    assert settings["start_from"] == tuple(genotype.text for genotype in found)
    assert (settings["finalists"], settings["lr"], settings["seed"]) == (1, 0.5, 7)


@pytest.mark.parametrize("protocol", FAIR)
def test_a_fair_protocol_trains_as_many_candidates_and_finalists_as_the_search(protocol: Protocol) -> None:
    found = drawn(protocol)
    assert len(found) == 6
    settings = settings_of(protocol, SETTINGS, found, SPENT)
    assert (settings["epochs"], settings["finalists"], settings["final_epochs"]) == (2, 3, 20)
    assert settings["epochs"] * len(found) == SPENT.total


def test_sampling_trains_as_many_epochs_where_a_length_has_fewer_modules_than_are_drawn_of_it() -> None:
    spent = Spent(lengths=(3,) * 200, epochs=2, n_finalists=3, final_epochs=20)
    for seed in range(3):
        found = drawn("uniform", spent, seed)
        # Of 200 lengths some 20 are 1, and 17 modules have one layer.
        assert len(found) == len({genotype.key for genotype in found}) == 200
        assert settings_of("uniform", SETTINGS, found, spent)["epochs"] == 2


def test_modules_are_as_long_as_those_of_evolution() -> None:
    assert [len(genotype.module) for genotype in drawn("lengths")] == list(SPENT.lengths)


def test_all_modules_of_one_layer_are_trained_the_longer_where_they_are_few() -> None:
    spent = Spent(lengths=(2,) * 60, epochs=2, n_finalists=3, final_epochs=20)
    found = drawn("one-layer", spent)
    assert len(found) == 17
    # 120 epochs for 17 of them, rather more than fewer; as many as a finalist had at the most.
    assert settings_of("one-layer", SETTINGS, found, spent)["epochs"] == 8
    short = msgspec.structs.replace(spent, final_epochs=5)
    assert settings_of("one-layer", SETTINGS, found, short)["epochs"] == 5


def test_finalists_are_trained_as_long_as_those_of_a_search_whose_time_was_short() -> None:
    short = msgspec.structs.replace(SPENT, final_epochs=6)
    assert settings_of("lengths", SETTINGS, drawn("lengths"), short)["final_epochs"] == 6
    assert settings_of("paper", SETTINGS, drawn("paper", None), None)["epochs"] == 20


def test_protocols_and_seeds_draw_from_streams_of_their_own() -> None:
    assert drawn("uniform") == drawn("uniform")
    assert drawn("uniform") != drawn("uniform", seed=1)
    assert drawn("uniform") != drawn("paper", None)[:6]


def test_the_papers_distribution_has_one_to_ten_layers_whatever_the_search_may_have() -> None:
    assert [layers_of(protocol, 3) for protocol in ("paper", *FAIR)] == [10, 10, 3, 3]
    assert [layers_of(protocol, 12) for protocol in ("paper", *FAIR)] == [10, 10, 12, 12]
