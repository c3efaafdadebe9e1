"""Ranking the finalists on validation: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evoae_cli.evaluation.contract import Evaluation
from evoae_cli.strategy.population import Individual, rank_key


@dataclass(frozen=True)
class Final:
    """A finalist after its final trainings."""

    genotype: str
    fitness: float
    """Mean over the final seeds, on validation; a failed training counts as 0."""
    best: Evaluation
    """The training with the highest fitness: its weights are delivered."""


def rank_finals(evaluations: Iterable[Evaluation], searched: Mapping[str, Individual]) -> list[Final]:
    """Best first; ties are broken as in the search: fewer parameters, then the text."""
    by_genotype: dict[str, list[Evaluation]] = {}
    for found in evaluations:
        by_genotype.setdefault(found.genotype, []).append(found)
    finals = [
        Final(
            genotype=genotype,
            fitness=sum(found.fitness for found in group) / len(group),
            best=min(group, key=lambda found: (-found.fitness, found.seed_index)),
        )
        for genotype, group in by_genotype.items()
    ]
    return sorted(finals, key=lambda final: (-final.fitness, *rank_key(searched[final.genotype])))
